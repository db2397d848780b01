//! What topics, records, documents and blobs are after a clean end and after a crash. For logs that keep
//! anything at all. Cursors: `resumed`.
use super::{
    fixture::TestClock,
    records::{Fact, counted, some_attributes, texts},
    trial::{Ended, Trial, first_of, soon, topic_name},
};
use crate::{
    BlobError, Clock as _, Digest, Expect, OffsetBounds, PartitionId, PartitionRef, Retention,
    Timestamp, TopicSpec,
};
use bytes::Bytes;
use std::time::Duration;

/// Both ends: what must remain is the same.
pub(super) async fn after_each_end(mut trial: Trial, check: impl AsyncFn(&Trial)) {
    for ended in [Ended::Crashed, Ended::Closed, Ended::Crashed, Ended::Crashed] {
        check(&trial).await;
        trial = trial.reopened(ended, ()).await;
    }
    check(&trial).await;
}

pub async fn records_remain(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let attributes = Some(some_attributes());
    let headers = vec![("h".to_owned(), vec![0xff])];
    let facts = [
        Fact { attributes: attributes.clone(), headers, ..Fact::keyed("", "with all") },
        Fact { attributes: attributes.clone(), value: None, ..Fact::keyed("k", "") },
        Fact { attributes, ..Fact::default() },
    ];
    let (at, other) = (first_of(topic), PartitionRef::new(topic, PartitionId(1)));
    for (nth, step) in [0, 5_000, 7].into_iter().enumerate() {
        trial.clock.advance(Duration::from_millis(step));
        trial.fill(at, &facts).await;
        trial.fill(other, &counted(&nth.to_string(), 400)).await;
    }
    let seen = async |trial: &Trial| {
        let bounds = trial.log().bounds(at).await.expect("bounds");
        let time = TestClock::START.after(Duration::from_secs(5));
        let offset = trial.log().offset_at(at, time).await.expect("an offset");
        (trial.read_all(at).await, trial.read_all(other).await, bounds, offset)
    };
    let expected = seen(&trial).await;
    assert_eq!((expected.0.len(), expected.1.len()), (9, 1200));
    after_each_end(trial, async |trial| assert_eq!(seen(trial).await, expected)).await;
}

pub async fn topics_remain_and_ids_never_come_back(trial: Trial) {
    let mut seen = Vec::new();
    let retention = Retention { age: None, bytes: Some(9), hold_for_triggers: false };
    let spec = TopicSpec { name: topic_name("kept"), partitions: 3, retention, compacted: true };
    let kept = trial.log().create_topic(spec.clone()).await.expect("a topic is made");
    trial.topic("grows", 1).await;
    let grows = trial.log().topics().await.expect("listed")[0].id;
    let grown = TopicSpec::new(topic_name("grows"), 4);
    trial.log().alter_topic(grows, grown.clone()).await.expect("partitions may grow");
    let mut trial = trial;
    for ended in [Ended::Crashed, Ended::Closed, Ended::Crashed] {
        let gone = trial.topic("gone", 1).await;
        trial.append(gone, &counted("x", 3)).await;
        assert!(!seen.contains(&gone), "topic id {gone} came back");
        seen.push(gone);
        trial.log().delete_topic(gone).await.expect("a topic is deleted");
        trial = trial.reopened(ended, ()).await;
        let topics = trial.log().topics().await.expect("listed");
        let found: Vec<_> = topics.into_iter().map(|info| (info.id, info.spec)).collect();
        assert_eq!(found, [(grows, grown.clone()), (kept, spec.clone())]);
        assert!(trial.log().bounds(first_of(gone)).await.is_err());
    }
    let last = PartitionRef::new(grows, PartitionId(3));
    trial.fill(last, &counted("x", 1)).await;
}

pub async fn what_was_trimmed_stays_gone_and_offsets_go_on(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let (at, emptied) = (first_of(topic), PartitionRef::new(topic, PartitionId(1)));
    let offsets = trial.fill(at, &counted("a", 10)).await;
    trial.fill(emptied, &counted("b", 10)).await;
    let end = trial.end(emptied).await;
    trial.log().trim(at, offsets[4]).await.expect("it is trimmed");
    trial.log().trim(emptied, end).await.expect("it is trimmed");
    let seen = async |trial: &Trial| {
        let bounds = async |at| trial.log().bounds(at).await.expect("bounds");
        (bounds(at).await, bounds(emptied).await)
    };
    let expected = seen(&trial).await;
    let nothing = OffsetBounds { start: end, end, records: 0, bytes: 0 };
    assert_eq!((expected.0.start, expected.0.records, expected.1), (offsets[4], 6, nothing));
    after_each_end(trial, async |trial| {
        assert_eq!(seen(trial).await, expected);
        assert_eq!(trial.read_all(at).await.len(), 6);
        // A batch that was cut in two comes back whole from the cut on.
        assert_eq!(texts(&trial.read_from(at, offsets[4]).await)[0], "a4");
    })
    .await;
}

pub async fn an_offset_never_comes_back(mut trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    let mut last = None;
    for ended in [Ended::Crashed, Ended::Closed, Ended::Crashed] {
        let offsets = trial.fill(at, &counted("x", 2)).await;
        assert!(last < Some(offsets[0]), "{last:?} then {:?}", offsets[0]);
        last = offsets.last().copied();
        let end = trial.end(at).await;
        trial.log().trim(at, end).await.expect("it is trimmed");
        trial = trial.reopened(ended, ()).await;
        assert_eq!(trial.end(at).await, end);
    }
}

pub async fn the_logs_time_never_goes_back(mut trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    for ended in [Ended::Crashed, Ended::Closed] {
        trial.fill(at, &counted("x", 2)).await;
        let now = trial.clock.now();
        trial.clock.set(Timestamp(now.0 - 60_000));
        trial = trial.reopened(ended, ()).await;
        trial.fill(at, &counted("x", 1)).await;
        let found = trial.read_all(at).await;
        assert!(found.is_sorted_by_key(|found| found.appended_at));
        // Also if no record of then is there any more.
        let end = trial.end(at).await;
        trial.log().trim(at, end).await.expect("it is trimmed");
        trial = trial.reopened(ended, ()).await;
        trial.fill(at, &counted("x", 1)).await;
        let newest = trial.read_all(at).await[0].appended_at;
        assert!(found.last().expect("some").appended_at <= newest, "it went back");
    }
}

pub async fn documents_remain_and_versions_go_on(mut trial: Trial) {
    let put = async |trial: &Trial, key: &str, value: Option<&str>| {
        let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        trial.stores.documents.put(key, value, Expect::Anything).await.expect("it is put")
    };
    put(&trial, "kept", Some("kept")).await;
    let mut last = put(&trial, "gone", Some("gone")).await;
    for ended in [Ended::Crashed, Ended::Closed, Ended::Crashed] {
        // The newest version is one of a document that is gone.
        let version = put(&trial, "gone", None).await;
        assert!(last < version);
        trial = trial.reopened(ended, ()).await;
        let list = trial.stores.documents.list("").await.expect("documents answer");
        assert_eq!(list.len(), 1);
        assert_eq!((&*list[0].0, &list[0].1.value), ("kept", &Bytes::from("kept")));
        let changed = soon("it is there", trial.stores.documents.changed(version - 1)).await;
        assert_eq!(changed, Ok(version));
        last = put(&trial, "gone", Some("again")).await;
        assert!(version < last, "version {last} after {version}");
    }
}

pub async fn blobs_remain(trial: Trial) {
    let blobs = &trial.stores.blobs;
    let kept = blobs.keep(Bytes::from(vec![1; 200_000])).await.expect("it is kept");
    let gone = blobs.keep(Bytes::from("gone")).await.expect("it is kept");
    blobs.remove(gone).await.expect("it is removed");
    after_each_end(trial, async |trial| {
        let blobs = &trial.stores.blobs;
        assert_eq!(blobs.digests().await, Ok(vec![kept]));
        assert!(blobs.fetch(kept).await == Ok(Some(Bytes::from(vec![1; 200_000]))));
        assert_eq!(blobs.fetch(gone).await, Ok(None));
    })
    .await;
}

pub async fn a_damaged_blob_is_never_given(trial: Trial) {
    let blobs = &trial.stores.blobs;
    let digest = blobs.keep(Bytes::from("abc")).await.expect("it is kept");
    let whole = blobs.keep(Bytes::from("whole")).await.expect("it is kept");
    trial.fixture.damage_blob(digest).await;
    assert_eq!(blobs.fetch(digest).await, Err(BlobError::Damaged(digest)));
    assert_eq!(blobs.fetch(whole).await, Ok(Some(Bytes::from("whole"))));
    let trial = trial.reopened(Ended::Crashed, ()).await;
    let blobs = &trial.stores.blobs;
    assert_eq!(blobs.fetch(digest).await, Err(BlobError::Damaged(digest)));
    // It is mended by keeping it again.
    assert_eq!(blobs.keep(Bytes::from("abc")).await, Ok(Digest::of(b"abc")));
    assert_eq!(blobs.fetch(digest).await, Ok(Some(Bytes::from("abc"))));
}
