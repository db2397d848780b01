//! What a consumer finds again after a clean end and after a crash: position, memo, state, and how the
//! lease before ended. For logs that keep anything at all.
use super::{
    durable::after_each_end,
    records::{Fact, batch_of, counted, texts},
    trial::{
        Ended, Trial, cursor_name, eventually, first_of, gained_all, own_state, soon, to,
        to_progress,
    },
};
use crate::{
    AppendGuard, Before, Generation, Lease, Memo, Offset, Progress, Release, SettleError,
    Settlement, StateKey, StateWrite, TopicId,
};
use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::task::JoinHandle;

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
    let old = Lease {
        cursor: lease.cursor.clone(),
        inputs: lease.inputs.clone(),
        progress: lease.progress.clone(),
        memo: lease.memo.clone(),
        release: Release::new(|| {}),
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

/// How many of a task's calls were answered.
#[derive(Clone, Default)]
struct Acknowledged(Arc<AtomicU64>);

impl Acknowledged {
    fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn settle_on(&self, trial: &Trial, lease: Lease, sink: TopicId) -> JoinHandle<()> {
        let (log, Self(count)) = (trial.stores.log.clone(), self.clone());
        tokio::spawn(async move {
            for nth in 1..=IN_FULL_RUN {
                let text = nth.to_string();
                let settlement = to(Offset(nth)).with_output(sink, &[Fact::keyless(&text)]);
                if log.settle(&lease, settlement.with_memo(&text)).await.is_err() {
                    break;
                }
                count.store(nth, Ordering::SeqCst);
            }
            // Not given back: the process ends while it is held.
            std::future::pending::<()>().await;
            drop(lease);
        })
    }

    fn append_on(&self, trial: &Trial, topic: TopicId) -> JoinHandle<()> {
        let (log, Self(count)) = (trial.stores.log.clone(), self.clone());
        tokio::spawn(async move {
            for nth in 1..=IN_FULL_RUN {
                let batch = batch_of(&[Fact::keyless(&nth.to_string())]).into();
                if log.append(topic, batch, AppendGuard::default()).await.is_err() {
                    break;
                }
                count.store(nth, Ordering::SeqCst);
            }
        })
    }
}

const IN_FULL_RUN: u64 = 5_000;

pub async fn what_was_acknowledged_survives_a_crash_in_full_run(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    trial.append(source, &vec![Fact::keyless("in"); 5_000]).await;
    let lease = trial.lease("c", source).await;
    let (settled, appended) = (Acknowledged::default(), Acknowledged::default());
    let tasks = [settled.settle_on(&trial, lease, sink), appended.append_on(&trial, source)];
    eventually("they are in full run", async || {
        (settled.count() > 20 && appended.count() > 20).then_some(())
    })
    .await;
    let (settled, appended) = (settled.count(), appended.count());
    trial.fixture.crash().await;
    for task in tasks {
        task.abort();
        let _aborted = soon("the task ends", task).await;
    }
    let trial = trial.reopened(Ended::CrashedBefore, ()).await;
    // Whole or absent, in order, without gaps, and all that was acknowledged before.
    let counted = |count: usize| (1..=count).map(|nth| nth.to_string()).collect::<Vec<_>>();
    let outputs = texts(&trial.read_all(first_of(sink)).await);
    assert_eq!(outputs, counted(outputs.len()));
    assert!(settled <= outputs.len() as u64, "{settled} were settled, {} remain", outputs.len());
    let records = texts(&trial.read_from(first_of(source), Offset(5_000)).await);
    assert_eq!(records, counted(records.len()));
    assert!(appended <= records.len() as u64, "{appended} were taken, {} remain", records.len());
    let lease = trial.lease("c", source).await;
    assert_eq!(lease.progress, [Some(Progress::at(Offset(outputs.len() as u64)))]);
    assert_eq!(lease.memo, Memo(outputs.len().to_string().into()));
    assert_eq!(lease.before, Before::Crashed);
    trial.settle(&lease, to(Offset(5_000))).await.expect("it goes on");
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
