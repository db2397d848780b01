//! What the simulation cannot call wrong: too early, too late, held up for nothing, or said wrongly.
use crate::support::*;
use log_contract::*;
use std::time::Duration;
use trigger::*;

#[test]
fn a_batch_leaves_when_it_is_full_or_its_first_record_has_waited() {
    for ordering in [Ordering::Partition, Ordering::Key] {
        let mut feed = Told::new(spec(ordering, 3, SECOND), 2);
        assert_eq!(feed.tell(100, page(0, &["a", "b"])), (vec![], Some(1_100)));
        let (invoked, _) = feed.tell(200, page(2, &["c", "d"]));
        assert_eq!(invoked[0].1, [0, 1, 2]);
        assert!(feed.tell(1_199, Event::Woke).0.is_empty());
        let (first, _) = invoked[0].clone();
        let held = ordering == Ordering::Partition;
        let late = feed.tell(1_200, Event::Woke).0;
        let late = if held { feed.answer(1_200, first, handled()) } else { late };
        assert_eq!(late[0].1, [3]);
    }
}

#[test]
fn one_failing_record_holds_its_own_key_and_no_other() {
    let mut feed = Told::new(key_spec(6), 1);
    let (invoked, _) = feed.tell(0, page(0, &["a", "bad", "c", "bad", "a", "d"]));
    assert_eq!(invoked[0].1, [0, 1, 2, 3, 4, 5]);
    let halves = feed.answer(1, invoked[0].0, rejected());
    assert_eq!(halves[0].1, [0, 1, 2]);
    let quarter = feed.answer(2, halves[0].0, rejected());
    assert_eq!(quarter[0].1, [0]);
    let pair = feed.answer(3, quarter[0].0, handled());
    assert_eq!(pair[0].1, [1, 2]);
    let bad = feed.answer(4, pair[0].0, rejected());
    assert_eq!(bad[0].1, [1]);
    // It backs off for a minute. What shares no key with it goes on at once; 3 waits behind it.
    let others = feed.answer(5, bad[0].0, rejected());
    assert_eq!(others[0].1, [2]);
    let rest = feed.answer(6, others[0].0, handled());
    assert_eq!(rest[0].1, [4, 5]);
    assert!(feed.answer(7, rest[0].0, handled()).is_empty());
    let again = feed.tell(60_005, Event::Woke).0;
    assert_eq!(again[0].1, [1]);
    assert_eq!(feed.answer(60_006, again[0].0, handled())[0].1, [3]);
}

#[test]
fn a_pause_is_a_barrier_and_width_changes_at_any_moment() {
    let mut feed = Told::new(key_spec(1), 2);
    let (two, _) = feed.tell(0, page(0, &["a", "b", "c", "d"]));
    assert_eq!(two.len(), 2);
    assert!(feed.tell(1, Event::Width(0)).0.is_empty());
    assert!(feed.answer(2, two[0].0, handled()).is_empty());
    assert!(feed.answer(3, two[1].0, handled()).is_empty());
    assert_eq!(feed.stand(3).state, State::Paused);
    assert_eq!(feed.tell(4, Event::Width(5)).0.len(), 2);
}

#[test]
fn what_waits_for_a_retry_alone_has_no_use_for_width_and_what_waits_for_width_has() {
    for ordering in [Ordering::Partition, Ordering::Key] {
        let mut feed = Told::new(spec(ordering, 1, Duration::ZERO), 1);
        let (one, _) = feed.tell(0, page(0, &["bad"]));
        assert!(!feed.stand(0).is_blocked, "it is being tried");
        feed.answer(1, one[0].0, rejected());
        assert_eq!(feed.stand(1).state, State::WaitingForRetry);
        assert!(feed.stand(1).is_blocked);
        feed.tell(2, Event::Width(0));
        assert_eq!((feed.stand(2).state, feed.stand(2).is_blocked), (State::Paused, true));
        // Behind it nothing goes on, beside it another key does.
        feed.tell(3, page(1, &["other"]));
        assert_eq!(feed.stand(3).is_blocked, ordering == Ordering::Partition);
        let (go_on, _) = feed.tell(4, Event::Width(1));
        assert_eq!(go_on.len(), usize::from(ordering == Ordering::Key));
        assert!(!go_on.is_empty() || feed.stand(4).is_blocked);
        let mut fresh = Told::new(spec(ordering, 1, Duration::ZERO), 0);
        fresh.tell(0, Event::Woke);
        assert!(!fresh.stand(0).is_blocked, "it has nothing, and waits for nothing");
        fresh.tell(0, page(0, &["a"]));
        assert_eq!((fresh.stand(0).state, fresh.stand(0).is_blocked), (State::Paused, false));
    }
}

#[test]
fn a_retry_tells_which_record_which_attempt_when_and_why() {
    let mut feed = Told::new(spec(Ordering::Partition, 1, Duration::ZERO), 1);
    let (out, _) = feed.tell(10, page(0, &["a", "b"]));
    assert_eq!(feed.stand(10).state, State::Running);
    feed.answer(20, out[0].0, rejected());
    feed.tell(24, Event::Width(2));
    let stand = feed.stand(25);
    assert_eq!((stand.state, stand.since), (State::WaitingForRetry, Timestamp(20)));
    assert_eq!((stand.record, stand.attempt), (Some(Offset(0)), Some(2)));
    assert_eq!(stand.next_try, Some(Timestamp(60_020)));
    assert_eq!(stand.reason.expect("a reason").to_string(), "`rejected`: no field `total`");
    // A restart knows the count, and has lost the words.
    let spec = spec(Ordering::Partition, 1, Duration::ZERO);
    let mut again = feed.restart(spec, Before::Crashed);
    let (out, _) = again.tell(30, page(0, &["a", "b"]));
    assert_eq!((out[0].1.as_slice(), again.attempts.as_slice()), (&[0][..], &[2][..]));
    again.answer(40, out[0].0, Outcome::Unavailable { reason: "db".into(), retry_after: None });
    let stand = again.stand(40);
    assert_eq!(stand.state, State::CircuitOpen);
    assert_eq!(stand.reason.expect("a reason").to_string(), "`unavailable`: db");
    assert!(stand.is_blocked);
}

#[test]
fn jitter_stretches_and_shortens_a_backoff_within_a_fifth() {
    for (jitter, due) in [(800, 48_000), (1_000, 60_000), (1_200, 72_000), (0, 48_000)] {
        let mut feed = Told::new(spec(Ordering::Partition, 1, Duration::ZERO), 1);
        let (out, _) = feed.tell(0, page(0, &["a"]));
        let result = Ok(rejected());
        feed.tell(0, Event::Invoked { delivery: out[0].0, version: 1, jitter, result });
        assert_eq!(feed.stand(0).next_try, Some(Timestamp(due)));
    }
}

#[test]
fn backing_off_doubles_up_to_its_maximum() {
    let mut spec = spec(Ordering::Partition, 1, Duration::ZERO);
    spec.retry.attempts_max = None;
    spec.retry.backoff_min = Duration::from_millis(250);
    let mut feed = Told::new(spec, 1);
    let (mut out, _) = feed.tell(0, page(0, &["a"]));
    let (mut now, mut waits) = (0, Vec::new());
    for _ in 0..10 {
        feed.answer(now, out[0].0, rejected());
        let next = feed.stand(now).next_try.expect("a retry").0;
        waits.push(next - now);
        now = next;
        out = feed.tell(now, Event::Woke).0;
    }
    //
    assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
}

#[test]
fn unavailable_waits_as_long_as_the_function_says_and_spends_nothing() {
    let mut spec = spec(Ordering::Partition, 5, Duration::ZERO);
    spec.retry.backoff_min = Duration::from_millis(100);
    let mut feed = Told::new(spec, 1);
    let (out, _) = feed.tell(0, page(0, &["a", "b"]));
    let away = |after| Outcome::Unavailable { reason: "away".into(), retry_after: after };
    assert!(feed.answer(0, out[0].0, away(Some(9 * SECOND))).is_empty());
    assert_eq!(feed.stand(0).next_try, Some(Timestamp(9_000)));
    assert!(feed.tell(8_999, Event::Woke).0.is_empty());
    let (probe, _) = feed.tell(9_000, Event::Woke);
    assert_eq!(probe[0].1, [0], "one record probes");
    feed.answer(9_000, probe[0].0, away(None));
    assert_eq!(feed.stand(9_000).next_try, Some(Timestamp(9_200)), "the second wait is longer");
    let (probe, _) = feed.tell(9_200, Event::Woke);
    let rest = feed.answer(9_300, probe[0].0, handled());
    assert_eq!(rest[0].1, [1]);
    assert_eq!(feed.attempts, [1, 1, 1, 1]);
}

#[test]
fn a_host_fault_holds_the_partition_and_bills_nobody() {
    let mut feed = Told::new(spec(Ordering::Partition, 5, Duration::ZERO), 1);
    let (out, _) = feed.tell(0, page(0, &["a", "b"]));
    let result = Err(HostFault { reason: "the function runs 4 at a time".into() });
    feed.tell(5, Event::Invoked { delivery: out[0].0, version: 1, jitter: 1_000, result });
    let stand = feed.stand(5);
    assert_eq!((stand.state, stand.next_try), (State::Held, Some(Timestamp(1_005))));
    let reason = stand.reason.expect("a reason").to_string();
    assert_eq!(reason, "the host could not run the function: the function runs 4 at a time");
    let (again, _) = feed.tell(1_005, Event::Woke);
    assert_eq!((again[0].1.as_slice(), feed.attempts.as_slice()), (&[0, 1][..], &[1, 1][..]));
    assert_eq!(feed.feed.counts().invocations.host_fault, 1);
}

#[test]
fn a_dead_letter_tells_condition_attempts_error_and_version() {
    let mut feed = Told::new(spec(Ordering::Partition, 1, Duration::ZERO), 1);
    let (mut out, _) = feed.tell(1, page(0, &["a"]));
    for (now, kind) in [(1, FailureKind::Trapped), (100_000, FailureKind::TimedOut)] {
        feed.answer(now, out[0].0, failed(kind, "early"));
        out = feed.tell(now + 90_000, Event::Woke).0;
    }
    let outcome = failed(FailureKind::OutOfMemory, "64 MiB");
    let result = Ok(outcome);
    feed.tell(300_000, Event::Invoked { delivery: out[0].0, version: 9, jitter: 1_000, result });
    let letters: Vec<_> = feed.settled.iter().flat_map(|settle| &settle.dead_letters).collect();
    let [letter] = letters[..] else { panic!("one letter: {letters:?}") };
    assert_eq!((letter.condition, letter.attempts), (Condition::AttemptsExhausted, 3));
    assert_eq!(letter.first_failed_at, Some(Timestamp(1)));
    let error = letter.error.as_ref().expect("the last error");
    assert_eq!(error.to_string(), "`out_of_memory`: 64 MiB");
    assert_eq!(error.version, 9);
}

#[test]
fn a_record_too_old_before_any_call_ends_with_no_attempts() {
    let mut spec = spec(Ordering::Partition, 10, Duration::ZERO);
    spec.retry.record_age_max = Some(60 * SECOND);
    let mut feed = Told::new(spec, 1);
    feed.tell(100_000, Event::Width(0));
    let old = batch(0, &["a"], 39_999);
    let fresh = batch(1, &["b", "c"], 40_000);
    let page = ReadPage { batches: vec![old, fresh], next: Offset(3), end: Offset(3) };
    // Giving up what is too old goes on in a pause (R-9.3: the head alone).
    let (out, wake) = feed.tell(100_000, Event::Fetched { from: Offset(0), page });
    assert!(out.is_empty());
    assert_eq!(feed.dead(), [(0, Condition::RecordTooOld, 0)]);
    assert_eq!(wake, Some(100_001), "the next expires a millisecond later");
    let (out, _) = feed.tell(100_000, Event::Width(1));
    assert_eq!(out[0].1, [1, 2]);
}

#[test]
fn a_sleeping_retry_is_woken_by_its_age() {
    let mut spec = spec(Ordering::Partition, 10, Duration::ZERO);
    spec.retry.record_age_max = Some(5 * SECOND);
    let mut feed = Told::new(spec, 1);
    let (out, _) = feed.tell(0, page(0, &["a"]));
    let (_, wake) = feed.tell(10, invoked(out[0].0, rejected()));
    assert_eq!(wake, Some(5_001), "not a minute later (R-6.8)");
    feed.tell(5_001, Event::Woke);
    assert_eq!(feed.dead(), [(0, Condition::RecordTooOld, 1)]);
}
