//! Crashes, hand-overs, and memos that nobody can read.
use crate::support::*;
use log_contract::*;
use std::time::Duration;
use trigger::*;

/// Starts that take records out and then end as `before` says; how the last one stands.
fn starts(spec: TriggerSpec, ends: &[Before]) -> Told {
    let mut feed = Told::new(spec, 1);
    feed.tell(0, page(0, &["a", "b"]));
    for before in ends {
        feed = feed.restart(spec, *before);
        feed.tell(0, page(0, &["a", "b"]));
        if feed.settled.is_empty() {
            // Held: nothing starts, so nothing is marked.
            break;
        }
    }
    feed
}

#[test]
fn three_crashes_go_one_by_one_and_six_hold() {
    let spec = spec(Ordering::Partition, 2, Duration::ZERO);
    let state = |crashes: usize| starts(spec, &vec![Before::Crashed; crashes]).stand(0);
    assert_eq!(state(2).state, State::Running);
    let stand = state(3);
    assert_eq!((stand.state, stand.record), (State::OneByOne, Some(Offset(0))));
    let stand = state(6);
    assert_eq!((stand.state, stand.record), (State::Held, Some(Offset(0))));
    let reason = stand.reason.expect("a reason").to_string();
    assert_eq!(reason, "6 starts ended at this record without a word");
}

#[test]
fn a_hand_over_is_not_a_crash() {
    let spec = spec(Ordering::Partition, 2, Duration::ZERO);
    let stand = starts(spec, &[Before::HandedOver; 20]).stand(0);
    assert_eq!(stand.state, State::Running);
    let mixed = [Before::Crashed, Before::HandedOver, Before::Crashed, Before::HandedOver];
    assert_eq!(starts(spec, &mixed).stand(0).state, State::Running, "two crashes");
    let mixed = [mixed.as_slice(), &[Before::Crashed]].concat();
    assert_eq!(starts(spec, &mixed).stand(0).state, State::OneByOne, "three");
}

#[test]
fn a_held_feed_stays_held_when_it_is_handed_over() {
    let spec = spec(Ordering::Partition, 2, Duration::ZERO);
    let mut ends = vec![Before::Crashed; 5];
    let before = starts(spec, &ends);
    let last = &before.settled.last().expect("marked").settlement;
    let (progress, memo) = (last.progress[0].clone(), last.memo.clone());
    ends.push(Before::Crashed);
    let mut held = Told::resume(spec, 1, progress.clone(), &memo, Before::Crashed);
    held.tell(0, page(0, &["a", "b"]));
    assert_eq!(held.stand(0).state, State::Held);
    held.tell(1, Event::Drain);
    // It wrote something on its way out, or nothing: both say so.
    let memo = held.settled.last().map_or(memo, |settle| settle.settlement.memo.clone());
    let mut next = Told::resume(spec, 1, progress, &memo, Before::HandedOver);
    next.tell(0, page(0, &["a", "b"]));
    assert!(matches!(next.stand(0).state, State::Held | State::OneByOne));
    assert!(next.attempts.len() <= 1);
}

#[test]
fn a_memo_that_nobody_can_read_starts_clean_and_is_said() {
    for bytes in [vec![7, 1, 2, 3], vec![1], vec![1, 255, 255], vec![0; 2_000]] {
        let memo = Memo(bytes.into());
        let first = Progress::at(Offset(0));
        let spec = spec(Ordering::Partition, 2, Duration::ZERO);
        let mut feed = Told::resume(spec, 1, first, &memo, Before::Crashed);
        assert!(feed.feed.memo_error().is_some());
        assert_eq!(feed.tell(0, page(0, &["a"])).0[0].1, [0]);
    }
}
