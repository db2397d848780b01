//! Where the time of a record goes: each stage alone, at batches of 1,000 records of 100 B. The sum is
//! what one record costs if nothing overlaps; in the pipeline stages overlap on the cores there are.
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use log_contract::{
    CursorName, Lease, MembershipEvent, Memo, Offset, Output, PartitionId, Progress, ReadBudget,
    RecordBatch, Settlement, Span,
};
use trigger::Ordering;

use super::{
    core,
    load::Load,
    report::{Section, Unit},
    rig::{IDENTITY, Rig, Topic},
    sandbox::{self, invoke},
};

/// One of the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Stage {
    Append,
    Read,
    Core,
    CoreByKey,
    Call,
    Settle,
}

/// Answers at its first record and looks at no other, so what is left is handing them over.
const FAILS_WHOLE: &[u8] = include_bytes!("../../../../../functions/built/fails-whole.wasm");
const LOAD: Load = Load { bytes: 100, records: 1_000, keyed: false };
const ROUNDS: u64 = 1_000;
/// Of the core alone.
const PAGES: u64 = 5_000;

pub(super) async fn measure(rig: &Rig) -> Result<Section> {
    let about = "nanoseconds a record, each stage alone, batches of 1,000 x 100 B";
    let mut section = Section::new("stages", about);
    let now = rig.app.clock.now();
    let topic = rig.topic("in", 1).await?;
    let output = rig.topic("out", 1).await?;
    let page = LOAD.batch_for(PartitionId(0), now);

    let append = append(rig, &topic, now, ROUNDS).await?;
    section.add("append", "append: frame, journal, sync", append, Unit::Nanos);
    let read = read(rig, &topic, ROUNDS).await?;
    section.add("read", "read: find, check, decode", read, Unit::Nanos);
    let core = core::measure(&page.records, Ordering::Partition, PAGES);
    section.add("core", "decide: batch, settle (ordering: partition)", core, Unit::Nanos);
    let keyed = Load { keyed: true, ..LOAD }.batch(0, now).records;
    let by_key = core::measure(&keyed, Ordering::Key, PAGES);
    section.add("core_by_key", "  the same with ordering: key", by_key, Unit::Nanos);

    let identity = rig.function("identity", IDENTITY).await?;
    let whole = nanos(invoke(rig, &identity, &page.records).await?.whole);
    let deaf = rig.function("fails-whole", FAILS_WHOLE).await?;
    let into = nanos(invoke(rig, &deaf, &starting_bad(&page.records)).await?.whole).min(whole);
    section.add("sandbox_in", "sandbox: start an instance, hand records over", into, Unit::Nanos);
    section.add("sandbox_out", "sandbox: guest, gather outputs", whole - into, Unit::Nanos);

    let settle = settle(rig, &topic, &output, &page.records, (ROUNDS, 1_000)).await?;
    section.add("settle", "settle: outputs and progress, journal, sync", settle, Unit::Nanos);
    let sum = read + core + whole + settle;
    section.add("sum", "read + decide + sandbox + settle", sum, Unit::Nanos);
    section.beside(format!("{:.2} M/s if nothing overlapped", 1e3 / sum));
    Ok(section)
}

fn nanos(batch: Duration) -> f64 {
    batch.as_nanos() as f64 / LOAD.records as f64
}

/// One of them, `rounds` times a batch of 1,000 records of 100 B, and nothing else: for whoever counts
/// instructions, as those of twice as many rounds less those of one are the rounds' own.
pub(super) async fn repeat(rig: &Rig, stage: Stage, rounds: u64) -> Result<()> {
    let now = rig.app.clock.now();
    let page = LOAD.batch_for(PartitionId(0), now);
    match stage {
        Stage::Append => drop(append(rig, &rig.topic("in", 1).await?, now, rounds).await?),
        Stage::Read => {
            // Each page again and again: what is written must not count.
            let topic = rig.topic("in", 1).await?;
            append(rig, &topic, now, 1).await?;
            for _ in 0..rounds {
                read(rig, &topic, 1).await?;
            }
        }
        Stage::Core => drop(core::measure(&page.records, Ordering::Partition, rounds)),
        Stage::CoreByKey => {
            let keyed = Load { keyed: true, ..LOAD }.batch(0, now).records;
            core::measure(&keyed, Ordering::Key, rounds);
        }
        Stage::Call => {
            let identity = rig.function("identity", IDENTITY).await?;
            sandbox::repeat(rig, &identity, &page.records, rounds).await?;
        }
        Stage::Settle => {
            let topics = (rig.topic("in", 1).await?, rig.topic("out", 1).await?);
            // Enough for a step of one record each: filling the source must not count.
            append(rig, &topics.0, now, 1).await?;
            anyhow::ensure!(rounds <= LOAD.records as u64, "at most {} rounds", LOAD.records);
            settle(rig, &topics.0, &topics.1, &page.records, (rounds, 1)).await?;
        }
    }
    Ok(())
}

async fn append(
    rig: &Rig,
    topic: &Topic,
    now: log_contract::Timestamp,
    rounds: u64,
) -> Result<f64> {
    let batch = LOAD.batch_for(PartitionId(0), now);
    let began = Instant::now();
    for _ in 0..rounds {
        rig.append(topic, batch.clone()).await?;
    }
    Ok(nanos(began.elapsed()) / rounds as f64)
}

/// All of a topic that has so many batches.
async fn read(rig: &Rig, topic: &Topic, batches: u64) -> Result<f64> {
    let budget = ReadBudget { records_max: 1_000, bytes_max: 8 << 20, wait_max: Duration::ZERO };
    let began = Instant::now();
    let (mut from, mut records) = (Offset(0), 0);
    loop {
        let page = rig.log().read(topic.partition(0), from, budget).await?;
        records += page.batches.iter().map(RecordBatch::len).sum::<usize>();
        from = page.next;
        if page.next == page.end {
            break;
        }
    }
    anyhow::ensure!(records as u64 == batches * 1_000, "{records} records came back");
    Ok(began.elapsed().as_nanos() as f64 / records as f64)
}

/// Each settlement moves the position by a step and appends a batch.
async fn settle(
    rig: &Rig,
    source: &Topic,
    output: &Topic,
    batch: &RecordBatch,
    (rounds, step): (u64, u64),
) -> Result<f64> {
    let cursor = CursorName::parse("stages")?;
    let mut membership = rig.log().join(&cursor, &[source.id]).await?;
    let lease = lease(membership.as_mut()).await?;
    let began = Instant::now();
    for nth in 1..=rounds {
        let span = Span::from(batch.clone());
        let settlement = Settlement {
            outputs: vec![Output { topic: output.id, span }],
            state: Vec::new(),
            progress: vec![Progress::at(Offset(nth * step))],
            memo: Memo::default(),
            rewind: false,
        };
        rig.log().settle(&lease, settlement).await.context("settle")?;
    }
    Ok(nanos(began.elapsed()) / rounds as f64)
}

async fn lease(membership: &mut dyn log_contract::Membership) -> Result<Lease> {
    loop {
        match membership.next().await {
            Some(MembershipEvent::Gained(lease)) => return Ok(lease),
            Some(_) => {}
            None => bail!("the log gave no lease"),
        }
    }
}

/// The same records, but that `fails-whole` stops at the first.
fn starting_bad(batch: &RecordBatch) -> RecordBatch {
    let mut builder = log_contract::BatchBuilder::default();
    for (nth, record) in batch.records().enumerate() {
        let mut value = record.value.unwrap_or_default().to_vec();
        if nth == 0 {
            value[..3].copy_from_slice(b"bad");
        }
        builder.push_new(record.timestamp, None, Some(&value), record.headers);
    }
    builder.build()
}
