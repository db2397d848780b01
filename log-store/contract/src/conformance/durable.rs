//! What a store finds again after a clean end and after a crash. For logs that keep anything at all.
use super::{
    fixture::TestClock,
    records::{Fact, counted, some_attributes, texts},
    trial::{
        Ended, Trial, cursor_name, first_of, gained_all, own_state, soon, to, to_progress,
        topic_name,
    },
};
use crate::{
    AppendGuard, Before, BlobError, Clock as _, Digest, Expect, Generation, Memo, Offset,
    OffsetBounds, PartitionId, PartitionRef, Progress, Retention, SettleError, Settlement,
    StateKey, StateWrite, Timestamp, TopicId, TopicSpec,
};
use bytes::Bytes;
use std::time::Duration;

/// Both ends: what must remain is the same.
async fn after_each_end(mut trial: Trial, check: impl AsyncFn(&Trial)) {
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

pub async fn a_settlement_remains_whole(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    trial.append(source, &counted("in", 20)).await;
    let lease = trial.lease("c", source).await;
    let progress =
        Progress::from_parts(Offset(3), vec![Offset(5)..Offset(9), Offset(12)..Offset(13)]);
    let progress = progress.expect("sorted");
    let keyed = StateKey { key: Some(Bytes::from("k")), name: "n".into() };
    let write = |value: &str| StateWrite {
        at: keyed.clone(),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
    };
    let first = to(Offset(1)).with_state("gone", Some("x")).with_state("kept", Some("old"));
    trial.settle(&lease, first).await.expect("it settles");
    let mut second = to_progress(progress.clone())
        .with_output(sink, &counted("out", 3))
        .with_state("gone", None)
        .with_state("kept", Some("new"))
        .with_memo("memo");
    second.state.push(write("keyed"));
    trial.settle(&lease, second).await.expect("it settles");
    let refused = to(Offset(15)).with_output(TopicId(u64::MAX), &counted("x", 1)).with_memo("no");
    trial.settle(&lease, refused).await.expect_err("there is no such topic");
    drop(lease);
    after_each_end(trial, async |trial| {
        assert_eq!(texts(&trial.read_all(first_of(sink)).await), ["out0", "out1", "out2"]);
        assert_eq!(trial.position("c", first_of(source)).await, Some(progress.clone()));
        let lease = trial.lease("c", source).await;
        assert_eq!(lease.progress, [Some(progress.clone())]);
        assert_eq!(lease.memo, Memo(Bytes::from("memo")));
        let values = trial.state(&lease, &["gone", "kept"]).await;
        assert_eq!(values, [None, Some(Bytes::from("new"))]);
        let value = trial.log().state(&lease, std::slice::from_ref(&keyed)).await;
        assert_eq!(value, Ok(vec![write("keyed").value]));
    })
    .await;
}

pub async fn a_rewind_remains(trial: Trial) {
    let source = trial.topic("source", 1).await;
    trial.append(source, &counted("in", 9)).await;
    let lease = trial.lease("c", source).await;
    trial.settle(&lease, to(Offset(8))).await.expect("it settles");
    trial.settle(&lease, to(Offset(2)).with_rewind()).await.expect("it may go back");
    drop(lease);
    after_each_end(trial, async |trial| {
        let position = trial.position("c", first_of(source)).await;
        assert_eq!(position, Some(Progress::at(Offset(2))));
    })
    .await;
}

pub async fn what_was_deleted_stays_deleted(trial: Trial) {
    let (topic, gone) = (trial.topic("t", 1).await, trial.topic("gone", 1).await);
    for (cursor, topic) in [("deleted", topic), ("kept", topic), ("of-gone", gone)] {
        let lease = trial.lease(cursor, topic).await;
        let settlement = to(Offset(0)).with_state("n", Some("old")).with_memo("old");
        trial.settle(&lease, settlement).await.expect("it settles");
    }
    trial.delete_cursor("deleted").await;
    trial.log().delete_topic(gone).await.expect("a topic is deleted");
    let trial = trial.reopened(Ended::Crashed, ()).await;
    let names = async |trial: &Trial| {
        let cursors = trial.log().cursors().await.expect("listed");
        cursors.into_iter().map(|info| info.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&trial).await, [cursor_name("kept")]);
    let lease = trial.lease("deleted", topic).await;
    assert_eq!((&lease.progress[..], &lease.memo), (&[None][..], &Memo::default()));
    assert_eq!(trial.state(&lease, &["n"]).await, [None]);
    let anew = trial.topic("gone", 1).await;
    let lease = trial.lease("of-gone", anew).await;
    assert_eq!((&lease.progress[..], &lease.memo), (&[None][..], &Memo::default()));
    assert_eq!(trial.state(&lease, &["n"]).await, [None]);
}

pub async fn generations_grow_and_a_lease_tells_how_the_one_before_ended(mut trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let mut last = Generation(0);
    let mut before = Before::Nothing;
    for ended in [Ended::Crashed, Ended::Closed, Ended::Closed, Ended::Crashed, Ended::Crashed] {
        let mut member = trial.join("c", topic).await;
        let leases = gained_all(&mut *member, 2).await;
        for lease in &leases {
            assert!(last < lease.generation, "{last:?} then {:?}", lease.generation);
            assert_eq!(lease.before, before);
            trial.settle(lease, to(Offset(0))).await.expect("it settles");
        }
        last = leases[0].generation.max(leases[1].generation);
        before = if ended == Ended::Crashed { Before::Crashed } else { Before::HandedOver };
        // They are held when it ends.
        trial = trial.reopened(ended, (member, leases)).await;
    }
}

pub async fn a_crash_before_any_settlement_is_nothing(mut trial: Trial) {
    let topic = trial.topic("t", 1).await;
    for _ in 0..2 {
        let lease = trial.lease("c", topic).await;
        assert_eq!(lease.before, Before::Nothing);
        trial = trial.reopened(Ended::Crashed, lease).await;
    }
}

pub async fn a_lease_of_the_process_before_is_void(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let lease = trial.lease("c", topic).await;
    trial.settle(&lease, to(Offset(0)).with_memo("old")).await.expect("it settles");
    let old = crate::Lease {
        cursor: lease.cursor.clone(),
        inputs: lease.inputs.clone(),
        progress: lease.progress.clone(),
        memo: lease.memo.clone(),
        release: crate::Release::new(|| {}),
        ..lease
    };
    let trial = trial.reopened(Ended::Crashed, ()).await;
    let settlement = || to(Offset(0)).with_memo("ghost");
    assert_eq!(trial.settle(&old, settlement()).await, Err(SettleError::LeaseVoid));
    let current = trial.lease("c", topic).await;
    assert_eq!(trial.settle(&old, settlement()).await, Err(SettleError::LeaseVoid));
    assert_eq!(current.memo, Memo(Bytes::from("old")));
    trial.settle(&current, to(Offset(0))).await.expect("it is current");
}

pub async fn what_was_acknowledged_survives_a_crash_in_full_run(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    trial.append(source, &vec![Fact::keyless("in"); 5_000]).await;
    let lease = trial.lease("c", source).await;
    let log = trial.stores.log.clone();
    let settler = tokio::spawn(async move {
        let mut done = 0;
        for nth in 1..=5_000 {
            let settlement = to(Offset(nth)).with_output(sink, &[Fact::keyless(&nth.to_string())]);
            let settlement = Settlement { memo: Memo(nth.to_string().into()), ..settlement };
            match tokio::time::timeout(Duration::from_secs(5), log.settle(&lease, settlement)).await
            {
                Ok(Ok(_)) => done = nth,
                _ => break,
            }
        }
        (lease, done)
    });
    let log = trial.stores.log.clone();
    let appender = tokio::spawn(async move {
        let mut done = 0;
        for nth in 1..=5_000 {
            let batch = super::records::batch_of(&[Fact::keyless(&nth.to_string())]).into();
            let append = log.append(source, batch, AppendGuard::default());
            match tokio::time::timeout(Duration::from_secs(5), append).await {
                Ok(Ok(_)) => done = nth,
                _ => break,
            }
        }
        done
    });
    super::trial::eventually("they are in full run", async || {
        (trial.log().bounds(first_of(sink)).await.expect("bounds").records > 20).then_some(())
    })
    .await;
    trial.fixture.crash().await;
    let acknowledged = trial.log().bounds(first_of(sink)).await.map_or(0, |bounds| bounds.records);
    settler.abort();
    appender.abort();
    let _ = soon("the settler ends", settler).await;
    let _ = soon("the appender ends", appender).await;
    let trial = trial.reopened(Ended::CrashedBefore, ()).await;
    // Whole or absent, in order, without gaps.
    let outputs = texts(&trial.read_all(first_of(sink)).await);
    let expected: Vec<_> = (1..=outputs.len()).map(|nth| nth.to_string()).collect();
    assert_eq!(outputs, expected);
    assert!(outputs.len() > 20, "{} of {acknowledged}", outputs.len());
    let lease = trial.lease("c", source).await;
    assert_eq!(lease.progress, [Some(Progress::at(Offset(outputs.len() as u64)))]);
    assert_eq!(lease.memo, Memo(outputs.len().to_string().into()));
    let appended = texts(&trial.read_from(first_of(source), Offset(5_000)).await);
    let expected: Vec<_> = (1..=appended.len()).map(|nth| nth.to_string()).collect();
    assert_eq!(appended, expected);
    trial.settle(&lease, to(Offset(5_000))).await.expect("it goes on");
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

/// State of the partition's own and of keys stays apart over an end.
pub async fn every_state_entry_remains(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let lease = trial.lease("c", topic).await;
    let keys: Vec<_> = (0..2_000).map(|nth| own_state(&format!("n{nth}"))).collect();
    for (nth, some) in keys.chunks(100).enumerate() {
        let write =
            |at: &StateKey| StateWrite { at: at.clone(), value: Some(format!("{nth}").into()) };
        let settlement = Settlement { state: some.iter().map(write).collect(), ..to(Offset(0)) };
        trial.settle(&lease, settlement).await.expect("it settles");
    }
    drop(lease);
    after_each_end(trial, async |trial| {
        let lease = trial.lease("c", topic).await;
        let values = trial.log().state(&lease, &keys).await.expect("a lease has state");
        let expected = (0..2_000).map(|nth| Some(Bytes::from((nth / 100).to_string())));
        assert_eq!(values, expected.collect::<Vec<_>>());
    })
    .await;
}
