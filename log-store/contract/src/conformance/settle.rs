//! Settlements that are taken: what becomes visible, and that it does so together. Refusals: `refusals`.
use super::{
    records::{Fact, Found, batch_of, counted, some_attributes, texts},
    trial::{Trial, begun, cursor_name, first_of, gained_all, own_state, soon, to, to_progress},
};
use crate::{
    Clock as _, Lease, Log, Memo, Offset, Output, PartitionId, PartitionRef, Progress, Run,
    Settlement, Span, StateWrite, Timestamp, TopicId, partition_of_key,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

fn facts(found: &[Found]) -> Vec<Fact> {
    found.iter().map(|found| found.fact.clone()).collect()
}

pub async fn outputs_progress_state_and_memo_come_with_a_settlement(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    let dead = trial.topic("dead", 1).await;
    let offsets = trial.fill(first_of(source), &counted("in", 4)).await;
    let lease = trial.lease("c", source).await;
    let settlement = to(offsets[3])
        .with_output(sink, &counted("out", 2))
        .with_output(dead, &counted("letter", 1))
        .with_output(sink, &counted("more", 1))
        .with_state("sum", Some("6"))
        .with_memo("memo");
    trial.settle(&lease, settlement).await.expect("it settles");
    assert_eq!(texts(&trial.read_all(first_of(sink)).await), ["out0", "out1", "more0"]);
    assert_eq!(texts(&trial.read_all(first_of(dead)).await), ["letter0"]);
    assert_eq!(trial.state(&lease, &["sum"]).await, [Some(Bytes::from("6"))]);
    assert_eq!(trial.position("c", first_of(source)).await, Some(Progress::at(offsets[3])));
    drop(lease);
    let lease = trial.lease("c", source).await;
    assert_eq!(lease.progress, [Some(Progress::at(offsets[3]))]);
    assert_eq!(lease.memo, Memo(Bytes::from("memo")));
    assert_eq!(trial.read_all(first_of(source)).await.len(), 4, "the source stays");
}

pub async fn an_output_comes_back_as_it_was_given(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    let lease = trial.lease("c", source).await;
    let attributes = Some(some_attributes());
    let given: Vec<_> = [
        Fact {
            headers: vec![("b".into(), vec![0xff]), ("a".into(), vec![])],
            ..Fact::keyed("k", "v")
        },
        Fact { value: None, timestamp: Timestamp(9), ..Fact::keyed("tombstone", "") },
        Fact { key: Some(vec![]), value: Some(vec![]), ..Fact::default() },
        Fact::default(),
    ]
    .map(|fact| Fact { attributes: attributes.clone(), ..fact })
    .into();
    trial.settle(&lease, to(Offset(0)).with_output(sink, &given)).await.expect("it settles");
    assert_eq!(facts(&trial.read_all(first_of(sink)).await), given);
}

pub async fn outputs_go_by_key_and_keep_their_order(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 5).await);
    let lease = trial.lease("c", source).await;
    let given: Vec<_> =
        (0..100).map(|n| Fact::keyed(&format!("k{}", n % 7), &format!("{n:03}"))).collect();
    trial.settle(&lease, to(Offset(0)).with_output(sink, &given)).await.expect("it settles");
    let mut count = 0;
    for partition in (0..5).map(PartitionId) {
        let found = trial.read_all(PartitionRef::new(sink, partition)).await;
        assert!(texts(&found).is_sorted());
        for Found { fact, .. } in &found {
            assert_eq!(partition_of_key(fact.key.as_deref().expect("a key"), 5), partition);
        }
        count += found.len();
    }
    assert_eq!(count, 100);
}

pub async fn keyless_outputs_are_spread(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 3).await);
    let lease = trial.lease("c", source).await;
    for _ in 0..30 {
        let settlement = to(Offset(0)).with_output(sink, &counted("x", 2));
        trial.settle(&lease, settlement).await.expect("it settles");
    }
    for partition in (0..3).map(PartitionId) {
        let found = trial.read_all(PartitionRef::new(sink, partition)).await;
        assert!(found.len() >= 10, "no partition is left behind: {}", found.len());
    }
}

/// What item failures drop is left out without a copy; places in the answer's batch mean nothing;
/// attributes are those of each record's own batch.
pub async fn of_a_span_only_its_records_are_taken(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    let lease = trial.lease("c", source).await;
    let attributes = Some(some_attributes());
    let of_function = |fact| Fact { attributes: attributes.clone(), ..fact };
    let made: Vec<_> = counted("b", 10).into_iter().map(of_function).collect();
    let (first, second) = (batch_of(&counted("a", 10)), batch_of(&made));
    let mut span = Span::default();
    span.push(Run::new(first.clone(), 1..3));
    span.push_one(&first, 5);
    span.push(Run::new(first, 8..10));
    // From another batch whose places begin again.
    span.push(Run::new(second, 0..2));
    let mut settlement = to(Offset(0));
    settlement.outputs.push(Output { topic: sink, span });
    trial.settle(&lease, settlement).await.expect("it settles");
    let expected = ["a1", "a2", "a5", "a8", "a9", "b0", "b1"];
    let found = trial.read_all(first_of(sink)).await;
    assert_eq!(texts(&found), expected);
    for Found { fact, .. } in found {
        let expected = attributes.as_ref().filter(|_| fact.text().starts_with('b'));
        assert_eq!(fact.attributes.as_ref(), expected, "of {}", fact.text());
    }
}

pub async fn a_function_may_feed_its_own_source(trial: Trial) {
    let source = trial.topic("source", 1).await;
    let offsets = trial.fill(first_of(source), &counted("in", 2)).await;
    let lease = trial.lease("c", source).await;
    let settlement = to(offsets[1]).with_output(source, &counted("again", 2));
    trial.settle(&lease, settlement).await.expect("it settles");
    let expected = ["in0", "in1", "again0", "again1"];
    assert_eq!(texts(&trial.read_all(first_of(source)).await), expected);
}

pub async fn outputs_bear_the_stamp_that_the_settlement_tells(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    let lease = trial.lease("c", source).await;
    let settlement = || to(Offset(0)).with_output(sink, &counted("x", 1));
    trial.clock.advance(Duration::from_secs(5));
    let now = trial.clock.now();
    assert_eq!(trial.settle(&lease, settlement()).await.expect("it settles").appended_at, now);
    trial.clock.set(Timestamp(now.0 - 4_000));
    let back = trial.settle(&lease, settlement()).await.expect("it settles");
    assert_eq!(back.appended_at, now, "it never goes back");
    let stamps = trial.read_all(first_of(sink)).await.into_iter().map(|found| found.appended_at);
    assert_eq!(stamps.collect::<Vec<_>>(), [now, now]);
}

pub async fn ranges_ahead_come_back(trial: Trial) {
    let source = trial.topic("source", 1).await;
    let at = first_of(source);
    let max = trial.log().limits().progress_ranges_max;
    trial.append(source, &vec![Fact::keyless("x"); 9_000]).await;
    let lease = trial.lease("c", source).await;
    let ahead =
        |count: u64| (0..count).map(|nth| Offset(2 * nth + 2)..Offset(2 * nth + 3)).collect();
    for count in [1, 2, max as u64] {
        let progress = Progress::from_parts(Offset(1), ahead(count)).expect("sorted");
        let settlement = to_progress(progress.clone());
        trial.settle(&lease, settlement).await.expect("it settles");
        assert_eq!(trial.position("c", at).await, Some(progress));
    }
    drop(lease);
    let lease = trial.lease("c", source).await;
    let progress = Progress::from_parts(Offset(1), ahead(max as u64)).expect("sorted");
    assert_eq!(lease.progress, [Some(progress)]);
}

pub async fn with_rewind_progress_goes_back_and_then_grows_from_there(trial: Trial) {
    let source = trial.topic("source", 1).await;
    let at = first_of(source);
    let offsets = trial.fill(at, &counted("in", 10)).await;
    let lease = trial.lease("c", source).await;
    trial.settle(&lease, to(offsets[8])).await.expect("it settles");
    trial.settle(&lease, to(offsets[2]).with_rewind()).await.expect("it may go back");
    assert_eq!(trial.position("c", at).await, Some(Progress::at(offsets[2])));
    trial.settle(&lease, to(offsets[3])).await.expect("it grows from there");
    assert_eq!(trial.position("c", at).await, Some(Progress::at(offsets[3])));
    trial.settle(&lease, to(offsets[1])).await.expect_err("and goes back no more by itself");
}

pub async fn settlements_of_one_lease_are_applied_in_the_order_of_the_calls(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    let offsets = trial.fill(first_of(source), &counted("in", 60)).await;
    let lease = trial.lease("c", source).await;
    let mut calls = Vec::new();
    for (nth, offset) in offsets.iter().enumerate() {
        let text = nth.to_string();
        let settlement = to(*offset)
            .with_output(sink, &[Fact::keyless(&text)])
            .with_state("last", Some(&text))
            .with_memo(&text);
        calls.push(begun(trial.log().settle(&lease, settlement)).await);
    }
    for call in calls {
        call.end().await.expect("it settles");
    }
    let expected: Vec<_> = (0..60).map(|nth| nth.to_string()).collect();
    assert_eq!(texts(&trial.read_all(first_of(sink)).await), expected);
    assert_eq!(trial.state(&lease, &["last"]).await, [Some(Bytes::from("59"))]);
    assert_eq!(trial.position("c", first_of(source)).await, Some(Progress::at(offsets[59])));
}

async fn settle_many(log: Arc<dyn Log>, lease: Lease, sink: TopicId, count: u64) {
    for nth in 1..=count {
        let text = format!("{}/{nth}", lease.partition);
        let both = [Fact::keyed("a", &text), Fact::keyed("b", &text), Fact::keyed("c", &text)];
        let settlement = to(Offset(nth)).with_output(sink, &both).with_state("nth", Some(&text));
        log.settle(&lease, settlement).await.expect("it settles");
    }
}

pub async fn many_leases_settle_at_the_same_time(trial: Trial) {
    let (source, sink) = (trial.topic("source", 8).await, trial.topic("sink", 3).await);
    for partition in (0..8).map(PartitionId) {
        trial.fill(PartitionRef::new(source, partition), &counted("in", 40)).await;
    }
    let mut member = trial.join("c", source).await;
    let leases = gained_all(&mut *member, 8).await;
    let log = || trial.stores.log.clone();
    let settle = |lease| tokio::spawn(settle_many(log(), lease, sink, 40));
    let tasks: Vec<_> = leases.into_iter().map(settle).collect();
    for task in tasks {
        soon("settlements", task).await.expect("no panic");
    }
    let key = |name: &str| Some(name.as_bytes().to_vec());
    let mut found = Vec::new();
    for partition in (0..3).map(PartitionId) {
        found.extend(trial.read_all(PartitionRef::new(sink, partition)).await);
    }
    assert_eq!(found.len(), 8 * 40 * 3);
    for partition in 0..8 {
        for name in ["a", "b", "c"] {
            let begin = format!("{partition}/");
            let of = found.iter().filter(|found| {
                found.fact.key == key(name) && found.fact.text().starts_with(&begin)
            });
            let expected: Vec<_> = (1..=40).map(|nth| format!("{partition}/{nth}")).collect();
            assert_eq!(of.map(|found| found.fact.text()).collect::<Vec<_>>(), expected);
        }
        let at = PartitionRef::new(source, PartitionId(partition));
        assert_eq!(trial.position("c", at).await, Some(Progress::at(Offset(40))));
    }
}

/// An onlooker compares what outputs and progress tell while settlements go on: neither is ahead.
pub async fn nobody_sees_half_a_settlement(trial: Trial) {
    let (source, left) = (trial.topic("source", 1).await, trial.topic("left", 1).await);
    let (right, count) = (trial.topic("right", 1).await, 300);
    trial.append(source, &vec![Fact::keyless("in"); 300]).await;
    let lease = trial.lease("c", source).await;
    let log = trial.stores.log.clone();
    let settler = tokio::spawn(async move {
        for nth in 1..=count {
            let one = counted("out", 1);
            let settlement = to(Offset(nth)).with_output(left, &one).with_output(right, &one);
            log.settle(&lease, settlement).await.expect("it settles");
            tokio::task::yield_now().await;
        }
    });
    let at = first_of(source);
    let records = async |topic| trial.log().bounds(first_of(topic)).await.expect("bounds").records;
    let next = async || trial.position("c", at).await.map_or(0, |progress| progress.next().0);
    let mut seen = 0;
    while seen < count {
        // What is seen later is at least what was seen earlier, in whatever order one looks.
        let (one, two, three) = (records(left).await, next().await, records(right).await);
        assert!(one <= two && two <= three, "{one} outputs, progress {two}, {three} outputs");
        let (four, five, six) = (records(right).await, next().await, records(left).await);
        assert!(four <= five && five <= six, "{four} outputs, progress {five}, {six} outputs");
        seen = six;
    }
    soon("the settler ends", settler).await.expect("no panic");
}

pub async fn a_settlement_that_is_dropped_is_done_whole_or_not(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    trial.append(source, &counted("in", 30)).await;
    let lease = trial.lease("c", source).await;
    for nth in 1..=20 {
        let text = nth.to_string();
        let settlement =
            to(Offset(nth)).with_output(sink, &[Fact::keyless(&text)]).with_state(&text, Some("x"));
        drop(begun(trial.log().settle(&lease, settlement)).await);
    }
    trial.settle(&lease, to(Offset(21))).await.expect("it settles");
    let done = texts(&trial.read_all(first_of(sink)).await);
    for nth in 1..=20 {
        let text = nth.to_string();
        let value = trial.state(&lease, &[&text]).await.remove(0);
        assert_eq!(value.is_some(), done.contains(&text), "settlement {nth} is halved");
    }
}

/// Of the contract's fields each does something, also alone.
pub async fn a_settlement_may_carry_nothing_new(trial: Trial) {
    let source = trial.topic("source", 1).await;
    let lease = trial.lease("c", source).await;
    for memo in ["a", "b", ""] {
        trial.settle(&lease, to(Offset(0)).with_memo(memo)).await.expect("it settles");
    }
    let write = StateWrite { at: own_state("x"), value: Some(Bytes::from("1")) };
    let settlement = Settlement { state: vec![write], ..to(Offset(0)) };
    trial.settle(&lease, settlement).await.expect("it settles");
    assert_eq!(trial.state(&lease, &["x"]).await, [Some(Bytes::from("1"))]);
    let cursors = trial.log().cursors().await.expect("cursors are listed");
    assert_eq!(cursors[0].name, cursor_name("c"));
}
