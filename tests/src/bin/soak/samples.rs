//! Looks at the server's process from outside: memory and descriptors each second, a line each ten.
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use millstream_tests::wait;

use crate::scene::Scene;

const EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(10);
/// After a start, until the log's memory of the newest frames is full and all functions are loaded.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);

/// The process at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Since the load began.
    pub(crate) at: Duration,
    pub(crate) anon_bytes: u64,
    /// Without the journal's files.
    pub(crate) descriptors: u64,
    /// The journal's files: as many as it reads from, within a bound of its own.
    pub(crate) segments: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Samples {
    begin: Instant,
    settled: Mutex<Vec<Sample>>,
}

impl Samples {
    pub(crate) fn new() -> Self {
        Self { begin: Instant::now(), settled: Mutex::default() }
    }

    fn settled(&self) -> MutexGuard<'_, Vec<Sample>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of processes that had settled.
    pub(crate) fn taken(&self) -> Vec<Sample> {
        self.settled().clone()
    }

    /// Until all is read.
    pub(crate) async fn watch(self: Arc<Self>, scene: Arc<Scene>) {
        let (mut life, mut born) = (0, Instant::now());
        let mut line = Line::new(&scene);
        while !*scene.is_over.borrow() {
            wait::pass(EVERY).await;
            let standing = scene.now();
            if standing.life != life {
                (life, born) = (standing.life, Instant::now());
            }
            let sample = look_at(standing.pid, self.begin.elapsed());
            if let Some(sample) =
                sample.filter(|_| standing.is_up && born.elapsed() > SETTLES_WITHIN)
            {
                self.settled().push(sample);
            }
            if line.since.elapsed() >= LINE_EVERY {
                line.print(&scene, self.begin.elapsed(), standing.life, sample);
            }
        }
    }
}

/// `None`: there is no such process at the moment.
fn look_at(pid: u32, at: Duration) -> Option<Sample> {
    let process = Path::new("/proc").join(pid.to_string());
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let anon = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let anon_bytes = anon.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10;
    let (mut descriptors, mut segments) = (0, 0);
    for descriptor in std::fs::read_dir(process.join("fd")).ok()?.flatten() {
        // One that was closed meanwhile leads nowhere.
        let Ok(target) = std::fs::read_link(descriptor.path()) else { continue };
        let is_segment = target.extension().is_some_and(|suffix| suffix == "seg");
        *(if is_segment { &mut segments } else { &mut descriptors }) += 1;
    }
    Some(Sample { at, anon_bytes, descriptors, segments })
}

/// What the last printed line said.
struct Line {
    since: Instant,
    acknowledged: u64,
    verified: u64,
}

impl Line {
    fn new(scene: &Scene) -> Self {
        let acknowledged = scene.acknowledged.load(Ordering::Relaxed);
        let verified = scene.verified.load(Ordering::Relaxed);
        Self { since: Instant::now(), acknowledged, verified }
    }

    fn print(&mut self, scene: &Scene, at: Duration, life: u32, sample: Option<Sample>) {
        let now = Self::new(scene);
        let seconds = self.since.elapsed().as_secs_f64();
        let a_second = |before: u64, now: u64| (now - before) as f64 / seconds / 1e3;
        let rates =
            (a_second(self.acknowledged, now.acknowledged), a_second(self.verified, now.verified));
        let process = sample.map_or_else(
            || "the server is down".to_owned(),
            |Sample { anon_bytes, descriptors, segments, .. }| {
                format!("rss {:>4} MiB  fds {descriptors:>3} + {segments} seg", anon_bytes >> 20)
            },
        );
        let news = scene.take_news().join("; ");
        println!(
            "{:>5} s  in {:>6.1} k/s  out {:>6.1} k/s  lag {:>7}  {process}  life {life}  {news}",
            at.as_secs(),
            rates.0,
            rates.1,
            scene.on_their_way(),
        );
        *self = now;
    }
}
