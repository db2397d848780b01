//! A directory as an earlier program left it: opened by this one, for ever. `WRITE_FIXTURE=1` writes the
//! one of the newest format; those of earlier formats stay as they are.
use std::{fs, path::PathBuf};

use bytes::Bytes;
use log_contract::{Before, Blobs, Digest, Documents, Expect, StateKey, StateWrite};

use super::*;

fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v2")
}

/// What the directory holds: written once, with the program of then.
async fn write_fixture() {
    let dir = stored();
    let _ = fs::remove_dir_all(&dir);
    let log = open(&dir);
    let (orders, sink) = (topic(&log, "orders", 2).await, topic(&log, "sink", 1).await);
    let gone = topic(&log, "gone", 1).await;
    append(&log, orders, &["one", "two", "three", "four"]).await;
    let lease = lease(&log, "trigger", orders).await;
    let mut settled = settlement(1, &[(sink, "out")]);
    let at = StateKey { key: Some(Bytes::from("key")), name: "count".into() };
    settled.state.push(StateWrite { at, value: Some(Bytes::from("41")) });
    settled.memo = Memo(Bytes::from("memo"));
    log.settle(&lease, settled).await.expect("it settles");
    log.trim(PartitionRef::new(orders, lease.partition), Offset(1)).await.expect("trimmed");
    drop(lease);
    log.delete_topic(gone).await.expect("deleted");
    log.put("function/enrich", Some(Bytes::from("{}")), Expect::Nothing).await.expect("put");
    log.keep(Bytes::from("a component")).await.expect("kept");
    log.close().await;
    drop(log);
    // Written ahead, and nothing in it.
    for name in ["journal/0000000002.seg", "journal/reserve.free", "lock"] {
        let _ = fs::remove_file(dir.join(name));
    }
}

#[tokio::test]
async fn the_stored_directory_of_format_2_is_opened() {
    if std::env::var_os("WRITE_FIXTURE").is_some() {
        write_fixture().await;
    }
    let dir = tempfile::tempdir().expect("a directory");
    for part in ["journal", "artifacts"] {
        fs::create_dir(dir.path().join(part)).expect("made");
        for entry in fs::read_dir(stored().join(part)).expect("the stored directory") {
            let entry = entry.expect("an entry");
            let to = dir.path().join(part).join(entry.file_name());
            fs::copy(entry.path(), to).expect("copied");
        }
    }
    let log = open(dir.path());
    let topics = log.topics().await.expect("listed");
    let found: Vec<_> = topics.iter().map(|t| (t.spec.name.as_str(), t.spec.partitions)).collect();
    assert_eq!(found, [("orders", 2), ("sink", 1)]);
    let (orders, sink) = (topics[0].id, topics[1].id);
    assert_eq!((orders, sink), (TopicId(1), TopicId(2)));
    assert_eq!(values(&log, first_of(sink)).await, ["out"]);
    let lease = lease(&log, "trigger", orders).await;
    assert_eq!(lease.progress, [Some(Progress::at(Offset(1)))]);
    assert_eq!((&lease.memo, lease.before), (&Memo(Bytes::from("memo")), Before::HandedOver));
    let key = StateKey { key: Some(Bytes::from("key")), name: "count".into() };
    assert_eq!(log.state(&lease, &[key]).await, Ok(vec![Some(Bytes::from("41"))]));
    let mut all = values(&log, first_of(orders)).await;
    all.extend(values(&log, PartitionRef::new(orders, PartitionId(1))).await);
    assert_eq!(all.len(), 3, "one of four was trimmed: {all:?}");
    let document = log.get("function/enrich").await.expect("asked").expect("there");
    assert_eq!(document.value, "{}");
    let digest = Digest::of(b"a component");
    assert_eq!(log.fetch(digest).await, Ok(Some(Bytes::from("a component"))));
    let new = topic(&log, "new", 1).await;
    assert!(new > TopicId(3), "ids go on");
}
