//! What triggers share, and that nobody takes it all: guests at once, and records in memory.
use crate::bench::{Bench, config, definition, topic, trigger, until};
use log_contract::{
    AppendBatch, AppendGuard, BatchBuilder, CursorName, Headers, PartitionId, Timestamp,
};
use server::{
    config::Storage,
    drive::{PartitionStatus, State},
};
use std::time::{Duration, Instant};

async fn waiting(bench: &Bench, name: &str) {
    bench.topic(name, 1).await;
    bench.topic(&format!("{name}-out"), 1).await;
    let mut definition = definition(name, name, "late");
    definition.output = Some(topic(&format!("{name}-out")));
    definition.batch.records_max = 1;
    bench.put(name, definition).await;
}

async fn until_busy(bench: &Bench, name: &str) {
    let what = format!("`{name}` is busy");
    until(&what, async || {
        let partitions = bench.status(name).await.partitions;
        partitions.iter().any(|it| it.flying > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_place_holds_up_neither_a_pause_nor_the_end() {
    let mut config = config(Storage::Ephemeral);
    (config.guest_slots, config.drain_deadline) = (2, Duration::from_secs(30));
    let bench = Bench::start_with(config).await;
    bench.function("late", "late").await;
    for name in ["a", "b", "c"] {
        waiting(&bench, name).await;
    }
    for name in ["a", "b"] {
        bench.append(name, &["wait:25000", "after"]).await;
        until_busy(&bench, name).await;
    }
    until("both have a place", async || {
        (bench.app.sandbox.stats().instances_live == 2).then_some(())
    })
    .await;
    bench.append("c", &["one"]).await;
    until_busy(&bench, "c").await;
    assert_eq!(bench.app.sandbox.stats().instances_live, 2, "there is no third place");
    let began = Instant::now();
    bench.app.supervisor.pause(&trigger("c")).await.expect("it is paused");
    assert!(began.elapsed() < Duration::from_secs(15), "it did not wait for a place");
    assert!(bench.values("c-out").await.is_empty());
    // Whoever asked for a place and left has left none behind that is taken.
    bench.app.supervisor.resume(&trigger("c")).await.expect("it is resumed");
    bench.until_records("c-out", 1).await;
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_waits_for_what_an_older_definition_has_out() {
    let bench = Bench::start().await;
    bench.function("late", "late").await;
    waiting(&bench, "t").await;
    bench.append("t", &["wait:1500"]).await;
    until("it runs", async || (bench.app.sandbox.stats().instances_live > 0).then_some(())).await;
    let mut other = definition("t", "t", "late");
    other.cursor = CursorName::parse("another").expect("a cursor's name");
    bench.put("t", other).await;
    bench.app.supervisor.pause(&trigger("t")).await.expect("it is paused");
    assert_eq!(bench.app.sandbox.stats().instances_live, 0, "nothing is being invoked");
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stuck_partitions_starve_neither_their_trigger_nor_another() {
    let mut config = config(Storage::Ephemeral);
    config.limits.feeds_bytes_max = 512 << 10;
    let bench = Bench::start_with(config).await;
    bench.function("fails", "fails-whole").await;
    bench.function("identity", "identity").await;
    let source = bench.topic("stuck", 16).await;
    bench.topic("free", 1).await;
    bench.topic("out", 1).await;
    let mut stuck = definition("stuck", "stuck", "fails");
    stuck.output = Some(topic("out"));
    stuck.retry.attempts_max = None;
    stuck.retry.backoff_min = Duration::from_secs(60);
    stuck.retry.backoff_max = Duration::from_secs(60);
    stuck.halt_on_failure_share = 1.0;
    bench.put("stuck", stuck).await;
    let large = "x".repeat(40 << 10);
    let append = async |partition: u32, value: &str| {
        let mut builder = BatchBuilder::default();
        builder.push_new(Timestamp(7), None, Some(value.as_bytes()), Headers::NONE);
        let mut batch = AppendBatch::from(builder.build());
        batch.partitions.push((0..1, PartitionId(partition)));
        bench.app.log.append(source, batch, AppendGuard::default()).await.expect("it is taken");
    };
    for partition in 0..12 {
        for _ in 0..20 {
            append(partition, &format!("bad {large}")).await;
        }
    }
    until("twelve are stuck", async || {
        let status = bench.status("stuck").await;
        let is_stuck = |it: &&PartitionStatus| it.state == State::WaitingForRetry;
        (status.partitions.iter().filter(is_stuck).count() == 12).then_some(())
    })
    .await;
    for partition in 12..16 {
        for n in 0..20 {
            append(partition, &format!("good {n} {large}")).await;
        }
    }
    bench.until_records("out", 80).await;
    let mut free = definition("free", "free", "identity");
    free.output = Some(topic("out"));
    bench.put("free", free).await;
    let values: Vec<String> = (0..100).map(|n| format!("{n} {large}")).collect();
    bench.append("free", &values.iter().map(String::as_str).collect::<Vec<_>>()).await;
    bench.until_records("out", 180).await;
    bench.until_caught_up("free").await;
    bench.app.stop(async {}).await;
}
