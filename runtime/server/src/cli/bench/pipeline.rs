//! A backlog through a function into a topic: what the whole moves, durable and exactly once.
use std::time::Instant;

use anyhow::Result;
use futures::future::try_join_all;
use log_contract::PartitionId;
use trigger::Ordering;

use super::{
    limits::Limits,
    load::Load,
    report::{Section, Unit},
    rig::{IDENTITY, Rig, Topic},
    usage::cpu_time,
};
use crate::allocator::Allocator;

/// Of the backlog at 100 bytes.
pub(super) const RECORDS: u64 = 4_000_000;
const PARTITIONS: u32 = 4;
const BATCH: usize = 1_000;

pub(super) async fn measure(
    rig: &Rig,
    limits: &Limits,
    keyed: bool,
    records: u64,
) -> Result<Section> {
    let keys = if keyed { "ordering per key" } else { "no keys, ordering per partition" };
    let about = format!("topic -> identity function -> topic, 4 partitions, batch 1,000, {keys}");
    let mut section = Section::new("pipeline", about);
    rig.function("identity", IDENTITY).await?;
    for (name, bytes, share) in [("100b", 100, 1), ("1k", 1_024, 5)] {
        let load = Load { bytes, records: BATCH, keyed };
        let appends = (records / share).div_ceil(BATCH as u64 * u64::from(PARTITIONS));
        let run = one(rig, name, load, appends).await?;
        let label = if name == "100b" { "records of 100 B" } else { "records of 1 KiB" };
        section.add(name, label, run.per_second, Unit::PerSecond);
        let mb = run.per_second * bytes as f64 / 1e6;
        let ratio = mb / limits.sequential_mb;
        section.beside(format!("{mb:.0} MB/s, {ratio:.2} x sequential write"));
        section.add(&format!("{name}_of_sequential"), "  of sequential write", ratio, Unit::Times);
        section.add(&format!("{name}_cores"), "  cores used", run.cores, Unit::Times);
        let allocations = run.allocations;
        section.add(
            &format!("{name}_allocations"),
            "  heap allocations a record",
            allocations,
            Unit::PerRecord,
        );
        section.add(
            &format!("{name}_first_output"),
            "  first output after",
            run.first_us,
            Unit::Micros,
        );
    }
    Ok(section)
}

struct Run {
    per_second: f64,
    cores: f64,
    /// Of the whole process, a record.
    allocations: f64,
    /// From the trigger being there to its first output.
    first_us: f64,
}

/// The rate is counted from the first tenth on: starting is a figure of its own.
async fn one(rig: &Rig, name: &str, load: Load, appends: u64) -> Result<Run> {
    let source = rig.topic(&format!("in-{name}"), PARTITIONS).await?;
    let output = rig.topic(&format!("out-{name}"), PARTITIONS).await?;
    prefill(rig, &source, load, appends).await?;
    let records = rig.count(&source).await?;
    let ordering = if load.keyed { Ordering::Key } else { Ordering::Partition };
    let began = Instant::now();
    let between = (&source, &output);
    rig.trigger(&format!("copy-{name}"), between, "identity", (ordering, BATCH)).await?;
    let first = at_least(rig, &output, 1).await?.0;
    let (from, before) = at_least(rig, &output, records / 10).await?;
    let cpu = cpu_time();
    Allocator::begin_counting();
    let until = rig.reaches(&output, records).await?;
    let allocations = Allocator::end_counting();
    let time = (until - from).as_secs_f64();
    let records = (records - before) as f64;
    Ok(Run {
        per_second: records / time,
        allocations: allocations as f64 / records,
        cores: (cpu_time() - cpu).as_secs_f64() / time,
        first_us: (first - began).as_secs_f64() * 1e6,
    })
}

/// When there were so many, and how many there were.
async fn at_least(rig: &Rig, topic: &Topic, wanted: u64) -> Result<(Instant, u64)> {
    let began = Instant::now();
    loop {
        let count = rig.count(topic).await?;
        if count >= wanted {
            return Ok((Instant::now(), count));
        }
        anyhow::ensure!(
            began.elapsed().as_secs() < 60,
            "`{}` has {count} records after a minute and {wanted} should be there",
            topic.name
        );
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// As many appends to each partition.
async fn prefill(rig: &Rig, topic: &Topic, load: Load, appends: u64) -> Result<()> {
    let now = rig.app.clock.now();
    let producers = (0..PARTITIONS).map(|to| async move {
        for nth in 0..appends {
            let batch = if load.keyed {
                load.batch(nth * u64::from(PARTITIONS) + u64::from(to), now)
            } else {
                load.batch_for(PartitionId(to), now)
            };
            rig.append(topic, batch).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(producers).await.map(drop)
}
