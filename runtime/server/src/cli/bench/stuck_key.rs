//! One key of many fails again and again under `ordering: key`, while records come at a steady rate:
//! what that costs the other keys, in throughput, in memory and in progress that is to be written down.
//! What happened is read from the log afterwards; while it happens only memory and ranges are looked at.
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use log_contract::{
    AppendBatch, BatchBuilder, FunctionName, Headers, Offset, Progress, ReadBudget, Record,
    Timestamp, TriggerName,
};
use trigger::Ordering;

use super::{
    limits::histogram,
    report::{Section, Unit},
    rig::{self, IDENTITY, Rig, Topic},
    usage::resident_bytes,
};
use crate::catalog::{FunctionPatch, FunctionRef, Selector};

/// How long one key is stuck, among what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Setting {
    /// How long the key is stuck.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..=3_600))]
    seconds: u64,
    /// How long all is well before.
    #[arg(long, value_name = "S", default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=3_600))]
    before: u64,
    /// Records a second, of all keys.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    rate: u64,
    /// Keys that take turns.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    keys: u64,
}

/// Names the records that fail: those that say "bad".
const FAILS_ITEMS: &[u8] = include_bytes!("../../../../../functions/built/fails-items.wasm");
const FUNCTION: &str = "copy";
const ALIAS: &str = "live";
const PARTITIONS: u32 = 4;
const BATCH: usize = 1_000;
const VALUE: usize = 100;
/// Before anything is looked at: the log keeps its newest 128 MiB in memory, and shall not grow into
/// that while memory is watched.
const FILL: u64 = 1_500_000;
/// How long all is well afterwards.
const AFTER: u64 = 10;
/// Appends a second, each with its part of the rate.
const APPENDS: u64 = 100;
/// Between two looks at memory and ranges.
const LOOK: Duration = Duration::from_millis(100);
/// A stuck key is tried again so often at least: the key is free that much later than its function is
/// repaired.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// When what began, by the log's clock.
#[derive(Clone, Copy, Debug)]
struct Times {
    began: Timestamp,
    /// When the record that fails was due.
    stuck: Timestamp,
    /// When the function was repaired.
    free: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Timestamp,
    resident: u64,
    /// The most of one partition.
    ranges: usize,
}

pub(super) async fn measure(rig: &Rig, setting: Setting) -> Result<Section> {
    let Setting { seconds, before, rate, keys } = setting;
    let source = rig.topic("in", PARTITIONS).await?;
    let output = rig.topic("out", PARTITIONS).await?;
    let trigger = set_up(rig, &source, &output).await?;
    let records = Records { keys, fails: (FILL + before * rate).next_multiple_of(keys) };
    fill(rig, &source, &records).await?;
    rig.reaches(std::slice::from_ref(&output), FILL).await?;

    let looks = Mutex::new(Vec::new());
    let (clock, began) = (&rig.app.clock, Instant::now());
    let began_at = clock.now();
    let stuck_for = Duration::from_secs(seconds);
    let stuck = Duration::from_secs_f64((records.fails - FILL) as f64 / rate as f64);
    let total = FILL + ((stuck + stuck_for).as_secs() + AFTER) * rate;
    let repair = async {
        tokio::time::sleep_until((began + stuck + stuck_for).into()).await;
        let free = clock.now();
        live(rig, 2).await?;
        anyhow::Ok(free)
    };
    let work = async {
        let sent = send(rig, &source, &records, (rate, total), began);
        let ((), free) = tokio::try_join!(sent, repair)?;
        rig.reaches(std::slice::from_ref(&output), total).await?;
        anyhow::Ok(free)
    };
    let free = tokio::select! {
        free = work => free?,
        failed = watch(rig, &trigger, &looks) => return failed.map(|()| unreachable!("it watches for ever")),
    };
    let times = Times { began: began_at, stuck: began_at.after(stuck), free };
    let came = read(rig, &source, &output, &records, total, times).await?;
    let about = format!(
        "a key of {keys} is stuck for {seconds} s, at {rate} records of 100 B a second, 4 partitions"
    );
    let mut section = Section::new("stuck_key", about);
    let looks = looks.into_inner().expect("nothing panics while it holds the looks");
    tell(&mut section, &came, &looks, times)?;
    Ok(section)
}

/// Two versions: the first fails records, the second does not.
async fn set_up(rig: &Rig, source: &Topic, output: &Topic) -> Result<TriggerName> {
    rig.function(FUNCTION, FAILS_ITEMS).await?;
    rig.function(FUNCTION, IDENTITY).await?;
    live(rig, 1).await?;
    let function = FunctionRef {
        name: FunctionName::parse(FUNCTION)?,
        selector: Selector::Alias(ALIAS.into()),
    };
    let mut definition =
        rig::definition("copy", (source, output), function, (Ordering::Key, BATCH))?;
    definition.retry.attempts_max = None;
    (definition.retry.backoff_min, definition.retry.backoff_max) = BACKOFF;
    rig.put_trigger("copy", definition).await
}

async fn live(rig: &Rig, version: u32) -> Result<()> {
    let aliases = [(ALIAS.to_owned(), Some(version))].into();
    rig.patch_function(FUNCTION, FunctionPatch { aliases, ..FunctionPatch::default() }).await
}

/// What is sent: records in the order of their numbers, whose keys take turns.
struct Records {
    keys: u64,
    /// The number of the record that fails. Its key is 0.
    fails: u64,
}

impl Records {
    fn key(&self, nth: u64) -> u64 {
        nth % self.keys
    }

    fn batch(&self, numbers: std::ops::Range<u64>, now: Timestamp) -> AppendBatch {
        let count = (numbers.end - numbers.start) as usize;
        let mut builder = BatchBuilder::with_capacity(count, count * (VALUE + 8));
        for nth in numbers {
            let what = if nth == self.fails { "bad" } else { "fine" };
            let value = format!("{nth:<20}{what:<80}");
            let key = self.key(nth).to_be_bytes();
            builder.push_new(now, Some(&key), Some(value.as_bytes()), Headers::NONE);
        }
        builder.build().into()
    }

    fn number(record: &Record<'_>) -> Result<u64> {
        let text = record.value.and_then(|value| std::str::from_utf8(value.get(..20)?).ok());
        let number = text.and_then(|text| text.trim_end().parse().ok());
        number.context("an output lost its number")
    }
}

/// As fast as it goes, and waits until all is handled.
async fn fill(rig: &Rig, source: &Topic, records: &Records) -> Result<()> {
    for from in (0..FILL).step_by(BATCH) {
        rig.append(source, records.batch(from..from + BATCH as u64, rig.app.clock.now())).await?;
    }
    Ok(())
}

/// At a steady rate; what is late is sent at once.
async fn send(
    rig: &Rig,
    source: &Topic,
    records: &Records,
    (rate, total): (u64, u64),
    began: Instant,
) -> Result<()> {
    let (mut from, mut nth) = (FILL, 0);
    while from < total {
        nth += 1;
        let until = (FILL + nth * rate / APPENDS).min(total);
        tokio::time::sleep_until(
            (began + Duration::from_secs(1) * nth as u32 / APPENDS as u32).into(),
        )
        .await;
        rig.append(source, records.batch(from..until, rig.app.clock.now())).await?;
        from = until;
    }
    Ok(())
}

/// Looks at memory and ranges, for ever.
async fn watch(rig: &Rig, trigger: &TriggerName, looks: &Mutex<Vec<Look>>) -> Result<()> {
    loop {
        let cursors = rig.log().cursors().await?;
        let its = cursors.iter().filter(|cursor| cursor.name.as_str() == trigger.as_str());
        let positions = its.flat_map(|cursor| &cursor.positions);
        let ranges = positions.map(|at| at.progress.ahead().len()).max().unwrap_or(0);
        let look = Look { at: rig.app.clock.now(), resident: resident_bytes(), ranges };
        looks.lock().expect("nothing panics while it holds the looks").push(look);
        tokio::time::sleep(LOOK).await;
    }
}

/// What lies in the output topic.
struct Came {
    /// Records of the other keys that became visible, by second since the beginning.
    others: Vec<u64>,
    /// Milliseconds from append to output of the other keys: before, and while one key was stuck.
    before: Histogram<u64>,
    during: Histogram<u64>,
    /// Records of the stuck key that were appended before it was free and came out after.
    waited: u64,
    /// When the last of them came out.
    drained: Timestamp,
}

/// Every record must have come once, and those of a key in their order.
async fn read(
    rig: &Rig,
    source: &Topic,
    output: &Topic,
    records: &Records,
    total: u64,
    times: Times,
) -> Result<Came> {
    let mut appended = vec![Timestamp(0); total as usize];
    each(rig, source, |number, at| {
        appended[number as usize] = at;
        Ok(())
    })
    .await?;
    let mut newest: Vec<Option<u64>> = vec![None; records.keys as usize];
    let mut came = Came {
        others: Vec::new(),
        before: histogram(),
        during: histogram(),
        waited: 0,
        drained: times.free,
    };
    let mut count = 0;
    each(rig, output, |number, at| {
        count += 1;
        let newest = &mut newest[records.key(number) as usize];
        // Each key's numbers go up by the number of keys: so none is missing, and none comes twice.
        let expected = newest.map_or(records.key(number), |newest| newest + records.keys);
        ensure!(number == expected, "record {number} came instead of {expected}: this is a bug");
        *newest = Some(number);
        let since = appended[number as usize];
        if records.key(number) != 0 {
            let second = at.since(times.began).as_secs() as usize;
            if times.began <= at {
                came.others.resize(came.others.len().max(second + 1), 0);
                came.others[second] += 1;
            }
            let took = at.since(since).as_millis() as u64;
            if times.began <= since && at < times.stuck {
                came.before.saturating_record(took);
            } else if times.stuck <= since && since < times.free {
                came.during.saturating_record(took);
            }
        } else if number >= records.fails && since < times.free {
            ensure!(times.free <= at, "record {number} passed the one that fails: this is a bug");
            came.waited += 1;
            came.drained = came.drained.max(at);
        }
        Ok(())
    })
    .await?;
    ensure!(count == total, "{count} records came and {total} are right: this is a bug");
    Ok(came)
}

/// Every record of a topic with its number, and when the log took it.
async fn each(
    rig: &Rig,
    topic: &Topic,
    mut look: impl FnMut(u64, Timestamp) -> Result<()>,
) -> Result<()> {
    let budget = ReadBudget { records_max: 10_000, bytes_max: 4 << 20, wait_max: Duration::ZERO };
    for partition in (0..topic.partitions).map(|partition| topic.partition(partition)) {
        let (mut from, end) = (Offset(0), rig.log().bounds(partition).await?.end);
        while from < end {
            let page = rig.log().read(partition, from, budget).await?;
            if page.next == from {
                bail!("`{}` has no record at {from}, though it ends at {end}", topic.name);
            }
            for record in page.batches.iter().flat_map(log_contract::RecordBatch::records) {
                look(Records::number(&record)?, record.appended_at)?;
            }
            from = page.next;
        }
    }
    Ok(())
}

fn tell(section: &mut Section, came: &Came, looks: &[Look], times: Times) -> Result<()> {
    tell_throughput(section, came, times)?;
    for (name, took) in [("before", &came.before), ("during", &came.during)] {
        for (of, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let label = format!("other keys {name}, append to output, {of}");
            let took = took.value_at_quantile(quantile) as f64 * 1e3;
            section.add(&format!("{name}_visible_{of}"), &label, took, Unit::Micros);
        }
    }
    tell_memory(section, looks, times)?;
    let ranges = looks.iter().map(|look| look.ranges).max().unwrap_or(0) as f64;
    section.add("ranges_max", "ranges of progress, the most of a partition", ranges, Unit::Count);
    section.add("ranges_bound", "  their bound", Progress::RANGES_MAX as f64, Unit::Count);
    section.add("waited", "records of the stuck key that waited", came.waited as f64, Unit::Count);
    let drained = came.drained.since(times.free).as_micros() as f64;
    section.add("drained_after", "  from the repair to the last of them", drained, Unit::Micros);
    Ok(())
}

/// Whole seconds only; the first of each phase is not counted.
fn tell_throughput(section: &mut Section, came: &Came, times: Times) -> Result<()> {
    let second = |at: Timestamp| at.since(times.began).as_secs() as usize;
    let (stuck, free) = (second(times.stuck), second(times.free));
    let phases = [
        ("before", 1..stuck),
        ("during", stuck + 1..free),
        ("after", free + 1..free + AFTER as usize - 1),
    ];
    let mut medians = Vec::new();
    for (name, seconds) in phases {
        let counts = came.others.get(seconds).filter(|counts| !counts.is_empty());
        let mut counts = counts.context("a phase is too short")?.to_vec();
        counts.sort_unstable();
        let (least, median) = (counts[0] as f64, counts[counts.len() / 2] as f64);
        let label = format!("other keys {name}, median of {} seconds", counts.len());
        section.add(&format!("{name}_median"), &label, median, Unit::PerSecond);
        section.add(&format!("{name}_min"), "  least of them", least, Unit::PerSecond);
        medians.push(median);
    }
    section.add("during_of_before", "  during, of before", medians[1] / medians[0], Unit::Times);
    Ok(())
}

fn tell_memory(section: &mut Section, looks: &[Look], times: Times) -> Result<()> {
    let phases = [
        ("before", times.began, times.stuck),
        ("during", times.stuck, times.free),
        ("after", times.free, times.free.after(Duration::from_secs(AFTER))),
    ];
    for (name, from, to) in phases {
        let seen = looks.iter().filter(|look| from <= look.at && look.at < to);
        let mut seen: Vec<f64> = seen.map(|look| look.resident as f64 / 1e6).collect();
        let last = *seen.last().context("nobody looked at memory")?;
        seen.sort_by(f64::total_cmp);
        let (median, most) = (seen[seen.len() / 2], seen[seen.len() - 1]);
        let label = format!("memory {name}, median");
        section.add(&format!("{name}_memory_median"), &label, median, Unit::Megabytes);
        section.add(&format!("{name}_memory_max"), "  most", most, Unit::Megabytes);
        section.add(&format!("{name}_memory_last"), "  at its end", last, Unit::Megabytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_its_number_and_one_of_them_fails() {
        let records = Records { keys: 3, fails: 6 };
        let batch = records.batch(4..8, Timestamp(5));
        let numbers: Vec<_> =
            batch.records.records().map(|record| Records::number(&record).unwrap()).collect();
        assert_eq!(numbers, [4, 5, 6, 7]);
        let says_bad = |record: Record<'_>| {
            record.value.is_some_and(|value| value.windows(3).any(|word| word == b"bad"))
        };
        let bad: Vec<_> = batch.records.records().map(says_bad).collect();
        assert_eq!(bad, [false, false, true, false]);
        assert_eq!(batch.records.record(2).key, Some(&0_u64.to_be_bytes()[..]));
    }
}
