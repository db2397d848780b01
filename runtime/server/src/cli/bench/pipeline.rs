//! A backlog through a function into a topic: what the whole moves, durable and exactly once.
use std::time::Instant;

use anyhow::Result;
use futures::future::try_join_all;
use log_contract::{AppendBatch, PartitionId};
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
pub(super) const BATCH: usize = 1_000;
pub(super) const PARTITIONS: u32 = 4;

/// A backlog, and what it goes through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) function: &'static str,
    /// Each from a topic of its own to one of its own.
    pub(super) triggers: u32,
    /// Of each topic.
    pub(super) partitions: u32,
    /// Records of an invocation, at most.
    pub(super) batch: usize,
    pub(super) keyed: bool,
}

impl Shape {
    /// What the others are compared with.
    pub(super) const USUAL: Self = Self {
        function: "identity",
        triggers: 1,
        partitions: PARTITIONS,
        batch: BATCH,
        keyed: false,
    };
}

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
        let shape = Shape { keyed, ..Shape::USUAL };
        let run = run(rig, name, shape, load, records / share).await?;
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

#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Records read and done with.
    pub(super) per_second: f64,
    pub(super) cores: f64,
    /// Of the whole process, a record.
    allocations: f64,
    /// From the first trigger being put to its first output.
    first_us: f64,
}

/// The rate is counted from the first tenth on: starting is a figure of its own. At least so many records,
/// the same batch again and again.
pub(super) async fn run(
    rig: &Rig,
    name: &str,
    shape: Shape,
    load: Load,
    records: u64,
) -> Result<Run> {
    let batch = load.batch(0, rig.app.clock.now());
    through(rig, name, shape, &batch, records, |records| records).await
}

/// The same with a batch of the caller's; of so many records the function puts out `kept`.
pub(super) async fn through(
    rig: &Rig,
    name: &str,
    shape: Shape,
    appended: &AppendBatch,
    records: u64,
    kept: impl Fn(u64) -> u64,
) -> Result<Run> {
    let Shape { function, triggers, partitions, batch, keyed } = shape;
    let mut pairs = Vec::new();
    for nth in 0..triggers {
        let source = rig.topic(&format!("in-{name}-{nth}"), partitions).await?;
        let output = rig.topic(&format!("out-{name}-{nth}"), partitions).await?;
        pairs.push((source, output));
    }
    let each = appended.records.len() as u64;
    let appends = records.div_ceil(each * u64::from(partitions) * u64::from(triggers));
    let fills = pairs.iter().flat_map(|(source, _)| {
        (0..partitions).map(|to| fill(rig, source, PartitionId(to), appended, appends, keyed))
    });
    try_join_all(fills).await?;
    let (sources, outputs): (Vec<Topic>, Vec<Topic>) = pairs.into_iter().unzip();
    let records = rig.count(&sources).await?;
    let wanted = kept(records);
    let ordering = if keyed { Ordering::Key } else { Ordering::Partition };
    let began = Instant::now();
    for (nth, between) in sources.iter().zip(&outputs).enumerate() {
        rig.trigger(&format!("copy-{name}-{nth}"), between, function, (ordering, batch)).await?;
    }
    let first = at_least(rig, &outputs, 1).await?.0;
    let (from, before) = at_least(rig, &outputs, wanted / 10).await?;
    let cpu = cpu_time();
    Allocator::begin_counting();
    let until = rig.reaches(&outputs, wanted).await?;
    let allocations = Allocator::end_counting();
    let time = (until - from).as_secs_f64();
    let counted = (wanted - before) as f64 * records as f64 / wanted as f64;
    Ok(Run {
        per_second: counted / time,
        allocations: allocations as f64 / counted,
        cores: (cpu_time() - cpu).as_secs_f64() / time,
        first_us: (first - began).as_secs_f64() * 1e6,
    })
}

/// When there were so many, and how many there were.
async fn at_least(rig: &Rig, topics: &[Topic], wanted: u64) -> Result<(Instant, u64)> {
    let began = Instant::now();
    loop {
        let count = rig.count(topics).await?;
        if count >= wanted {
            return Ok((Instant::now(), count));
        }
        anyhow::ensure!(
            began.elapsed().as_secs() < 60,
            "there are {count} outputs after a minute and {wanted} should be there",
        );
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// A producer's own: where there are keys, they say where a record goes.
async fn fill(
    rig: &Rig,
    topic: &Topic,
    to: PartitionId,
    batch: &AppendBatch,
    appends: u64,
    keyed: bool,
) -> Result<()> {
    let mut batch = batch.clone();
    if !keyed {
        batch.partitions.push((0..batch.records.len(), to));
    }
    for _ in 0..appends {
        rig.append(topic, batch.clone()).await?;
    }
    Ok(())
}
