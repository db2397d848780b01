//! What becomes of a record whose attempts are used up, besides a dead letter: it is held, or dropped.
use crate::support::*;
use log_contract::*;
use std::time::Duration;
use trigger::*;

#[test]
fn what_is_held_waits_for_an_operator_with_its_key_and_is_never_dead() {
    let mut spec = key_spec(1);
    spec.on_failure = OnFailure::Hold;
    spec.retry.attempts_max = Some(1);
    let mut feed = Told::new(spec, 2);
    let (out, _) = feed.tell(0, page(0, &["bad", "b", "bad", "c"]));
    assert_eq!(heads(&out), [0, 1]);
    assert!(feed.answer(1, out[1].0, handled())[0].1 == [3]);
    assert!(feed.answer(2, out[0].0, rejected()).is_empty());
    let stand = feed.stand(2);
    assert_eq!((stand.state, stand.record, stand.held_records), (State::Held, Some(Offset(0)), 1));
    assert_eq!(stand.next_try, None);
    let reason = stand.reason.expect("a reason").to_string();
    assert_eq!(reason, "`attempts_exhausted`, held for an operator: `rejected`: no field `total`");
    assert!(feed.tell(10_000_000, Event::Woke).0.is_empty(), "no time frees it");
    assert!(feed.dead().is_empty());
    assert_eq!(feed.feed.counts().dead_lettered.total(), 0);
    // A restart holds it still, without asking the function.
    let mut again = feed.restart(spec, Before::HandedOver);
    assert!(again.tell(0, page(0, &["bad", "b", "bad", "c"])).0.iter().all(|one| one.1[0] != 0));
    assert_eq!(again.stand(0).record, Some(Offset(0)));
    // Released, it has a new budget; handled, it frees its key.
    again.tell(4, Event::Width(9));
    let (out, _) = again.tell(5, Event::Release);
    assert_eq!(out[0].1, [0]);
    assert_eq!(again.attempts.last(), Some(&1));
    assert_eq!(heads(&again.answer(6, out[0].0, handled())), [2]);
    assert_eq!(again.stand(7).held_records, 0);
}

#[test]
fn a_permanent_record_stays_held_over_a_restart_though_its_budget_is_not_spent() {
    let mut spec = spec(Ordering::Partition, 1, Duration::ZERO);
    spec.on_failure = OnFailure::Hold;
    let mut feed = Told::new(spec, 1);
    let (out, _) = feed.tell(0, page(0, &["a", "b"]));
    feed.answer(1, out[0].0, failed(FailureKind::Permanent, "never"));
    let mut again = feed.restart(spec, Before::Crashed);
    assert!(again.tell(0, page(0, &["a", "b"])).0.is_empty());
    let stand = again.stand(0);
    assert_eq!(stand.reason.expect("a reason").to_string(), "`permanent`, held for an operator");
    assert!(stand.is_blocked, "the whole partition waits");
    assert_eq!(again.tell(1, Event::Release).0[0].1, [0]);
    // And what was released stays so, over a restart.
    let mut third = again.restart(spec, Before::HandedOver);
    assert_eq!(third.tell(0, page(0, &["a", "b"])).0[0].1, [0]);
}

#[test]
fn a_record_held_for_its_age_is_tried_once_released() {
    let mut spec = spec(Ordering::Partition, 10, Duration::ZERO);
    spec.on_failure = OnFailure::Hold;
    spec.retry.record_age_max = Some(5 * SECOND);
    let mut feed = Told::new(spec, 1);
    assert!(feed.tell(100_000, page(0, &["a", "b"])).0.is_empty());
    let stand = feed.stand(100_000);
    assert_eq!(
        stand.reason.expect("a reason").to_string(),
        "`record_too_old`, held for an operator"
    );
    let (out, _) = feed.tell(200_000, Event::Release);
    assert_eq!(out[0].1, [0, 1], "its age counts from the release");
    feed.answer(205_001, out[0].0, rejected());
    assert_eq!(feed.stand(205_001).state, State::Held, "and it grows old again");
}

#[test]
fn what_is_dropped_is_counted_and_named_and_no_dead_letter() {
    let mut spec = spec(Ordering::Partition, 1, Duration::ZERO);
    spec.on_failure = OnFailure::Drop;
    spec.retry.attempts_max = Some(1);
    let mut feed = Told::new(spec, 1);
    let (out, _) = feed.tell(0, page(0, &["a"]));
    feed.answer(1, out[0].0, rejected());
    assert!(feed.dead().is_empty());
    let dropped: Vec<_> = feed.settled.iter().flat_map(|settle| &settle.dropped).collect();
    assert_eq!((dropped.len(), dropped[0].record.head()), (1, Offset(0)));
    assert_eq!(feed.feed.counts().dropped.attempts_exhausted, 1);
    assert_eq!(feed.feed.counts().dead_lettered.total(), 0);
}

#[test]
fn a_held_item_holds_its_own_key_and_no_other() {
    let mut spec = key_spec(4);
    spec.on_failure = OnFailure::Hold;
    let mut feed = Told::new(spec, 1);
    let (out, _) = feed.tell(0, page(0, &["a", "b", "c", "a"]));
    let failures = vec![item(0, Blame::Permanent), item(2, Blame::Rejected)];
    let outcome = Outcome::Handled(response(failures, &[]));
    assert!(feed.answer(1, out[0].0, outcome).is_empty());
    let stand = feed.stand(1);
    assert_eq!((stand.held_records, stand.sleeping, stand.is_blocked), (1, 2, false));
    let (out, _) = feed.tell(60_001, Event::Woke);
    assert_eq!(out[0].1, [2], "it backed off, and goes on beside what is held");
    feed.answer(60_002, out[0].0, handled());
    let stand = feed.stand(60_002);
    assert_eq!((stand.state, stand.record, stand.is_blocked), (State::Held, Some(Offset(0)), true));
}
