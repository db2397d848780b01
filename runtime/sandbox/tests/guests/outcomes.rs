//! Each thing that a guest can answer, and each way it can end.
use crate::support::{OUT, SIDE, call, failed, function, handled, invoke, shared, values};
use log_contract::{Attributes, Offset, Timestamp};
use std::{sync::Arc, time::Duration};
use trigger::{Blame, FailureKind, Outcome, Targets};

#[tokio::test]
async fn identity_gives_back_what_it_was_given() {
    let mut call = call(&["a", "", "c"]);
    call.attributes = Some(Arc::new(Attributes {
        trigger: "orders-to-out".into(),
        function: "identity".into(),
        version: 4,
        invocation: "inv-1".into(),
        hops: 2,
    }));
    let given = call.span.clone();
    let (attributes, invoked) = (call.attributes.clone(), invoke("identity", call).await);
    assert!(invoked.cost.cpu > Duration::ZERO && invoked.cost.wall >= invoked.cost.cpu);
    assert!(invoked.cost.memory_peak_bytes >= 65_536);
    let response = handled(invoked);
    assert_eq!(response.targets, Targets::All(OUT));
    assert_eq!(response.sources, [Some(0), Some(1), Some(2)]);
    assert!(response.failures.is_empty() && response.state.is_empty());
    assert_eq!(response.outputs.attributes(), attributes.as_ref());
    for (nth, (out, record)) in response.outputs.records().zip(given.records()).enumerate() {
        assert_eq!((out.key, out.value, out.headers), (record.key, record.value, record.headers));
        assert_eq!(out.offset, Offset(nth as u64));
        assert_eq!(out.timestamp, record.timestamp, "as the record that it stems from");
    }
}

#[tokio::test]
async fn tombstones_and_records_without_a_key_stay_what_they_are() {
    let mut batch = log_contract::BatchBuilder::default();
    for (key, value) in [(None, None), (Some(&b""[..]), Some(&b""[..])), (None, Some(&b"v"[..]))] {
        batch.push_new(Timestamp(1), key, value, log_contract::Headers::NONE);
    }
    let given = batch.build();
    let response = handled(invoke("identity", crate::support::call_of(given.clone().into())).await);
    assert!(
        response
            .outputs
            .records()
            .map(|record| (record.key, record.value))
            .eq(given.records().map(|record| (record.key, record.value)))
    );
}

#[tokio::test]
async fn failed_items_are_named_with_their_blame() {
    let response = handled(invoke("fails-items", call(&["good", "bad", "hopeless", "fine"])).await);
    assert_eq!(values(&response), ["good", "fine"]);
    assert_eq!(response.sources, [Some(0), Some(3)]);
    let failures: Vec<_> =
        response.failures.iter().map(|item| (item.index, item.blame, &*item.reason)).collect();
    assert_eq!(
        failures,
        [
            (1, Blame::Rejected, "record 101 is bad"),
            (2, Blame::Permanent, "record 102 is hopeless")
        ]
    );
    let unsourced = handled(invoke("fails-items-unsourced", call(&["good", "bad"])).await);
    assert_eq!(unsourced.sources, [None]);
    let time = unsourced.outputs.record(0).timestamp;
    assert_eq!(time, Timestamp(crate::support::NEWEST_MS), "the newest of the batch");
}

#[tokio::test]
async fn a_whole_batch_is_rejected_or_permanent_or_unavailable() {
    let rejected = failed(invoke("fails-whole", call(&["bad"])).await);
    assert_eq!(rejected, (FailureKind::Rejected, "something in this batch is bad".into()));
    let permanent = failed(invoke("fails-whole", call(&["poison-permanent"])).await);
    assert_eq!(permanent.0, FailureKind::Permanent);
    let mut down = call(&["x"]);
    down.environment = Arc::new([("DOWN".into(), "1".into())]);
    let outage = invoke("unavailable", down).await.result.expect("the host is well");
    let Outcome::Unavailable { reason, retry_after } = outage else { panic!("{outage:?}") };
    assert_eq!(&*reason, "the warehouse does not answer");
    assert_eq!(retry_after, Some(Duration::from_millis(200)));
}

#[tokio::test]
async fn a_trap_says_its_kind_its_place_and_the_panic() {
    let (kind, reason) = failed(invoke("traps", call(&["trap"])).await);
    assert_eq!(kind, FailureKind::Trapped);
    assert!(reason.starts_with("wasm `unreachable` instruction executed in `"), "{reason}");
    assert!(reason.ends_with("record 100 says trap"), "{reason}");
    let (kind, reason) = failed(invoke("traps", call(&["unreachable"])).await);
    assert_eq!(kind, FailureKind::Trapped);
    assert!(reason.contains("unreachable"), "{reason}");
    let (kind, reason) = failed(invoke("traps", call(&["recurse"])).await);
    assert_eq!(kind, FailureKind::Trapped);
    assert!(reason.contains("call stack exhausted"), "{reason}");
}

#[tokio::test]
async fn outputs_go_where_the_trigger_lets_them() {
    let response =
        handled(invoke("names-undeclared-topic", call(&["to:side", "plain", "to:out"])).await);
    assert_eq!(response.targets, Targets::Each(vec![SIDE, OUT, OUT]));
    let response = handled(invoke("names-undeclared-topic", call(&["to:out", "plain"])).await);
    assert_eq!(response.targets, Targets::All(OUT));
    let (kind, reason) =
        failed(invoke("names-undeclared-topic", call(&["a", "to:elsewhere"])).await);
    assert_eq!(kind, FailureKind::BoundBroken);
    assert!(reason.contains("`elsewhere`"), "{reason}");
    let mut sly = call(&["to:_catalog"]);
    let mut topics = (*sly.outputs).clone();
    topics.named.insert("_catalog".into(), OUT);
    topics.default = None;
    sly.outputs = Arc::new(topics.clone());
    let (kind, reason) = failed(invoke("names-undeclared-topic", sly).await);
    assert_eq!(kind, FailureKind::BoundBroken);
    assert!(reason.contains("`_catalog`") && reason.contains("closed"), "{reason}");
    let mut nowhere = call(&["plain"]);
    nowhere.outputs = Arc::new(topics);
    let (kind, reason) = failed(invoke("identity", nowhere).await);
    assert_eq!(kind, FailureKind::BoundBroken);
    assert!(reason.contains("no output topic"), "{reason}");
}

#[tokio::test]
async fn a_batch_may_be_empty_and_have_a_window() {
    let mut call = call(&[]);
    call.window = Some(sandbox::Window {
        start: Timestamp(0),
        end: Timestamp(60_000),
        is_final: true,
        is_early: false,
    });
    assert!(handled(invoke("identity", call).await).outputs.is_empty());
}

#[tokio::test]
async fn dropping_the_future_ends_the_guest() {
    let function = function("spins").await;
    let mut long = call(&["spin"]);
    long.limits.timeout = Duration::from_secs(3_600);
    let invoked = shared().invoke(&function, long);
    assert!(tokio::time::timeout(Duration::from_millis(100), invoked).await.is_err());
    let ended = async {
        while Arc::strong_count(&function) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("its worker is free again");
}
