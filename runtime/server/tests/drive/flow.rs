//! Records on their way through functions and topics.
use crate::bench::{Bench, config, definition, topic, trigger, until};
use log_contract::{CursorName, Expect, FunctionName, TopicSpec};
use server::{
    catalog::{Change, FunctionPatch, FunctionRef, Guard, PutTriggerError, Start},
    config::Storage,
    drive::State,
};
use trigger::Ordering;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_appended_comes_out_of_the_function_into_the_output_topic() {
    let bench = Bench::start().await;
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("identity", "identity").await;
    let mut definition = definition("copy", "in", "identity");
    definition.output = Some(topic("out"));
    bench.put("copy", definition).await;
    bench.append("in", &["a", "b", "c"]).await;
    assert_eq!(bench.until_records("out", 3).await, ["a", "b", "c"]);
    let batches = bench.batches("out").await;
    let attributes = batches[0].attributes().expect("outputs say where they come from");
    assert_eq!((&*attributes.trigger, &*attributes.function), ("copy", "identity"));
    assert_eq!((attributes.version, attributes.hops), (1, 1));
    let status = bench.until_caught_up("copy").await;
    assert_eq!((status.partitions[0].next.0, status.partitions[0].end.0), (3, 3));
    let (metrics, _) = bench.app.metrics.render();
    assert!(metrics.contains("millstream_trigger_records_handled_total{trigger=\"copy\"} 3"));
    let lag = "millstream_trigger_lag_records{partition=\"0\",topic=\"in\",trigger=\"copy\"} 0";
    assert!(metrics.contains(lag), "{metrics}");
    assert!(bench.app.stop(async {}).await, "everything comes to rest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_partitions_and_keys_keep_their_order_through_two_functions() {
    let bench = Bench::start().await;
    bench.topic("in", 4).await;
    bench.topic("middle", 4).await;
    bench.topic("out", 4).await;
    bench.function("identity", "identity").await;
    for (name, from, to) in [("first", "in", "middle"), ("second", "middle", "out")] {
        let mut definition = definition(name, from, "identity");
        definition.output = Some(topic(to));
        definition.ordering = Ordering::Key;
        definition.batch.records_max = 7;
        bench.put(name, definition).await;
    }
    let keys = ["a", "b", "c", "d", "e"];
    for round in 0..20 {
        let values: Vec<_> = keys.iter().map(|key| format!("{key}-{round:02}")).collect();
        let records: Vec<_> =
            keys.iter().zip(&values).map(|(key, value)| (Some(*key), value.as_str())).collect();
        bench.append_keyed("in", &records).await;
    }
    let out = bench.until_records("out", 100).await;
    for key in keys {
        let of_key: Vec<_> = out.iter().filter(|value| value.starts_with(key)).collect();
        assert_eq!(of_key.len(), 20);
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
    bench.until_caught_up("second").await;
    let batches = bench.batches("out").await;
    let hops = batches.iter().map(|batch| batch.attributes().expect("they say").hops);
    assert_eq!(hops.max(), Some(2));
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_of_triggers_ends_in_dead_letters() {
    let bench = Bench::start().await;
    bench.topic("round", 1).await;
    bench.function("identity", "identity").await;
    let mut definition = definition("loop", "round", "identity");
    definition.output = Some(topic("round"));
    bench.put("loop", definition).await;
    bench.append("round", &["x"]).await;
    assert_eq!(bench.until_records("loop.dead-letters", 1).await, ["x"]);
    bench.until_caught_up("loop").await;
    assert_eq!(bench.values("round").await.len(), 33, "the first, and 32 hops");
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_takes_over_at_the_next_invocation() {
    let bench = Bench::start().await;
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("f", "identity").await;
    let mut definition = definition("t", "in", "f");
    definition.output = Some(topic("out"));
    bench.put("t", definition).await;
    bench.append("in", &["{}"]).await;
    bench.until_records("out", 1).await;
    assert_eq!(bench.function("f", "describes").await, 2);
    until("the new version speaks", async || {
        bench.append("in", &["{}"]).await;
        let values = bench.values("out").await;
        values.last().is_some_and(|value| value.contains("invocation")).then_some(())
    })
    .await;
    let name = FunctionName::parse("f").expect("a name");
    let mut patch = FunctionPatch::default();
    patch.aliases.insert("live".into(), Some(1));
    bench.app.catalog.patch_function(&name, patch, Guard::Any).await.expect("it is patched");
    let reference: FunctionRef = "f@live".parse().expect("a reference");
    let found = bench.app.catalog.resolve(&reference).expect("the alias is there");
    assert_eq!(found.version.version, 1);
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latest_is_fixed_when_the_trigger_is_put_and_a_cursor_outlives_its_trigger() {
    let bench = Bench::start().await;
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("identity", "identity").await;
    bench.append("in", &["before"]).await;
    let mut definition = definition("t", "in", "identity");
    definition.output = Some(topic("out"));
    definition.start = Start::Latest;
    definition.enabled = false;
    bench.put("t", definition.clone()).await;
    bench.append("in", &["after"]).await;
    let status = bench.until_state("t", State::Paused).await;
    assert_eq!(status.reason.as_deref(), Some("`enabled` is false"));
    definition.enabled = true;
    assert_eq!(bench.put("t", definition.clone()).await.change, Change::Altered);
    assert_eq!(bench.put("t", definition.clone()).await.change, Change::Unchanged);
    assert_eq!(bench.until_records("out", 1).await, ["after"]);
    bench.until_caught_up("t").await;
    bench.app.supervisor.delete(&trigger("t"), Guard::Any).await.expect("it is deleted");
    assert!(bench.app.supervisor.status(&trigger("t")).await.is_none());
    let (metrics, _) = bench.app.metrics.render();
    assert!(!metrics.contains("trigger=\"t\""), "series go with their trigger");
    bench.append("in", &["between"]).await;
    let put = bench.put("t", definition).await;
    assert_eq!(put.resumed_from.values().map(|offset| offset.0).collect::<Vec<_>>(), [2]);
    assert_eq!(bench.until_records("out", 2).await, ["after", "between"]);
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_trigger_is_told_with_its_field() {
    let bench = Bench::start().await;
    bench.topic("in", 1).await;
    bench.topic("other", 1).await;
    let catalog = &bench.app.catalog;
    let put = async |name: &str, definition| {
        catalog.put_trigger(&trigger(name), definition, Guard::Any).await
    };
    let error = put("t", definition("t", "nowhere", "f")).await.expect_err("no such topic");
    assert!(matches!(&error, PutTriggerError::NotFound(it) if it.field == Some("source")));
    let error = put("t", definition("t", "in", "f")).await.expect_err("no such function");
    assert!(matches!(&error, PutTriggerError::NotFound(it) if it.field == Some("function")));
    bench.function("f", "identity").await;
    let mut wrong = definition("t", "in", "f");
    wrong.batch.records_max = 0;
    wrong.scaling.concurrency_max = 0;
    let PutTriggerError::Invalid(problems) = put("t", wrong).await.expect_err("it is wrong") else {
        panic!("it is invalid");
    };
    let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["batch.records_max", "scaling.concurrency_max"]);
    put("t", definition("t", "in", "f")).await.expect("it is put");
    let moved = put("t", definition("t", "other", "f")).await.expect_err("the cursor stays behind");
    assert!(matches!(moved, PutTriggerError::Conflict { field: "source", .. }));
    let taken = put("u", definition("t", "in", "f")).await.expect_err("the cursor is taken");
    assert!(matches!(taken, PutTriggerError::Conflict { field: "cursor", .. }));
    let letters = put("v", definition("v", "t.dead-letters", "f")).await.expect_err("a loop");
    assert!(matches!(letters, PutTriggerError::Invalid(_)));
    let stale =
        catalog.put_trigger(&trigger("t"), definition("t", "in", "f"), Guard::Nothing).await;
    assert!(matches!(stale, Err(PutTriggerError::GuardFailed(_))));
    let cursor = CursorName::parse("t").expect("a name");
    assert!(catalog.delete_cursor(&cursor).await.is_err(), "a trigger has it");
    let name = FunctionName::parse("f").expect("a name");
    assert!(catalog.delete_function(&name).await.is_err(), "a trigger names it");
    assert!(catalog.delete_topic(&topic("in"), false).await.is_err(), "a trigger reads it");
    bench.app.stop(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_finds_topics_functions_triggers_flags_and_positions_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::Directory(directory.path().join("data"));
    let bench = Bench::start_with(config(storage.clone())).await;
    bench.topic("in", 2).await;
    bench.topic("out", 1).await;
    bench.function("identity", "identity").await;
    let mut copy = definition("copy", "in", "identity");
    copy.output = Some(topic("out"));
    bench.put("copy", copy).await;
    let mut rests = definition("rests", "in", "identity");
    // Its starts are stored, as they were fixed when it was put.
    rests.start = Start::Latest;
    bench.append_keyed("in", &[(Some("a"), "0")]).await;
    bench.put("rests", rests).await;
    bench.app.supervisor.pause(&trigger("rests")).await.expect("it is paused");
    bench.append_keyed("in", &[(Some("a"), "1"), (Some("b"), "2")]).await;
    bench.until_records("out", 3).await;
    bench.until_caught_up("copy").await;
    let starts = |bench: &Bench| {
        bench.app.catalog.trigger(&trigger("rests")).expect("it is there").starts.clone()
    };
    let before = starts(&bench);
    assert_eq!(before.values().map(|offset| offset.0).sum::<u64>(), 1);
    assert!(bench.app.stop(async {}).await);
    drop(bench);

    let bench = Bench::start_with(config(storage)).await;
    bench.append_keyed("in", &[(Some("a"), "3")]).await;
    assert_eq!(starts(&bench), before);
    let mut out = bench.until_records("out", 4).await;
    out.sort();
    assert_eq!(out, ["0", "1", "2", "3"], "nothing is lost, and nothing comes twice");
    assert_eq!(bench.status("rests").await.state, State::Paused);
    assert_eq!(bench.app.catalog.triggers().len(), 2);
    let grown = TopicSpec::new(topic("in"), 4);
    let put = bench.app.catalog.topics().put(grown, Guard::Any).await.expect("it grows");
    assert_eq!(put.change, Change::Altered);
    until("the trigger has all four partitions", async || {
        (bench.status("copy").await.partitions.len() == 4).then_some(())
    })
    .await;
    assert!(bench.app.stop(async {}).await);
}

/// Another version of the program throws the cache away, and a restored backup has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_goes_on_when_what_was_compiled_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let storage = Storage::Directory(data.clone());
    let bench = Bench::start_with(config(storage.clone())).await;
    bench.topic("in", 1).await;
    bench.topic("out", 1).await;
    bench.function("identity", "identity").await;
    let mut copy = definition("copy", "in", "identity");
    copy.output = Some(topic("out"));
    bench.put("copy", copy).await;
    bench.append("in", &["a"]).await;
    bench.until_records("out", 1).await;
    assert!(bench.app.stop(async {}).await);
    drop(bench);
    let compiled = std::fs::read_dir(data.join("compiled")).expect("the cache");
    let removed = compiled.map(|file| std::fs::remove_file(file.expect("a file").path()));
    assert!(removed.map(|done| done.expect("it is removed")).count() > 0);
    let bench = Bench::start_with(config(storage)).await;
    bench.append("in", &["b"]).await;
    assert_eq!(bench.until_records("out", 2).await, ["a", "b"]);
    assert!(bench.app.stop(async {}).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_in_the_middle_of_a_delete_left_never_comes_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::Directory(directory.path().join("data"));
    let bench = Bench::start_with(config(storage.clone())).await;
    assert_eq!(bench.function("f", "identity").await, 1);
    assert_eq!(bench.function("f", "late").await, 2);
    // A delete begins with the head.
    let removed = bench.app.documents.put("functions/f", None, Expect::Anything).await;
    removed.expect("the head is gone");
    assert!(bench.app.stop(async {}).await);
    drop(bench);
    let bench = Bench::start_with(config(storage.clone())).await;
    assert!(bench.app.catalog.functions().is_empty());
    assert_eq!(bench.function("f", "fails-whole").await, 1);
    assert!(bench.app.stop(async {}).await);
    drop(bench);
    let bench = Bench::start_with(config(storage)).await;
    let functions = bench.app.catalog.functions();
    let versions: Vec<u32> = functions[0].versions.iter().map(|version| version.version).collect();
    assert_eq!(versions, [1], "the deleted function's second version is no version of this one");
    assert_eq!(bench.function("f", "identity").await, 2);
    assert!(bench.app.stop(async {}).await);
}
