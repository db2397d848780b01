//! Appends in process: the latency of a small one that has the log to itself, and how much goes through
//! in batches. Never a function.
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use log_contract::PartitionId;

use super::{
    limits::{Limits, histogram, nanos},
    load::Load,
    report::{Section, Unit},
    rig::{Rig, Topic},
};

const PARTITIONS: u32 = 4;
const SMALL_TIME: Duration = Duration::from_secs(3);
const BATCH_TIME: Duration = Duration::from_secs(3);

pub(super) async fn measure(rig: &Rig, limits: &Limits) -> Result<Section> {
    let mut section = Section::new("log", "appends in process, durable before the answer");
    small(rig, limits, &mut section).await?;
    for (name, bytes, label) in [("100b", 100, "100 B"), ("1k", 1_024, "1 KiB")] {
        let topic = rig.topic(&format!("log-{name}"), PARTITIONS).await?;
        let load = Load { bytes, records: 1_000, keyed: false };
        let per_second = batches(rig, &topic, load).await?;
        section.add(
            &format!("append_{name}"),
            &format!("append {label} in batches of 1,000, 4 at once"),
            per_second,
            Unit::PerSecond,
        );
        let mb = per_second * bytes as f64 / 1e6;
        let ratio = mb / limits.sequential_mb;
        section.beside(format!("{mb:.0} MB/s, {ratio:.2} x sequential write"));
        section.add(
            &format!("append_{name}_of_sequential"),
            "  of sequential write",
            ratio,
            Unit::Times,
        );
    }
    Ok(section)
}

/// One record at a time.
async fn small(rig: &Rig, limits: &Limits, section: &mut Section) -> Result<()> {
    let topic = rig.topic("log-small", 1).await?;
    let load = Load { bytes: 100, records: 1, keyed: false };
    let now = rig.app.clock.now();
    let mut times = histogram();
    let began = Instant::now();
    for nth in 0.. {
        let batch = load.batch(nth, now);
        let start = Instant::now();
        rig.append(&topic, batch).await?;
        if nth >= 100 {
            times.saturating_record(nanos(start.elapsed()));
        }
        if began.elapsed() > SMALL_TIME {
            break;
        }
    }
    for (name, quantile) in [("p50", 0.50), ("p99", 0.99)] {
        let micros = times.value_at_quantile(quantile) as f64 / 1e3;
        let sync = if name == "p50" { limits.sync_p50_us } else { limits.sync_p99_us };
        let label = format!("append one record of 100 B, {name}");
        section.add(&format!("append_one_{name}"), &label, micros, Unit::Micros);
        section.beside(format!("{:.2} x append 4 KiB + fdatasync {name}", micros / sync));
    }
    let ratio = times.value_at_quantile(0.50) as f64 / 1e3 / limits.sync_p50_us;
    section.add("append_one_p50_of_sync", "  of a sync, p50", ratio, Unit::Times);
    Ok(())
}

/// Records a second, one producer per partition.
async fn batches(rig: &Rig, topic: &Topic, load: Load) -> Result<f64> {
    let now = rig.app.clock.now();
    let until = Instant::now() + BATCH_TIME;
    let began = Instant::now();
    let producers = (0..PARTITIONS).map(|to| async move {
        let batch = load.batch_for(PartitionId(to), now);
        let mut appended = 0;
        while Instant::now() < until {
            rig.append(topic, batch.clone()).await?;
            appended += load.records as u64;
        }
        anyhow::Ok(appended)
    });
    let appended: u64 = try_join_all(producers).await?.into_iter().sum();
    Ok(appended as f64 / began.elapsed().as_secs_f64())
}
