//! A function's own state: what it reads, what it may name, what becomes of its writes.
use crate::support::{Stored, call, call_of, failed, handled, invoke, values};
use bytes::Bytes;
use log_contract::{BatchBuilder, Headers, StateKey, StateWrite, Timestamp};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use trigger::{FailureKind, Ordering};

const ID: &str = r#"{"id": 1}"#;

fn at(key: Option<&'static str>) -> StateKey {
    StateKey { key: key.map(|key| Bytes::from_static(key.as_bytes())), name: "count".into() }
}

fn written(key: &'static str, value: Option<&'static str>) -> StateWrite {
    let value = value.map(|value| Bytes::from_static(value.as_bytes()));
    StateWrite { at: at(Some(key)), value }
}

#[tokio::test]
async fn own_writes_come_before_the_overlay_and_that_before_what_is_durable() {
    let mut call = call(&[ID, ID, ID]);
    call.ordering = Ordering::Key;
    let durable = ["k0", "k1", "k2"].map(|key| (at(Some(key)), Bytes::from_static(b"10")));
    let stored = Arc::new(Stored { values: BTreeMap::from(durable), ..Stored::default() });
    call.state = stored.clone();
    call.overlay = vec![
        written("k1", Some("19")),
        written("k1", Some("20")),
        written("k2", Some("30")),
        written("k2", None),
    ];
    let response = handled(invoke("counter", call).await);
    assert_eq!(
        values(&response),
        [r#"{"id":1,"n":11}"#, r#"{"id":1,"n":21}"#, r#"{"id":1,"n":1}"#]
    );
    assert_eq!(
        response.state,
        [written("k0", Some("11")), written("k1", Some("21")), written("k2", Some("1"))]
    );
    assert_eq!(*stored.asked.lock().expect("not poisoned"), [at(Some("k0"))]);
}

#[tokio::test]
async fn the_partitions_state_is_one_and_counts_on_within_a_batch() {
    let mut call = call(&[ID, ID]);
    call.environment = Arc::new([("SCOPE".into(), "partition".into())]);
    let response = handled(invoke("counter", call).await);
    assert_eq!(values(&response), [r#"{"id":1,"n":1}"#, r#"{"id":1,"n":2}"#]);
    assert_eq!(response.state.iter().map(|write| &write.at).collect::<Vec<_>>(), [&at(None); 2]);
}

#[tokio::test]
async fn under_ordering_by_key_the_partition_has_no_state() {
    let mut call = call(&[ID]);
    call.ordering = Ordering::Key;
    call.environment = Arc::new([("SCOPE".into(), "partition".into())]);
    let (kind, reason) = failed(invoke("counter", call).await);
    assert_eq!(kind, FailureKind::Trapped);
    assert!(reason.contains("does not exist under `ordering: key`"), "{reason}");
    let mut batch = BatchBuilder::default();
    batch.push_new(Timestamp(1), None, Some(ID.as_bytes()), Headers::NONE);
    let mut keyless = call_of(batch.build().into());
    keyless.ordering = Ordering::Key;
    assert_eq!(failed(invoke("counter", keyless).await).0, FailureKind::Trapped);
}

#[tokio::test]
async fn writes_are_bounded() {
    let mut few = call(&[ID, ID]);
    few.limits.state_writes = 1;
    let (kind, reason) = failed(invoke("counter", few).await);
    assert_eq!((kind, reason.as_str()), (FailureKind::BoundBroken, "more than 1 state writes"));
    let mut small = call(&[ID]);
    small.limits.state_bytes = 3;
    let (kind, reason) = failed(invoke("counter", small).await);
    assert_eq!(kind, FailureKind::BoundBroken);
    assert_eq!(reason, "state writes of more than 3 bytes");
}

#[tokio::test]
async fn a_log_that_fails_or_is_slow_is_the_hosts_fault() {
    let mut broken = call(&[ID]);
    broken.state = Arc::new(Stored { is_broken: true, ..Stored::default() });
    let fault = invoke("counter", broken).await.result.expect_err("the host's fault");
    assert_eq!(&*fault.reason, "the disk is on fire");
    let mut slow = call(&[ID]);
    slow.state = Arc::new(Stored { takes: Duration::from_secs(60), ..Stored::default() });
    slow.limits.timeout = Duration::from_millis(50);
    let fault = invoke("counter", slow).await.result.expect_err("the host's fault");
    assert!(fault.reason.contains("reading state"), "{}", fault.reason);
}
