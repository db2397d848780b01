//! What an operator says: pause, resume, seek, skip, the end.
use crate::bench::{Bench, definition, topic, trigger, until};
use log_contract::{Offset, PartitionId};
use server::drive::{ControlError, SeekTo, State};
use std::{collections::BTreeMap, time::Duration};

async fn copying(bench: &Bench) {
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("late", "late").await;
    let mut definition = definition("t", "in", "late");
    definition.output = Some(topic("out"));
    definition.batch.records_max = 1;
    bench.put("t", definition).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_a_barrier() {
    let bench = Bench::start().await;
    copying(&bench).await;
    for round in 0..3 {
        let values: Vec<String> = (0..50).map(|n| format!("{round}-{n} wait:3")).collect();
        bench.append("in", &values.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let before = bench.values("out").await.len();
        bench.until_records("out", before + 2).await;
        bench.app.supervisor.pause(&trigger("t")).await.expect("it is paused");
        let status = bench.status("t").await;
        assert_eq!((status.state, status.concurrency.busy), (State::Paused, 0));
        let invoked = bench.app.sandbox.stats().invocations_total;
        let out = bench.values("out").await.len();
        bench.append("in", &["one more wait:0"]).await;
        // What must not happen leaves no trace to wait for: so other work is let through meanwhile.
        bench.app.supervisor.pause(&trigger("t")).await.expect("a second pause does nothing");
        for _ in 0..50 {
            tokio::task::yield_now().await;
            bench.status("t").await;
        }
        assert_eq!(bench.app.sandbox.stats().invocations_total, invoked);
        assert_eq!(bench.values("out").await.len(), out);
        assert!(bench.status("t").await.lag_records > 0, "the lag is told while it is paused");
        bench.app.supervisor.resume(&trigger("t")).await.expect("it is resumed");
    }
    let out = bench.until_records("out", 153).await;
    bench.until_caught_up("t").await;
    let distinct: std::collections::BTreeSet<_> = out.iter().collect();
    assert_eq!((out.len(), distinct.len()), (153, 151), "nothing is lost, and nothing comes twice");
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seek_says_what_it_does_does_it_and_goes_on_as_before() {
    let bench = Bench::start().await;
    copying(&bench).await;
    bench.append("in", &["a", "b", "c", "d"]).await;
    bench.until_records("out", 4).await;
    bench.until_caught_up("t").await;
    let supervisor = &bench.app.supervisor;
    let to = SeekTo::Offsets(BTreeMap::from([(PartitionId(0), Offset(2))]));
    let plan = supervisor.seek(&trigger("t"), to.clone(), true).await.expect("a dry run");
    let moved = &plan.partitions[0];
    assert_eq!((moved.from, moved.to), (Offset(4), Offset(2)));
    assert_eq!((moved.skipped, moved.repeated), (0, 2));
    bench.until_caught_up("t").await;
    assert_eq!(bench.values("out").await.len(), 4, "a dry run moves nothing");
    supervisor.seek(&trigger("t"), to, false).await.expect("it is moved");
    assert_eq!(bench.until_records("out", 6).await, ["a", "b", "c", "d", "c", "d"]);
    bench.until_caught_up("t").await;

    supervisor.pause(&trigger("t")).await.expect("it is paused");
    bench.append("in", &["e", "f"]).await;
    let seek = supervisor.seek(&trigger("t"), SeekTo::Latest, false).await.expect("it is moved");
    assert_eq!((seek.partitions[0].skipped, seek.partitions[0].repeated), (2, 0));
    let status = bench.status("t").await;
    assert_eq!((status.state, status.lag_records), (State::Paused, 0));
    supervisor.resume(&trigger("t")).await.expect("it is resumed");
    bench.append("in", &["g"]).await;
    assert_eq!(bench.until_records("out", 7).await.last().map(String::as_str), Some("g"));
    let beyond = SeekTo::Offsets(BTreeMap::from([(PartitionId(0), Offset(99))]));
    let error = supervisor.seek(&trigger("t"), beyond, false).await.expect_err("beyond the end");
    assert!(matches!(error, ControlError::Invalid { field: "to.offsets", .. }));
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_skip_leaves_out_one_record() {
    let bench = Bench::start().await;
    copying(&bench).await;
    bench.until_caught_up("t").await;
    let supervisor = &bench.app.supervisor;
    supervisor.pause(&trigger("t")).await.expect("it is paused");
    bench.append("in", &["a", "b", "c"]).await;
    let skip = async |offset| {
        supervisor.skip(&trigger("t"), PartitionId(0), Offset(offset), "broken").await
    };
    skip(1).await.expect("it is skipped");
    skip(7).await.expect_err("it is not there");
    supervisor.resume(&trigger("t")).await.expect("it is resumed");
    assert_eq!(bench.until_records("out", 2).await, ["a", "c"]);
    bench.until_caught_up("t").await;
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_what_is_out_and_no_longer_than_its_deadline() {
    let bench = Bench::start().await;
    copying(&bench).await;
    bench.append("in", &["wait:200"]).await;
    until("it is out", async || (bench.status("t").await.concurrency.busy > 0).then_some(())).await;
    let app = bench.app.clone();
    assert!(app.stop(async {}).await, "what is out lands");

    let mut config = crate::bench::config(server::config::Storage::Ephemeral);
    config.drain_deadline = Duration::from_millis(50);
    let bench = Bench::start_with(config).await;
    copying(&bench).await;
    bench.append("in", &["wait:20000"]).await;
    until("it is out", async || (bench.status("t").await.concurrency.busy > 0).then_some(())).await;
    let began = std::time::Instant::now();
    assert!(!bench.app.stop(async {}).await, "it does not come to rest in time");
    assert!(began.elapsed() < Duration::from_secs(15));
}
