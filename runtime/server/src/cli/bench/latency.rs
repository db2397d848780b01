//! From an append to its output being visible, at a steady rate. Open loop: a record is due when it is
//! due, and one that is sent late counts from then (no coordinated omission).
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use log_contract::{
    AppendBatch, BatchBuilder, Headers, Offset, PartitionId, PartitionRef, ReadBudget,
};
use tokio::sync::mpsc;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use trigger::Ordering;

use super::{
    limits::{Limits, histogram, nanos},
    report::{Section, Unit},
    rig::{IDENTITY, Rig, Topic},
};

/// A steady load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Records.
    pub(super) per_second: u64,
    /// For so long. The first second is not counted: it finds caches cold and widths small.
    pub(super) seconds: u64,
}

/// What came of a steady load, in nanoseconds since a record was due.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// Until a reader had its output.
    pub(super) visible: Histogram<u64>,
    /// Until its append was answered.
    pub(super) acked: Histogram<u64>,
}

const PACE: Pace = Pace { per_second: 1_000, seconds: 6 };
const VALUE: usize = 100;
/// Appends that may be under way, so that one slow sync does not make the next ones late.
const APPENDS_MAX: usize = 256;

pub(super) async fn measure(rig: &Rig, limits: &Limits) -> Result<Section> {
    section(rig, limits, "latency", 1).await
}

/// Each trigger reads what the one before puts out.
pub(super) async fn chained(rig: &Rig, limits: &Limits) -> Result<Section> {
    section(rig, limits, "chained", 3).await
}

async fn section(
    rig: &Rig,
    limits: &Limits,
    name: &'static str,
    triggers: usize,
) -> Result<Section> {
    rig.function("identity", IDENTITY).await?;
    let mut topics = vec![rig.topic("in", 1).await?];
    for nth in 0..triggers {
        let output = rig.topic(&format!("out-{nth}"), 1).await?;
        let between = (&topics[nth], &output);
        rig.trigger(&format!("copy-{nth}"), between, "identity", (Ordering::Partition, 1_000))
            .await?;
        topics.push(output);
    }
    let Times { visible: seen, acked } = steady(rig, &topics[0], &topics[triggers], PACE).await?;
    let per_second = PACE.per_second;
    let functions = if triggers == 1 { "function".into() } else { format!("{triggers} functions") };
    let about = format!("append -> {functions} -> visible, {per_second} records of 100 B a second");
    let mut section = Section::new(name, about);
    let micros = |times: &Histogram<u64>, at: f64| times.value_at_quantile(at) as f64 / 1e3;
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
        let label = format!("append to output visible, {name}");
        section.add(&format!("visible_{name}"), &label, micros(&seen, quantile), Unit::Micros);
        if name == "p50" {
            let syncs = micros(&seen, quantile) / limits.sync_p50_us;
            let needed = triggers + 1;
            section
                .beside(format!("{syncs:.2} x append 4 KiB + fdatasync p50 ({needed} are needed)"));
        }
    }
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let label = format!("append to answer, {name}");
        section.add(&format!("acked_{name}"), &label, micros(&acked, quantile), Unit::Micros);
    }
    let ratio = micros(&seen, 0.5) / limits.sync_p50_us;
    section.add("visible_p50_of_sync", "  visible, of a sync, p50", ratio, Unit::Times);
    let spread = micros(&seen, 0.99) / micros(&seen, 0.5);
    section.add("visible_p99_of_p50", "  visible, p99 of p50", spread, Unit::Times);
    Ok(section)
}

/// Through whatever trigger maps `source` to `output`, one partition each, both empty. Each output must
/// come once.
pub(super) async fn steady(rig: &Rig, source: &Topic, output: &Topic, pace: Pace) -> Result<Times> {
    let began = Instant::now() + Duration::from_millis(100);
    let read = read(rig, output.partition(0), pace, began);
    let (visible, acked) = tokio::try_join!(read, send(rig, source, pace, began))?;
    Ok(Times { visible, acked })
}

impl Pace {
    fn records(self) -> u64 {
        self.per_second * self.seconds
    }

    fn due(self, began: Instant, nth: u64) -> Instant {
        began + Duration::from_secs(1) * nth as u32 / self.per_second as u32
    }

    fn note(self, times: &mut Histogram<u64>, nth: u64, time: Duration) {
        if nth >= self.per_second {
            times.saturating_record(nanos(time));
        }
    }
}

/// Says each number when it is due. On a thread of its own: the runtime's timers are a millisecond wide,
/// more than what is measured.
fn metronome(pace: Pace, began: Instant) -> mpsc::UnboundedReceiver<u64> {
    let (ticks, due) = mpsc::unbounded_channel();
    tokio::task::spawn_blocking(move || {
        for nth in 0..pace.records() {
            std::thread::sleep(pace.due(began, nth).saturating_duration_since(Instant::now()));
            if ticks.send(nth).is_err() {
                // Whoever listened has given up.
                break;
            }
        }
    });
    due
}

/// Sends each record when it is due. Gives the time to the answer.
async fn send(rig: &Rig, topic: &Topic, pace: Pace, began: Instant) -> Result<Histogram<u64>> {
    let tracker = TaskTracker::new();
    let mut under_way: std::collections::VecDeque<AbortOnDropHandle<_>> = Default::default();
    let mut times = histogram();
    let mut ticks = metronome(pace, began);
    while let Some(nth) = ticks.recv().await {
        let due = pace.due(began, nth);
        let (log, topic, batch) = (rig.log().clone(), topic.id, record(nth, rig));
        // Ends with its append. Its failure, or panic, is told where it is awaited.
        under_way.push_back(AbortOnDropHandle::new(tracker.spawn(async move {
            let appended = log.append(topic, batch, Default::default()).await;
            appended.map(|_| (nth, Instant::now().saturating_duration_since(due)))
        })));
        while under_way.len() > APPENDS_MAX
            || under_way.front().is_some_and(|one| one.is_finished())
        {
            let Some(oldest) = under_way.pop_front() else { break };
            let (nth, time) = oldest.await?.context("append")?;
            pace.note(&mut times, nth, time);
        }
    }
    for rest in under_way {
        let (nth, time) = rest.await?.context("append")?;
        pace.note(&mut times, nth, time);
    }
    Ok(times)
}

/// Its number is in its value.
fn record(nth: u64, rig: &Rig) -> AppendBatch {
    let mut value = [b'.'; VALUE];
    value[..8].copy_from_slice(&nth.to_be_bytes());
    let mut builder = BatchBuilder::with_capacity(1, VALUE);
    builder.push_new(rig.app.clock.now(), None, Some(&value), Headers::NONE);
    let mut batch = AppendBatch::from(builder.build());
    batch.partitions.push((0..1, PartitionId(0)));
    batch
}

/// Reads outputs as they become visible. Each record must come once.
async fn read(
    rig: &Rig,
    partition: PartitionRef,
    pace: Pace,
    began: Instant,
) -> Result<Histogram<u64>> {
    let budget =
        ReadBudget { records_max: 1_000, bytes_max: 1 << 20, wait_max: Duration::from_secs(20) };
    let mut times = histogram();
    let mut seen = vec![false; pace.records() as usize];
    let (mut from, mut count) = (Offset(0), 0);
    while count < seen.len() {
        let page = rig.log().read(partition, from, budget).await?;
        let now = Instant::now();
        if page.batches.is_empty() {
            bail!("{count} of {} outputs came and no more do", seen.len());
        }
        from = page.next;
        for record in page.batches.iter().flat_map(log_contract::RecordBatch::records) {
            let number = record.value.and_then(|value| value.first_chunk::<8>());
            let nth = u64::from_be_bytes(*number.context("an output lost its value")?);
            let is_new =
                seen.get_mut(nth as usize).is_some_and(|one| !std::mem::replace(one, true));
            if !is_new {
                bail!("output {nth} came twice: this is a bug");
            }
            count += 1;
            let late = now.saturating_duration_since(pace.due(began, nth));
            pace.note(&mut times, nth, late);
        }
    }
    Ok(times)
}
