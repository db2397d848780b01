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
fn a_held_feed_stays_held_however_often_it_is_handed_over() {
    let spec = spec(Ordering::Partition, 2, Duration::ZERO);
    let mut feed = starts(spec, &[Before::Crashed; 6]);
    for _ in 0..4 {
        assert_eq!(feed.stand(0).state, State::Held);
        assert!(feed.attempts.is_empty(), "nothing starts");
        feed.tell(1, Event::Drain);
        feed = feed.restart(spec, Before::HandedOver);
        feed.tell(0, page(0, &["a", "b"]));
    }
}

#[test]
fn a_release_forgives_the_crashes_only_of_a_feed_that_they_hold() {
    let mut spec = spec(Ordering::Partition, 2, Duration::ZERO);
    spec.on_failure = OnFailure::Hold;
    let mut feed = starts(spec, &[Before::Crashed; 5]);
    feed.tell(1, Event::Release);
    feed = feed.restart(spec, Before::Crashed);
    feed.tell(2, page(0, &["a", "b"]));
    assert_eq!(feed.stand(2).state, State::Held, "the sixth all the same");
    let (out, _) = feed.tell(3, Event::Release);
    assert_eq!(out[0].1, [0]);
    feed = feed.restart(spec, Before::Crashed);
    feed.tell(4, page(0, &["a", "b"]));
    assert_eq!(feed.stand(4).state, State::Running, "it begins to count anew");
}

#[test]
fn one_by_one_nothing_overtakes_a_retry() {
    let spec = spec(Ordering::Key, 2, Duration::ZERO);
    let mut feed = starts(spec, &[Before::Crashed; 3]);
    let stand = feed.stand(0);
    assert_eq!((stand.state, stand.flying), (State::OneByOne, 1));
    let first = feed.out[0].0;
    assert!(feed.answer(1, first, rejected()).is_empty(), "another key, and yet it waits");
    assert_eq!(feed.stand(1).next_try, None);
    assert_eq!(feed.tell(60_001, Event::Woke).0[0].1, [0]);
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
