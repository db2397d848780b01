//! Members and leases: who gets which partition, when, and what comes with it. Never a settlement's
//! contents.
use super::{
    records::counted,
    trial::{
        Trial, begun, cursor_name, eventually, first_of, gained, gained_all, is_waiting, own_state,
        soon, to, topic_name,
    },
};
use crate::{
    Before, JoinError, Lease, Log, Memo, Offset, PartitionId, Progress, SettleError, StateError,
    TopicId, TopicSpec,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

pub async fn one_member_gains_a_lease_on_each_partition(trial: Trial) {
    let topic = trial.topic("t", 5).await;
    let mut member = trial.join("c", topic).await;
    let leases = gained_all(&mut *member, 5).await;
    for (partition, lease) in (0..5).map(PartitionId).zip(&leases) {
        assert_eq!((&lease.cursor, lease.partition), (&cursor_name("c"), partition));
        assert_eq!(lease.inputs, [topic]);
        assert_eq!((&lease.progress[..], &lease.memo), (&[None][..], &Memo::default()));
        assert_eq!(lease.before, Before::Nothing);
    }
    let mut more = Box::pin(member.next());
    assert!(is_waiting(&mut more).await, "there are no more partitions");
}

pub async fn no_grant_is_given_twice(trial: Trial) {
    let (one, two) = (trial.topic("one", 3).await, trial.topic("two", 3).await);
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for _ in 0..4 {
        for (cursor, topic) in [("c", one), ("d", one), ("c2", two)] {
            let mut member = trial.join(cursor, topic).await;
            for lease in gained_all(&mut *member, 3).await {
                seen.insert(lease.grant.0);
                count += 1;
            }
        }
    }
    assert_eq!(seen.len(), count);
}

pub async fn each_lease_has_a_higher_generation(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let mut last = None;
    for nth in 0..6 {
        let lease = trial.lease("c", topic).await;
        assert!(last < Some(lease.generation), "{last:?} then {:?}", lease.generation);
        last = Some(lease.generation);
        if nth % 2 == 0 {
            trial.settle(&lease, to(Offset(0))).await.expect("it settles");
        }
    }
}

pub async fn a_second_member_waits_until_leases_are_given_back(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let mut first = trial.join("c", topic).await;
    // The leases are the first one's, also if it has not asked for them yet.
    let mut second = trial.join("c", topic).await;
    assert!(is_waiting(&mut second.next()).await);
    let mut leases = gained_all(&mut *first, 2).await;
    assert!(is_waiting(&mut second.next()).await);
    let given = leases.remove(1);
    let generation = given.generation;
    drop(given);
    let lease = gained(&mut *second).await;
    assert_eq!(lease.partition, PartitionId(1));
    assert!(generation < lease.generation);
    trial.settle(&lease, to(Offset(0))).await.expect("it is current");
    trial.settle(&leases[0], to(Offset(0))).await.expect("so is the other");
    assert!(is_waiting(&mut second.next()).await);
}

pub async fn what_a_lone_member_gives_back_comes_again(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let mut member = trial.join("c", topic).await;
    let lease = gained(&mut *member).await;
    let mut next = Box::pin(member.next());
    assert!(is_waiting(&mut next).await);
    drop(lease);
    let event = soon("gain it again", next).await;
    assert!(matches!(event, Some(crate::MembershipEvent::Gained(_))), "{event:?}");
}

pub async fn a_lease_outlives_its_member(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let mut member = trial.join("c", topic).await;
    let lease = gained(&mut *member).await;
    drop(member);
    let mut second = trial.join("c", topic).await;
    assert!(is_waiting(&mut second.next()).await, "it is held still");
    trial.settle(&lease, to(Offset(0))).await.expect("it is current");
    drop(lease);
    gained(&mut *second).await;
}

pub async fn what_a_member_did_not_take_goes_to_the_next(trial: Trial) {
    let topic = trial.topic("t", 4).await;
    let mut first = trial.join("c", topic).await;
    let kept = gained(&mut *first).await;
    let mut second = trial.join("c", topic).await;
    drop(first);
    let leases = gained_all(&mut *second, 3).await;
    assert!(leases.iter().all(|lease| lease.partition != kept.partition));
    assert!(is_waiting(&mut second.next()).await);
}

pub async fn cursors_share_nothing(trial: Trial) {
    let (topic, other) = (trial.topic("t", 2).await, trial.topic("other", 1).await);
    let mut held = Vec::new();
    for cursor in ["a", "b", "c"] {
        let mut member = trial.join(cursor, topic).await;
        held.extend(gained_all(&mut *member, 2).await);
    }
    held.push(trial.lease("d", other).await);
    for lease in &held {
        trial.settle(lease, to(Offset(0))).await.expect("all are current");
    }
}

pub async fn only_what_is_there_can_be_joined(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let join =
        async |inputs: &[TopicId]| trial.log().join(&cursor_name("c"), inputs).await.map(drop);
    assert_eq!(join(&[]).await, Err(JoinError::NoInput));
    let gone = TopicId(u64::MAX);
    assert_eq!(join(&[gone]).await, Err(JoinError::NoTopic(gone)));
    assert_eq!(join(&[topic]).await, Ok(()));
    trial.log().delete_topic(topic).await.expect("a topic is deleted");
    assert_eq!(join(&[topic]).await, Err(JoinError::NoTopic(topic)));
}

pub async fn to_cancel_the_wait_for_an_event_loses_none(trial: Trial) {
    let topic = trial.topic("t", 40).await;
    let mut first = trial.join("c", topic).await;
    let leases = gained_all(&mut *first, 40).await;
    let mut second = trial.join("c", topic).await;
    drop(first);
    let giver = tokio::spawn(async move {
        for lease in leases {
            drop(lease);
            tokio::task::yield_now().await;
        }
    });
    let mut gained = Vec::new();
    while gained.len() < 40 {
        // Polled once, then dropped, and now and then for a little while.
        drop(begun(async { is_waiting(&mut second.next()).await }).await);
        let next = tokio::time::timeout(Duration::from_micros(100), second.next());
        if let Ok(Some(crate::MembershipEvent::Gained(lease))) = next.await {
            gained.push(lease);
        }
    }
    soon("all are given back", giver).await.expect("no panic");
    let partitions: BTreeSet<_> = gained.iter().map(|lease| lease.partition).collect();
    assert_eq!(partitions.len(), 40, "each came once");
}

pub async fn partitions_that_are_added_are_gained(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let mut member = trial.join("c", topic).await;
    let held = gained(&mut *member).await;
    let mut next = Box::pin(member.next());
    assert!(is_waiting(&mut next).await);
    let spec = TopicSpec::new(topic_name("t"), 3);
    trial.log().alter_topic(topic, spec).await.expect("partitions may grow");
    let Some(crate::MembershipEvent::Gained(first)) = soon("gain", next).await else {
        panic!("a lease should come");
    };
    let second = gained(&mut *member).await;
    let partitions: BTreeSet<_> = [&held, &first, &second].map(|lease| lease.partition.0).into();
    assert_eq!(partitions, BTreeSet::from([0, 1, 2]));
    trial.settle(&held, to(Offset(0))).await.expect("the old one stays");
}

pub async fn progress_memo_and_how_it_ended_come_with_the_next_lease(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let offsets = trial.fill(first_of(topic), &counted("in", 5)).await;
    assert_eq!(trial.lease("c", topic).await.before, Before::Nothing);
    let lease = trial.lease("c", topic).await;
    assert_eq!(lease.before, Before::Nothing, "none ever settled");
    trial.settle(&lease, to(offsets[2]).with_memo("first")).await.expect("it settles");
    trial.settle(&lease, to(offsets[3]).with_memo("second")).await.expect("it settles");
    drop(lease);
    for _ in 0..2 {
        let lease = trial.lease("c", topic).await;
        assert_eq!(lease.progress, [Some(Progress::at(offsets[3]))]);
        assert_eq!(lease.memo, Memo("second".into()));
        assert_eq!(lease.before, Before::HandedOver);
    }
}

pub async fn a_deleted_topic_voids_leases_and_ends_members(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let mut first = trial.join("c", topic).await;
    let lease = gained(&mut *first).await;
    let mut second = trial.join("c", topic).await;
    let mut next = Box::pin(second.next());
    assert!(is_waiting(&mut next).await);
    trial.log().delete_topic(topic).await.expect("a topic is deleted");
    assert!(soon("a waiting member is told", next).await.is_none());
    assert!(soon("so is another", first.next()).await.is_none(), "also of what it did not take");
    assert!(soon("and again", second.next()).await.is_none());
    let settled = trial.settle(&lease, to(Offset(0))).await;
    assert_eq!(settled, Err(SettleError::LeaseVoid));
    let state = trial.log().state(&lease, &[own_state("n")]).await;
    assert_eq!(state, Err(StateError::LeaseVoid));
    // A new topic of the name is another one.
    let anew = trial.topic("t", 1).await;
    let fresh = trial.lease("c", anew).await;
    let settled = trial.settle(&lease, to(Offset(0))).await;
    assert_eq!(settled, Err(SettleError::LeaseVoid));
    drop(lease);
    trial.settle(&fresh, to(Offset(0))).await.expect("it is current");
}

/// Takes leases as they come, uses each while nobody else may, and gives it back.
async fn compete(log: Arc<dyn Log>, topic: TopicId, holders: Arc<Vec<AtomicU32>>) -> usize {
    let mut member = log.join(&cursor_name("c"), &[topic]).await.expect("it is joined");
    let use_it = async |lease: Lease| {
        let holders = &holders[lease.partition.0 as usize];
        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold {}", lease.partition);
        let next = lease.progress[0].as_ref().map_or(Offset(0), Progress::next);
        let is_done = next == Offset(30);
        if !is_done {
            log.settle(&lease, to(Offset(next.0 + 1))).await.expect("it is current");
        }
        holders.fetch_sub(1, Ordering::SeqCst);
        usize::from(!is_done)
    };
    let (mut count, mut idle) = (0, 0);
    // When all is done the leases still go round.
    while idle < 20 {
        let event = tokio::time::timeout(Duration::from_millis(100), member.next());
        let Ok(Some(crate::MembershipEvent::Gained(lease))) = event.await else { break };
        let settled = use_it(lease).await;
        count += settled;
        idle += 1 - settled;
    }
    count
}

pub async fn of_all_who_compete_one_holds_a_partition(trial: Trial) {
    let topic = trial.topic("t", 3).await;
    for partition in (0..3).map(PartitionId) {
        trial.fill(crate::PartitionRef::new(topic, partition), &counted("in", 30)).await;
    }
    let holders: Arc<Vec<_>> = Arc::new((0..3).map(|_| AtomicU32::new(0)).collect());
    let compete = |_| compete(trial.stores.log.clone(), topic, holders.clone());
    let tasks: Vec<_> = (0..6).map(compete).map(tokio::spawn).collect();
    let mut count = 0;
    for task in tasks {
        count += soon("they end", task).await.expect("no panic");
    }
    // Whoever gave up early left leases to others; the rest is done here.
    let left = compete_to_the_end(&trial, topic).await;
    assert_eq!(count + left, 90, "each step was settled once");
}

async fn compete_to_the_end(trial: &Trial, topic: TopicId) -> usize {
    let mut member = trial.join("c", topic).await;
    let mut count = 0;
    for lease in gained_all(&mut *member, 3).await {
        let next = lease.progress[0].as_ref().map_or(0, |progress| progress.next().0);
        for offset in next..30 {
            trial.settle(&lease, to(Offset(offset + 1))).await.expect("it is current");
            count += 1;
        }
    }
    count
}

/// Each lease is given back just as the other begins to wait for it.
pub async fn two_members_hand_a_lease_to_and_fro(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let mut members = vec![trial.join("c", topic).await, trial.join("c", topic).await];
    let take = |mut member: Box<dyn crate::Membership>| {
        tokio::spawn(async move {
            for _ in 0..300 {
                drop(gained(&mut *member).await);
            }
        })
    };
    for task in members.drain(..).map(take).collect::<Vec<_>>() {
        soon("each has had its turns", task).await.expect("no panic");
    }
}

pub async fn a_lease_may_be_dropped_anywhere(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let lease = trial.lease("c", topic).await;
    // Also where no runtime is.
    std::thread::spawn(move || drop(lease)).join().expect("no panic");
    let lease = trial.lease("c", topic).await;
    trial.settle(&lease, to(Offset(0))).await.expect("it settles");
    drop(lease);
    eventually("it is given back", async || {
        let cursors = trial.log().cursors().await.expect("cursors are listed");
        (!cursors[0].in_use).then_some(())
    })
    .await;
}
