//! After the load: waits until all that was sent has come out, and says whether it is what must be.
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use millstream_tests::wait;
use serde_json::{Value, json};

use crate::{
    ledger::{Ledger, explain},
    load::Sent,
    orders::{KEYS, Order},
    pipeline::{DEAD_LETTERS, TRIGGERS},
    replay::Replay,
    scene::Scene,
};

const DRAINS_WITHIN: Duration = Duration::from_secs(300);

/// Waits until all that was sent has come out and was read.
pub(crate) async fn drain(
    scene: &Scene,
    finals: &Mutex<Ledger>,
    letters: &Mutex<Ledger>,
    replay: &Replay,
) {
    let begin = Instant::now();
    let read =
        |ledger: &Mutex<Ledger>| ledger.lock().unwrap_or_else(PoisonError::into_inner).records;
    loop {
        let is_drained = async || -> Result<bool> {
            for trigger in TRIGGERS {
                if scene.status(trigger).await?["lag_records"] != 0 {
                    return Ok(false);
                }
            }
            let all = [
                ("final", read(finals)),
                (DEAD_LETTERS, read(letters)),
                ("replay.out", replay.read()),
            ];
            for (topic, read) in all {
                if records_of(scene, topic).await? != read {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        match is_drained().await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => return scene.problem(format!("draining: {error:#}")),
        }
        if begin.elapsed() > DRAINS_WITHIN {
            return scene.problem(format!("not all has come out after {DRAINS_WITHIN:?}"));
        }
        wait::pass(Duration::from_millis(100)).await;
    }
}

async fn records_of(scene: &Scene, topic: &str) -> Result<u64> {
    let shown = scene.read_json(&format!("/v1/topics/{topic}")).await?;
    let bounds = shown["bounds"].as_array().context("a topic has bounds")?;
    Ok(bounds.iter().filter_map(|bounds| bounds["records"].as_u64()).sum())
}

/// What was sent against what came out.
pub(crate) fn compare(
    scene: &Scene,
    finals: Arc<Mutex<Ledger>>,
    letters: Arc<Mutex<Ledger>>,
    replay: &Replay,
    sent: &[Sent],
) -> Value {
    let next: Vec<u64> =
        (0..KEYS as usize).map(|key| sent.iter().map(|sent| sent.next[key]).sum()).collect();
    let unknown: Vec<Vec<Order>> = sent.iter().flat_map(|sent| sent.unknown.clone()).collect();
    let mut missing = BTreeSet::new();
    let mut read = Vec::new();
    for ledger in [finals, letters] {
        let ledger = Arc::into_inner(ledger).expect("its readers have ended");
        let ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        read.push(ledger.records);
        match ledger.close(&next) {
            Ok(some) => missing.extend(some),
            Err(error) => scene.problem(format!("{error:#}")),
        }
    }
    let explained = explain(missing, &unknown).inspect_err(|why| scene.problem(why.clone()));
    let replayed = replay.close().inspect_err(|why| scene.problem(format!("{why:#}")));
    let (there, absent) = explained.unwrap_or_default();
    json!({
        "acknowledged": scene.acknowledged.load(Ordering::Relaxed),
        "final": read[0],
        "dead_letters": read[1],
        "requests_without_answer": {"there": there, "absent": absent},
        "replayed": replayed.ok(),
    })
}
