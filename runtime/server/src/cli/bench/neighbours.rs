//! What a trigger keeps while triggers with hostile functions run beside it: its share of the cores and
//! its latency, first alone, then beside each vice, then beside all of them at once. Never a verdict:
//! what the figures should be is runtime/docs/bench.md's.
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use log_contract::{AppendBatch, BatchBuilder, FunctionName, Headers, PartitionId, TriggerName};
use trigger::Ordering;

use super::{
    latency::{Pace, steady},
    report::{Section, Unit},
    rig::{self, IDENTITY, Rig, Topic},
    usage::Usage,
};
use crate::catalog::{FunctionPatch, FunctionRef, LimitsPatch, Selector};

/// How the neighbour works, and for how long it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Setting {
    /// Records of one invocation of the busy neighbour; each burns about a millisecond.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    batch: u16,
    /// How long throughput is counted, and latency too, each time.
    #[arg(long, value_name = "S", default_value_t = 8, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// Only the neighbour alone, and beside all vices at once.
    #[arg(long)]
    all_at_once: bool,
}

/// A way to misbehave: each of its records makes its function do it.
struct Vice {
    name: &'static str,
    component: &'static [u8],
    value: &'static str,
    does: &'static str,
    /// Burns whatever it is given. The others wait for their dead letters most of the time.
    is_hungry: bool,
}

macro_rules! guest {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../functions/built/", $name, ".wasm"))
    };
}

const fn vice(
    name: &'static str,
    component: &'static [u8],
    (value, does, is_hungry): (&'static str, &'static str, bool),
) -> Vice {
    Vice { name, component, value, does, is_hungry }
}

const VICES: [Vice; 6] = [
    vice("spin", guest!("spins"), ("spin", "never comes back", true)),
    vice("memory", guest!("eats-memory"), ("eat", "eats memory", true)),
    vice("trap", guest!("traps"), ("trap", "panics", false)),
    vice("outputs", guest!("floods-outputs"), ("flood", "floods outputs", true)),
    vice("logs", guest!("floods-logs"), ("flood", "floods its log", true)),
    vice("failure", guest!("fails-all"), ("any", "fails on all", false)),
];

const BURNS: &[u8] = guest!("burns");
/// Of the neighbour's source and of each hostile one: each trigger could keep as many cores busy.
const PARTITIONS: u32 = 4;
/// More than a hostile trigger gets through, whatever it does with them.
const HOSTILE_RECORDS: usize = 400_000;
/// More than two fast cores burn in the longest phase, per second of it.
const BUSY_RECORDS_PER_SECOND: u64 = 8_000;
/// A hostile function may run so long. Short, as its CPU time is told when an invocation ends.
const DEADLINE: Duration = Duration::from_millis(500);
/// Widths double once a second.
const SETTLE: Duration = Duration::from_secs(4);
/// Light: the work of the neighbour's function is a few per cent of a core.
const LIGHT_PER_SECOND: u64 = 500;

/// What the neighbour got at one time.
struct Seen {
    busy: Busy,
    /// Nanoseconds from when a record was due to its output being visible, at a light load.
    visible: Histogram<u64>,
    /// Records that were dead letters, dropped, or handed out again.
    failures: f64,
}

/// Of a backlog. Cores are CPU time by wall time.
#[derive(Clone, Debug)]
struct Busy {
    /// Records a second that became durable.
    per_second: f64,
    /// Cores that the guests and feeds of all triggers used.
    guests: f64,
    /// Cores that this process used for all that is not a guest.
    overhead: f64,
    /// Cores that nobody used.
    idle: f64,
    /// Cores that other processes took.
    elsewhere: f64,
    /// Cores of the neighbour, then of each hostile trigger, guests and feeds, as the metrics tell them:
    /// that is the time on a worker, also while that worker had to wait for a core.
    metered: Vec<f64>,
}

pub(super) async fn measure(rig: &Rig, setting: Setting) -> Result<Section> {
    let Setting { batch, seconds, .. } = setting;
    rig.function("burns", BURNS).await?;
    rig.function("identity", IDENTITY).await?;
    for vice in &VICES {
        deploy(rig, vice).await?;
    }
    let about = format!(
        "a neighbour beside hostile functions: burns {batch} ms per invocation for {seconds} s; \
         {LIGHT_PER_SECOND} records a second for {seconds} s"
    );
    let mut section = Section::new("neighbours", about);
    let before = watch(rig, "first", setting, &[]).await?;
    let mut seen = Vec::new();
    for vice in VICES.iter().filter(|_| !setting.all_at_once) {
        let hostile = [start(rig, vice, "one").await?];
        seen.push((std::slice::from_ref(vice), watch(rig, vice.name, setting, &hostile).await?));
        stop(rig, &hostile).await?;
    }
    let mut hostile = Vec::new();
    for vice in &VICES {
        hostile.push(start(rig, vice, "all").await?);
    }
    seen.push((&VICES[..], watch(rig, "all", setting, &hostile).await?));
    stop(rig, &hostile).await?;
    let after = watch(rig, "last", setting, &[]).await?;

    let alone = both(before, after, &mut section);
    let mut failures = alone.failures;
    for (vices, seen) in &seen {
        beside(&mut section, vices, &alone, seen);
        failures += seen.failures;
    }
    section.add("failures", "records of the neighbour that failed", failures, Unit::Count);
    Ok(section)
}

/// Alone, before and after: what drifted between them is the machine's.
fn both(before: Seen, after: Seen, section: &mut Section) -> Seen {
    let drift = after.busy.per_second / before.busy.per_second;
    let mut visible = before.visible;
    visible.add(&after.visible).expect("both have the same bounds");
    let mean = |of: fn(&Busy) -> f64| of(&before.busy).midpoint(of(&after.busy));
    let busy = Busy {
        per_second: mean(|busy| busy.per_second),
        guests: mean(|busy| busy.guests),
        overhead: mean(|busy| busy.overhead),
        idle: mean(|busy| busy.idle),
        elsewhere: mean(|busy| busy.elsewhere),
        metered: Vec::new(),
    };
    section.add("alone", "alone, of a backlog", busy.per_second, Unit::PerSecond);
    section.add("alone_drift", "  at the end, of the beginning", drift, Unit::Times);
    section.add("alone_cores", "  cores", busy.guests, Unit::Times);
    section.add("alone_idle", "  cores that nobody used", busy.idle, Unit::Times);
    section.add("alone_elsewhere", "  cores of other processes", busy.elsewhere, Unit::Times);
    let failures = before.failures + after.failures;
    let alone = Seen { busy, visible, failures };
    for (what, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let label = format!("  append to output visible, {what}");
        let time = micros(&alone.visible, quantile);
        section.add(&format!("alone_visible_{what}"), &label, time, Unit::Micros);
    }
    alone
}

fn beside(section: &mut Section, vices: &[Vice], alone: &Seen, seen: &Seen) {
    let (name, does) = match vices {
        [vice] => (vice.name, vice.does),
        _ => ("all", "all at once"),
    };
    let key = |what: &str| format!("{name}_{what}");
    let Seen { busy, visible, .. } = seen;
    let Shared { got, fair, hostile } =
        share(&alone.busy, busy, vices.iter().map(|vice| vice.is_hungry));
    section.add(&key("share_of_fair"), &format!("{does}: share of fair"), got / fair, Unit::Times);
    section.beside(format!("{got:.3} of {fair:.3} cores"));
    let throughput = busy.per_second / alone.busy.per_second;
    let label = "  throughput of alone";
    section.add(&key("throughput_of_alone"), label, throughput, Unit::Times);
    section.add(&key("fair_cores"), "  fair share, cores", fair, Unit::Times);
    section.add(&key("neighbour_cores"), "  cores it got", got, Unit::Times);
    let label = "  cores of the hostile";
    section.add(&key("hostile_cores"), label, hostile.iter().sum(), Unit::Times);
    let each: Vec<_> = hostile.iter().map(|cores| format!("{cores:.2}")).collect();
    section.beside(each.join(" + "));
    for (what, label, cores) in [
        ("overhead", "  cores outside of guests", busy.overhead),
        ("idle", "  cores that nobody used", busy.idle),
        ("elsewhere", "  cores of other processes", busy.elsewhere),
    ] {
        section.add(&key(what), label, cores, Unit::Times);
    }
    for (what, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let label = format!("  append to output visible, {what}");
        section.add(
            &key(&format!("visible_{what}")),
            &label,
            micros(visible, quantile),
            Unit::Micros,
        );
    }
    let rise = micros(visible, 0.99) - micros(&alone.visible, 0.99);
    section.add(&key("p99_rise"), "  rise of the p99", rise, Unit::Micros);
}

/// How the cores were shared.
struct Shared {
    got: f64,
    fair: f64,
    hostile: Vec<f64>,
}

fn share(alone: &Busy, beside: &Busy, hungry: impl Iterator<Item = bool>) -> Shared {
    // A record is always the same work, so what was worked tells the cores that it got.
    let got = beside.per_second * alone.guests / alone.per_second;
    let metered: f64 = beside.metered.iter().sum();
    let hostile = beside.metered.iter().skip(1);
    let hostile: Vec<f64> = hostile.map(|cores| cores * beside.guests / metered).collect();
    let wanted = hostile.iter().zip(hungry);
    let wanted = wanted.map(|(took, is_hungry)| if is_hungry { f64::INFINITY } else { *took });
    let fair = fair_share(beside.guests + beside.idle, wanted.collect());
    Shared { got, fair, hostile }
}

fn micros(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1e3
}

/// What one more is entitled to, of `cores` that all share alike, as `trigger::fair_share` has it: all
/// get what they want while it fits; else none gets less than another for wanting less. What one wants
/// less than his share is shared again; who wants more is entitled to no more for that.
fn fair_share(cores: f64, mut others: Vec<f64>) -> f64 {
    others.sort_by(f64::total_cmp);
    let (mut left, mut sharers) = (cores, others.len() + 1);
    for wanted in others {
        if wanted >= left / sharers as f64 {
            break;
        }
        left -= wanted;
        sharers -= 1;
    }
    left / sharers as f64
}

async fn deploy(rig: &Rig, vice: &Vice) -> Result<()> {
    rig.function(vice.name, vice.component).await?;
    let limits = LimitsPatch { timeout: Some(DEADLINE), ..LimitsPatch::default() };
    rig.patch_function(vice.name, FunctionPatch { limits, ..FunctionPatch::default() }).await
}

/// Hostile as can be: it never backs off, never halts, and has more to do than it will ever have done.
async fn start(rig: &Rig, vice: &Vice, run: &str) -> Result<TriggerName> {
    let name = format!("{}-{run}", vice.name);
    let source = rig.topic(&format!("{name}-in"), PARTITIONS).await?;
    let output = rig.topic(&format!("{name}-out"), PARTITIONS).await?;
    fill(rig, &source, vice.value, HOSTILE_RECORDS).await?;
    let function =
        FunctionRef { name: FunctionName::parse(vice.name)?, selector: Selector::Newest };
    let (topics, batches) = ((&source, &output), (Ordering::Partition, 1_000));
    let mut definition = rig::definition(&name, topics, function, batches)?;
    definition.retry.attempts_max = Some(1);
    definition.halt_on_failure_share = 1.0;
    rig.put_trigger(&name, definition).await
}

async fn stop(rig: &Rig, hostile: &[TriggerName]) -> Result<()> {
    for trigger in hostile {
        let status = rig.app.supervisor.status(trigger).await;
        let lag = status.map_or(0, |status| status.lag_records);
        ensure!(lag > 0, "`{trigger}` had nothing left to do: the figures beside it say nothing");
        rig.delete_trigger(trigger).await?;
    }
    Ok(())
}

/// First the busy neighbour, then the one with the light load.
async fn watch(rig: &Rig, run: &str, setting: Setting, hostile: &[TriggerName]) -> Result<Seen> {
    let (busy, failed) = watch_busy(rig, run, setting, hostile).await?;
    let name = format!("light-{run}");
    let source = rig.topic(&format!("{name}-in"), 1).await?;
    let output = rig.topic(&format!("{name}-out"), 1).await?;
    let batches = (Ordering::Partition, 1_000);
    let light = rig.trigger(&name, (&source, &output), "identity", batches).await?;
    let pace = Pace { per_second: LIGHT_PER_SECOND, seconds: setting.seconds + 1 };
    let visible = steady(rig, &source, &output, pace).await?.visible;
    let failures = failed + failures(rig, &light);
    rig.delete_trigger(&light).await?;
    Ok(Seen { busy, visible, failures })
}

/// With its failures.
async fn watch_busy(
    rig: &Rig,
    run: &str,
    setting: Setting,
    hostile: &[TriggerName],
) -> Result<(Busy, f64)> {
    let name = format!("busy-{run}");
    let source = rig.topic(&format!("{name}-in"), PARTITIONS).await?;
    let output = rig.topic(&format!("{name}-out"), PARTITIONS).await?;
    let records = BUSY_RECORDS_PER_SECOND * (setting.seconds + SETTLE.as_secs());
    fill(rig, &source, "burn:1", records as usize).await?;
    let batches = (Ordering::Partition, usize::from(setting.batch));
    let busy = rig.trigger(&name, (&source, &output), "burns", batches).await?;
    tokio::time::sleep(SETTLE).await;
    let counter =
        |what: &str, trigger| rig.counter(&format!("millstream_trigger_{what}_total"), trigger);
    let cpu =
        |trigger| counter("invocation_cpu_seconds", trigger) + counter("feed_seconds", trigger);
    let mut triggers = vec![&busy];
    triggers.extend(hostile);
    let spent: Vec<f64> = triggers.iter().map(|trigger| cpu(trigger)).collect();
    let (began, before, from) =
        (Instant::now(), Usage::now(), rig.count(std::slice::from_ref(&output)).await?);
    tokio::time::sleep(Duration::from_secs(setting.seconds)).await;
    let (used, until) =
        (Usage::now().since(before), rig.count(std::slice::from_ref(&output)).await?);
    let time = began.elapsed().as_secs_f64();
    let metered = triggers.iter().zip(spent).map(|(trigger, spent)| (cpu(trigger) - spent) / time);
    let metered = metered.collect();
    ensure!(until < records, "the neighbour had nothing left to do: its figures say nothing");
    let failures = failures(rig, &busy);
    rig.delete_trigger(&busy).await?;
    let cores_of = |time_used: Duration| time_used.as_secs_f64() / time;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let busy = Busy {
        per_second: (until - from) as f64 / time,
        guests: cores_of(used.guests),
        overhead: cores_of(used.process.saturating_sub(used.guests)),
        idle: cores_of(used.idle),
        elsewhere: (cores - cores_of(used.process + used.idle)).max(0.0),
        metered,
    };
    Ok((busy, failures))
}

fn failures(rig: &Rig, trigger: &TriggerName) -> f64 {
    let counter = |what: &str| rig.counter(&format!("millstream_trigger_{what}_total"), trigger);
    ["records_dead_lettered", "records_dropped", "records_retried"].into_iter().map(counter).sum()
}

/// As many records in each partition.
async fn fill(rig: &Rig, topic: &Topic, value: &str, records: usize) -> Result<()> {
    const APPEND: usize = 10_000;
    let partitions = topic.partitions as usize;
    for to in 0..topic.partitions {
        let mut left = records.div_ceil(partitions);
        while left > 0 {
            let count = left.min(APPEND);
            let mut builder = BatchBuilder::with_capacity(count, count * value.len());
            let now = rig.app.clock.now();
            (0..count).for_each(|_| {
                builder.push_new(now, None, Some(value.as_bytes()), Headers::NONE);
            });
            let mut batch = AppendBatch::from(builder.build());
            batch.partitions.push((0..count, PartitionId(to)));
            rig.append(topic, batch).await?;
            left -= count;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_belongs_to_who_wants_it_and_what_others_took_to_nobody() {
        let busy = |per_second, guests, idle, metered: &[f64]| Busy {
            per_second,
            guests,
            overhead: 0.1,
            idle,
            elsewhere: 1.9 - guests - idle,
            metered: metered.to_vec(),
        };
        let alone = busy(1_900.0, 1.9, 0.0, &[1.9]);
        for (beside, is_hungry, got, fair, taken) in [
            // Half of the machine is gone: workers wait half of their time, which is metered all the same.
            (busy(450.0, 0.9, 0.0, &[0.9, 0.9]), true, 0.45, 0.45, 0.45),
            // The hostile one wants little, and the neighbour is not let at the rest.
            (busy(1_000.0, 1.2, 0.7, &[1.0, 0.2]), false, 1.0, 1.7, 0.2),
        ] {
            let shared = share(&alone, &beside, [is_hungry].into_iter());
            let found = [shared.got, shared.fair, shared.hostile[0]];
            let is_near = |(one, other): (&f64, &f64)| (one - other).abs() < 1e-9;
            assert!(found.iter().zip(&[got, fair, taken]).all(is_near), "{found:?}");
        }
    }

    #[test]
    fn what_others_leave_is_shared_by_those_who_want_it() {
        for (others, fair) in [
            (&[][..], 2.0),
            (&[2.0], 1.0),
            (&[1.9, 0.02], 0.99),
            (&[0.1, 0.1], 1.8),
            (&[0.5, 0.5, 0.5], 0.5),
            (&[1.0, 0.3, 0.1], 0.8),
        ] {
            let got = fair_share(2.0, others.to_vec());
            assert!((got - fair).abs() < 1e-9, "{others:?}: {got}, not {fair}");
        }
    }
}
