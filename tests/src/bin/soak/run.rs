//! One run, from an empty directory to the report: who works, at what rate, and in which order. Never what
//! is right or wrong.
use std::{
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use millstream_tests::{Options as ServerOptions, Server, wait};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    dice::Dice,
    disturbances::Disturber,
    flat,
    ledger::{Holds, Ledger},
    load::{self, Sent},
    options::{Fault, Options},
    orders::PRODUCERS,
    outputs::{self, Check, Reader},
    pipeline::{self, DEAD_LETTERS, PARTITIONS},
    replay::Replay,
    samples::Samples,
    scene::{Pace, Scene},
    server_log, verdict,
};

/// A start reads the whole journal, and until there is retention that is all that was ever written.
const STARTS_WITHIN: Duration = Duration::from_secs(300);
const WARMS_UP_FOR: Duration = Duration::from_secs(6);
const MEASURED_FOR: Duration = Duration::from_secs(10);
/// Of what the machine can do.
const SHARE: f64 = 0.7;
/// Of the room on the disk, what the load may plan with: disturbances write too, and small batches cost more.
const SURE: f64 = 0.85;
/// While the full rate is measured: enough for every feed to run ahead.
const BACKLOG: u64 = 200_000;
/// Of the rate: beyond it producers wait, and the report says for how long.
const ON_THEIR_WAY_MAX_SECONDS: f64 = 20.0;
/// Of the file that the journal ends in, on average.
const UNUSED_BYTES: u64 = 32 << 20;
/// After the last restart, so that the load ends in a life that works.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Everybody who works during the load.
struct Crew {
    producers: JoinSet<Sent>,
    writer: JoinSet<()>,
    readers: JoinSet<u64>,
    watcher: JoinSet<()>,
    finals: Arc<Mutex<Ledger>>,
    letters: Arc<Mutex<Ledger>>,
}

/// What the load was.
#[derive(Clone, Copy, Debug)]
struct Rates {
    full: f64,
    wanted: f64,
    is_capped: bool,
}

pub(crate) async fn soak(options: Options, seed: u64) -> Result<Value> {
    let load = Duration::from_secs(options.minutes * 60);
    let server = start(&options).await;
    let scene = Arc::new(Scene::new(server.client(), server.pid()));
    pipeline::set_up(&scene).await?;
    let replay = Arc::new(Replay::default());
    let mut dice = Dice::new(seed, "disturbances");
    let mut disturber = Disturber {
        scene: scene.clone(),
        server,
        replay: replay.clone(),
        in_order: dice.below(3),
        dice,
        starts_ms: Vec::new(),
        versions: 0,
        passed: 0,
    };
    scene.pace.send_replace(Pace::Flood { on_their_way_max: BACKLOG });
    let mut crew = crew(&scene, &replay, &options, seed);
    let rates = find_rate(&scene, &options, load).await?;

    let samples = Arc::new(Samples::new());
    crew.watcher.spawn(samples.clone().watch(scene.clone()));
    let (rates, metrics) = disturbed_load(&scene, rates, load, &mut disturber).await;
    let records = finish(&scene, crew, &replay).await;

    let journal = journal_bytes(disturber.server.data());
    let expected_warnings = end(&scene, &mut disturber).await;
    let (figures, grown) = flat::judge(&samples.taken(), load);
    grown.into_iter().for_each(|problem| scene.problem(problem));
    if journal > options.disk_gb * 1_000_000_000 {
        let allowed = options.disk_gb;
        scene.problem(format!("{} MiB were written, {allowed} GB were allowed", journal >> 20));
    }
    let (problems_ever, problems) = scene.problems();
    Ok(json!({
        "ok": problems_ever == 0,
        "seed": seed,
        "minutes": options.minutes,
        "records_per_second": rates,
        "records": records,
        "flat": figures,
        "starts_ms": disturber.starts_ms,
        "journal_mib": journal >> 20,
        "disturbances": scene.counts(),
        "metrics": metrics,
        "expected_warnings": expected_warnings,
        "problems_ever": problems_ever,
        "problems": problems,
    }))
}

async fn start(options: &Options) -> Server {
    let mut arguments = vec!["--log-format".to_owned(), "json".to_owned()];
    if options.fault == Some(Fault::Warning) {
        arguments.push("--insecure".into());
    }
    let binary = options.server.clone();
    let start_within = Some(STARTS_WITHIN);
    Server::with(ServerOptions { arguments, binary, start_within, ..ServerOptions::default() })
        .await
}

/// What the soak is about. Answers what the load was, and what the server said last.
async fn disturbed_load(
    scene: &Scene,
    rates: Rates,
    load: Duration,
    disturber: &mut Disturber,
) -> (Value, Value) {
    let Rates { full, wanted, is_capped } = rates;
    let on_their_way_max = (wanted * ON_THEIR_WAY_MAX_SECONDS) as u64;
    scene.pace.send_replace(Pace::Rate { rate: wanted, on_their_way_max });
    scene.held_ms.store(0, Ordering::Relaxed);
    let (began, before) = (Instant::now(), totals(scene));
    disturber.disturb(load).await;
    let (took, after) = (began.elapsed().as_secs_f64(), totals(scene));
    let held_seconds = scene.held_ms.load(Ordering::Relaxed) / 1_000;
    let metrics = last_figures(scene, disturber).await.unwrap_or_else(|error| {
        scene.problem(format!("{error:#}"));
        Value::Null
    });
    if !scene.is_broken() {
        // Once more on all that was written, under load.
        if let Err(error) = disturber.kill_and_start().await {
            scene.problem(format!("{error:#}"));
        }
        wait::pass(LAST_WORDS).await;
    }
    scene.pace.send_replace(Pace::Stop);
    let load = json!({
        "full": full.round(),
        "wanted": wanted.round(),
        "capped_by_disk": is_capped,
        "in": ((after.0 - before.0) as f64 / took).round(),
        "out": ((after.1 - before.1) as f64 / took).round(),
        "held_seconds": held_seconds,
    });
    (load, metrics)
}

/// Lets all come out and be read, and compares.
async fn finish(scene: &Scene, crew: Crew, replay: &Replay) -> Value {
    let sent = crew.producers.join_all().await;
    crew.writer.join_all().await;
    if !scene.is_broken() {
        verdict::drain(scene, &crew.finals, &crew.letters, replay).await;
    }
    scene.is_over.send_replace(true);
    crew.readers.join_all().await;
    crew.watcher.join_all().await;
    if scene.is_broken() {
        return Value::Null;
    }
    verdict::compare(scene, crew.finals, crew.letters, replay, &sent)
}

/// Starts everybody. They end when the scene says so, and are dropped with a run that fails.
fn crew(scene: &Arc<Scene>, replay: &Arc<Replay>, options: &Options, seed: u64) -> Crew {
    let (mut producers, mut writer) = (JoinSet::new(), JoinSet::new());
    for producer in 0..PRODUCERS {
        let dice = Dice::new(seed, &format!("producer {producer}"));
        producers.spawn(load::produce(scene.clone(), producer, dice));
    }
    writer.spawn(replay.clone().write(scene.clone()));
    let finals = outputs::ledger("final", Holds::Good);
    let letters = outputs::ledger(DEAD_LETTERS, Holds::Bad);
    let mut readers = JoinSet::new();
    let mut read = |topic, partition, check, fault| {
        readers.spawn(Reader { scene: scene.clone(), topic, partition, check, fault }.follow());
    };
    for partition in 0..PARTITIONS {
        read("final", partition, Check::Orders(finals.clone()), options.fault);
    }
    read(DEAD_LETTERS, 0, Check::Orders(letters.clone()), None);
    read("replay.out", 0, Check::Replay(replay.clone()), None);
    Crew { producers, writer, readers, watcher: JoinSet::new(), finals, letters }
}

fn totals(scene: &Scene) -> (u64, u64) {
    (scene.acknowledged.load(Ordering::Relaxed), scene.verified.load(Ordering::Relaxed))
}

/// What the machine can do, all of it: appends, both functions, and reading what came out. Then the share
/// of it that is asked for, or what the disk has room for.
async fn find_rate(scene: &Scene, options: &Options, load: Duration) -> Result<Rates> {
    wait::pass(WARMS_UP_FOR).await;
    let (begin, (_, before)) = (Instant::now(), totals(scene));
    wait::pass(MEASURED_FOR).await;
    let (acknowledged, after) = totals(scene);
    let full = (after - before) as f64 / begin.elapsed().as_secs_f64();
    anyhow::ensure!(full >= 1.0, "nothing comes out");
    let text = scene.call("GET", "/metrics", None, &[200]).await?.text();
    let value = text.lines().find_map(|line| line.strip_prefix("millstream_log_journal_bytes "));
    let written: f64 = value.context("the size of the journal is told")?.parse()?;
    let each = (written - UNUSED_BYTES as f64).max(0.0) / acknowledged as f64;
    let room = (options.disk_gb as f64 * 1e9 - written).max(0.0);
    let most = SURE * room / each / load.as_secs_f64();
    let wanted = options.rate.map_or(full * SHARE, |rate| rate.get() as f64);
    println!(
        "full rate {:.1} k/s, {each:.0} bytes of journal a record; wanted {:.1} k/s, the disk allows {:.1} k/s",
        full / 1e3,
        wanted / 1e3,
        most / 1e3,
    );
    Ok(Rates { full, wanted: wanted.min(most), is_capped: most < wanted })
}

fn journal_bytes(data: &Path) -> u64 {
    let files = std::fs::read_dir(data.join("journal")).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

/// Ends the server in order, and reads its log. Answers the listed warnings that it had.
async fn end(scene: &Scene, disturber: &mut Disturber) -> Value {
    disturber.terminate().await;
    let (expected, problems) = server_log::judge(&disturber.server.log());
    problems.into_iter().for_each(|problem| scene.problem(problem));
    json!(expected)
}

/// What the old life says of itself: nothing of what is gone, and how much is loaded.
async fn last_figures(scene: &Scene, disturber: &Disturber) -> Result<Value> {
    let text = disturber.metrics().await?;
    if let Some(line) = text.lines().find(|line| line.contains("passing-")) {
        scene.problem(format!("/metrics tells of what is gone: {line}"));
    }
    let loaded = text.lines().find(|line| line.starts_with("millstream_guest_functions_loaded "));
    let loaded = loaded.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    Ok(json!({"series": series, "functions_loaded": loaded}))
}
