//! Records that fail, and what becomes of them.
use crate::bench::{Bench, config, definition, topic, trigger, until};
use log_contract::{BatchBuilder, Clock, FunctionName, HeadersBuf, SystemClock, Timestamp};
use server::{
    app::App,
    catalog::{FunctionPatch, Guard, OnFailure},
    config::Storage,
    drive::{State, split_dead_letter},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_record_becomes_a_dead_letter_with_its_whole_story_and_holds_up_nobody() {
    let bench = Bench::start().await;
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("fails", "fails-items").await;
    let mut definition = definition("t", "in", "fails");
    definition.output = Some(topic("out"));
    bench.put("t", definition).await;
    let mut headers = HeadersBuf::default();
    headers.push("trace", b"42");
    let mut builder = BatchBuilder::default();
    for value in ["good 1", "this is bad", "good 2", "a hopeless one", "good 3"] {
        let (key, value) = (Some(&b"k"[..]), Some(value.as_bytes()));
        builder.push_new(Timestamp(1_000), key, value, headers.as_headers());
    }
    bench.append_batch("in", builder.build()).await;
    bench.until_records("t.dead-letters", 2).await;
    bench.until_caught_up("t").await;
    assert_eq!(bench.values("out").await, ["good 1", "good 2", "good 3"]);
    let batches = bench.batches("t.dead-letters").await;
    let mut letters: Vec<_> = batches.iter().flat_map(|batch| batch.records()).collect();
    letters.sort_by_key(|record| record.value.map(<[u8]>::to_vec));
    let (hopeless, bad) = (&letters[0], &letters[1]);
    assert_eq!(bad.value, Some(&b"this is bad"[..]));
    assert_eq!((bad.key, bad.timestamp), (Some(&b"k"[..]), Timestamp(1_000)));
    let (own, story) = split_dead_letter(bad.headers).expect("it is a dead letter");
    assert_eq!(own.as_headers(), headers.as_headers(), "the record's own headers are untouched");
    assert_eq!((story.trigger.as_str(), story.function.as_str()), ("t", "fails"));
    assert_eq!((story.version, story.topic.as_str()), (1, "in"));
    assert_eq!((story.partition.0, story.offset.0), (0, 1));
    assert_eq!((story.condition.as_str(), story.attempts), ("attempts_exhausted", 3));
    assert!(story.first_failed_at.expect("it failed") <= story.dead_lettered_at);
    let error = story.error.expect("it failed");
    assert_eq!((error.kind.as_str(), error.reason.as_str()), ("rejected", "record 1 is bad"));
    let (_, story) = split_dead_letter(hopeless.headers).expect("it is a dead letter");
    assert_eq!((story.condition.as_str(), story.attempts), ("permanent", 1));
    let (metrics, _) = bench.app.metrics.render();
    let count = "millstream_trigger_records_dead_lettered_total{trigger=\"t\"} 2";
    assert!(metrics.contains(count), "{metrics}");
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_fails_whole_is_bisected_down_to_the_guilty_record() {
    let bench = Bench::start().await;
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("fails", "fails-whole").await;
    let mut definition = definition("t", "in", "fails");
    definition.output = Some(topic("out"));
    bench.put("t", definition).await;
    bench.append("in", &["1", "2", "bad", "4", "5", "6", "7"]).await;
    assert_eq!(bench.until_records("t.dead-letters", 1).await, ["bad"]);
    bench.until_caught_up("t").await;
    assert_eq!(bench.values("out").await, ["1", "2", "4", "5", "6", "7"]);
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unavailable_is_waited_for_and_nothing_is_lost() {
    let bench = Bench::start().await;
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("needs", "unavailable").await;
    let name = FunctionName::parse("needs").expect("a name");
    let down = |is_down: bool| {
        let mut patch = FunctionPatch::default();
        let value = if is_down { "yes" } else { "" };
        patch.environment.insert("DOWN".into(), Some(value.into()));
        patch
    };
    let catalog = &bench.app.catalog;
    catalog.patch_function(&name, down(true), Guard::Any).await.expect("it is patched");
    let mut definition = definition("t", "in", "needs");
    definition.output = Some(topic("out"));
    bench.put("t", definition).await;
    bench.append("in", &["1", "2"]).await;
    let status = bench.until_state("t", State::CircuitOpen).await;
    let reason = status.reason.expect("it says why");
    assert!(reason.contains("the warehouse does not answer"), "{reason}");
    catalog.patch_function(&name, down(false), Guard::Any).await.expect("it is patched");
    assert_eq!(bench.until_records("out", 2).await, ["1", "2"]);
    bench.until_caught_up("t").await;
    assert!(bench.values("t.dead-letters").await.is_empty());
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_record_waits_for_an_operator_and_makes_the_program_not_ready() {
    let bench = Bench::start().await;
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("f", "fails-items").await;
    let mut definition = definition("t", "in", "f");
    definition.output = Some(topic("out"));
    definition.on_failure = OnFailure::Hold;
    bench.put("t", definition).await;
    bench.append("in", &["1", "bad", "3"]).await;
    let status = bench.until_state("t", State::Held).await;
    assert_eq!(status.partitions[0].record.expect("it says which").0, 1);
    let not_ready = until("readiness is red", async || {
        let all = bench.app.supervisor.not_ready();
        (!all.is_empty()).then_some(all)
    })
    .await;
    assert_eq!((not_ready[0].trigger.as_str(), not_ready[0].state), ("t", State::Held));
    bench.function("f", "identity").await;
    bench.app.supervisor.resume(&trigger("t")).await.expect("it is resumed");
    let mut out = bench.until_records("out", 3).await;
    out.sort();
    assert_eq!(out, ["1", "3", "bad"]);
    bench.until_caught_up("t").await;
    assert!(bench.app.supervisor.not_ready().is_empty());
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_deploy_halts_its_trigger_instead_of_dead_lettering_the_topic() {
    let bench = Bench::start().await;
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("f", "fails-all").await;
    let mut definition = definition("t", "in", "f");
    definition.output = Some(topic("out"));
    definition.retry.attempts_max = Some(1);
    bench.put("t", definition).await;
    let values: Vec<String> = (0..600).map(|n| n.to_string()).collect();
    bench.append("in", &values.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let status = bench.until_state("t", State::Halted).await;
    assert!(status.reason.expect("it says why").contains("failed for good"));
    let letters = bench.values("t.dead-letters").await.len();
    assert!((101..600).contains(&letters), "{letters} of 600");
    bench.function("f", "identity").await;
    bench.app.supervisor.resume(&trigger("t")).await.expect("it is resumed");
    bench.until_records("out", 600 - letters).await;
    bench.until_caught_up("t").await;
    bench.app.stop(async {}).await;
}

/// Panics on the guests' threads, where the first to ask for the time is a feed that begins.
#[derive(Debug)]
struct BreakingClock {
    clock: SystemClock,
    is_broken: AtomicBool,
    broke: Mutex<Vec<Instant>>,
}

impl Clock for BreakingClock {
    fn now(&self) -> Timestamp {
        let is_feed = std::thread::current().name() == Some("guest");
        if is_feed && self.is_broken.load(Ordering::Relaxed) {
            self.broke.lock().expect("nothing panics while it is held").push(Instant::now());
            panic!("this feed's clock is broken");
        }
        self.clock.now()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_panics_whenever_it_begins_is_begun_again_once_a_second() {
    let clock = Arc::new(BreakingClock {
        clock: SystemClock::start(),
        is_broken: AtomicBool::new(true),
        broke: Mutex::default(),
    });
    let app = App::start_at(config(Storage::Ephemeral), clock.clone()).await;
    let bench = Bench { app: app.expect("the program starts") };
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("identity", "identity").await;
    let mut definition = definition("t", "in", "identity");
    definition.output = Some(topic("out"));
    bench.put("t", definition).await;
    bench.append("in", &["a"]).await;
    let broke = until("the feed has begun three times", async || {
        let broke = clock.broke.lock().expect("nothing panics while it is held").clone();
        (broke.len() >= 3).then_some(broke)
    })
    .await;
    let pause = Duration::from_secs(1);
    assert!(broke.windows(2).all(|pair| pair[1] - pair[0] >= pause), "{broke:?}");
    clock.is_broken.store(false, Ordering::Relaxed);
    assert_eq!(bench.until_records("out", 1).await, ["a"]);
    assert!(bench.app.stop(async {}).await, "everything comes to rest");
}
