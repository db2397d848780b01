//! Many triggers that rest, and a record for each of them at once: how long until all are handled.
use std::time::Instant;

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use log_contract::PartitionId;
use trigger::Ordering;

use super::{
    load::Load,
    report::{Section, Unit},
    rig::{IDENTITY, Rig},
};

/// Definitions, and appends, under way at once.
const AT_ONCE: usize = 64;

pub(super) async fn measure(rig: &Rig, triggers: u64) -> Result<Section> {
    let about = format!("{triggers} triggers at rest, a topic each, get a record each at once");
    let mut section = Section::new("burst", about);
    rig.function("identity", IDENTITY).await?;
    let output = &rig.topic("all", 4).await?;
    let sources: Vec<_> = stream::iter(0..triggers)
        .map(|nth| async move {
            let source = rig.topic(&format!("in-{nth}"), 1).await?;
            let name = format!("one-of-many-{nth}");
            rig.trigger(&name, (&source, output), "identity", (Ordering::Partition, 1_000)).await?;
            anyhow::Ok(source)
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let load = Load { bytes: 100, records: 1, keyed: false };
    let batch = &load.batch_for(PartitionId(0), rig.app.clock.now());
    // Once, so that all feeds have begun and the function is loaded.
    for wanted in [triggers, 2 * triggers] {
        let began = Instant::now();
        let appends = stream::iter(&sources)
            .map(|source| rig.append(source, batch.clone()))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>();
        let (appended, done) =
            tokio::join!(appends, rig.reaches(std::slice::from_ref(output), wanted));
        appended?;
        let took = (done? - began).as_secs_f64() * 1e6;
        let (key, label) = match wanted == triggers {
            true => ("first", "all handled, the first time"),
            false => ("again", "all handled, from rest"),
        };
        section.add(key, label, took, Unit::Micros);
    }
    Ok(section)
}
