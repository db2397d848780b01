//! What all parts of a run share: where the server stands, how far the load is, what went wrong. A
//! failed call is excused while somebody brings the server down on purpose, and only then.
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use millstream_tests::{Answer, Client, wait};
use serde_json::Value;
use tokio::{sync::watch, time::timeout};

/// For an answer. What takes longer hangs, also on a machine that is busy.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The first that many are told.
const PROBLEMS_MAX: usize = 50;

/// One life of the server.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) client: Client,
    pub(crate) life: u32,
    pub(crate) pid: u32,
    /// Not while it is brought down on purpose.
    pub(crate) is_up: bool,
}

/// How producers go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// As fast as it goes, with so many records at most on their way.
    Flood { on_their_way_max: u64 },
    /// Records a second, with the same bound.
    Rate { rate: f64, on_their_way_max: u64 },
    /// To the end of what is begun.
    Stop,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) pace: watch::Sender<Pace>,
    /// Whether readers may end: all is read.
    pub(crate) is_over: watch::Sender<bool>,
    /// A reader has seen what must not be, and reads no further: all that follows would only be noise.
    pub(crate) is_broken: AtomicBool,
    pub(crate) acknowledged: AtomicU64,
    /// Read at the end of the line, each for the first time.
    pub(crate) verified: AtomicU64,
    /// Milliseconds for which producers waited as too much was on its way.
    pub(crate) held_ms: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    problems: Vec<String>,
    problems_ever: u64,
    /// Since the last line was printed.
    news: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Scene {
    pub(crate) fn new(client: Client, pid: u32) -> Self {
        Self {
            standing: watch::Sender::new(Standing { client, life: 1, pid, is_up: true }),
            pace: watch::Sender::new(Pace::Stop),
            is_over: watch::Sender::new(false),
            is_broken: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            verified: AtomicU64::new(0),
            held_ms: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    /// The server, once it is there.
    pub(crate) async fn up(&self) -> Standing {
        let mut standing = self.standing.subscribe();
        let up = standing.wait_for(|standing| standing.is_up).await;
        up.expect("the scene holds its sender").clone()
    }

    pub(crate) fn now(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Whether what was begun at `before` may fail.
    pub(crate) fn is_excused(&self, before: &Standing) -> bool {
        let now = self.standing.borrow();
        now.life != before.life || !now.is_up
    }

    /// Records acknowledged and not yet read at the end.
    pub(crate) fn on_their_way(&self) -> u64 {
        let verified = self.verified.load(Ordering::Relaxed);
        self.acknowledged.load(Ordering::Relaxed).saturating_sub(verified)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    pub(crate) fn problem(&self, problem: String) {
        eprintln!("PROBLEM: {problem}");
        let mut told = self.told();
        told.problems_ever += 1;
        if told.problems.len() < PROBLEMS_MAX {
            told.problems.push(problem);
        }
    }

    pub(crate) fn note(&self, kind: &'static str, text: String) {
        let mut told = self.told();
        *told.counts.entry(kind).or_default() += 1;
        told.news.push(text);
    }

    pub(crate) fn take_news(&self) -> Vec<String> {
        std::mem::take(&mut self.told().news)
    }

    /// How many there were, and the first of them.
    pub(crate) fn problems(&self) -> (u64, Vec<String>) {
        let told = self.told();
        (told.problems_ever, told.problems.clone())
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.told().counts.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call to a server that must answer, with one of these.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        statuses: &[u16],
    ) -> Result<Answer> {
        let headers = [("content-type", "application/json")];
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path, &headers, body.into_bytes(), statuses).await
    }

    /// [`Scene::call`] with any headers and body.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        statuses: &[u16],
    ) -> Result<Answer> {
        let client = self.now().client;
        let sending = timeout(ANSWER_MAX, client.try_send(method, path, headers, body));
        let late = || format!("{method} {path}: no answer within {ANSWER_MAX:?}");
        let answer = sending.await.with_context(late)?;
        let answer = answer.with_context(|| format!("{method} {path}"))?;
        let status = answer.status;
        ensure!(statuses.contains(&status), "{method} {path}: {status}: {}", answer.text().trim());
        Ok(answer)
    }

    /// A read of JSON lines, repeated over as many lives of the server as it takes.
    pub(crate) async fn read_lines(&self, path: &str) -> Result<Answer> {
        self.read(path, "application/x-ndjson").await
    }

    /// The same of one JSON value.
    pub(crate) async fn read_json(&self, path: &str) -> Result<Value> {
        Ok(self.read(path, "application/json").await?.json())
    }

    async fn read(&self, path: &str, accept: &str) -> Result<Answer> {
        loop {
            let standing = self.up().await;
            match self.send("GET", path, &[("accept", accept)], Vec::new(), &[200]).await {
                Ok(answer) => return Ok(answer),
                Err(_) if self.is_excused(&standing) => wait::pass(Duration::from_millis(5)).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// What a trigger says of itself.
    pub(crate) async fn status(&self, trigger: &str) -> Result<Value> {
        let answer = self.call("GET", &format!("/v1/triggers/{trigger}"), None, &[200]).await?;
        Ok(answer.json()["status"].clone())
    }
}
