//! Ranges, memory, retention and lag: what a stuck key costs the others.
use crate::support::*;
use log_contract::*;
use std::time::Duration;
use trigger::*;

#[test]
fn at_the_bound_nothing_is_taken_that_would_add_a_range() {
    let mut spec = key_spec(1);
    spec.bounds.ranges = 1;
    let mut feed = Told::new(spec, 9);
    let (out, _) = feed.tell(0, page(0, &["a", "b", "a", "c", "a", "d"]));
    assert_eq!(heads(&out), [0, 1, 3], "5 would be apart from 3, as 4 waits for its key");
    let stand = feed.stand(0);
    assert_eq!((stand.state, stand.waits_for_ranges), (State::WaitingForRanges, false));
    assert!(feed.answer(1, out[1].0, handled()).is_empty());
    assert_eq!(heads(&feed.answer(2, out[0].0, handled())), [2, 5]);
}

#[test]
fn no_more_is_fetched_than_a_page_ahead_of_what_is_handed_out() {
    let mut spec = spec(Ordering::Partition, 2, Duration::ZERO);
    spec.bounds.page_records = 4;
    let mut feed = Told::new(spec, 1);
    let (out, _) = feed.tell(0, page(0, &["a", "b", "c", "d"]));
    assert_eq!(feed.fetches, [Offset(4)], "two wait");
    feed.tell(0, page(4, &["e", "f", "g", "h"]));
    assert!(feed.fetches.is_empty(), "six wait");
    let out = feed.answer(0, out[0].0, handled());
    assert!(feed.fetches.is_empty(), "four wait");
    feed.answer(0, out[0].0, handled());
    assert_eq!(feed.fetches, [Offset(8)], "two wait");
}

#[test]
fn a_batch_larger_than_a_page_is_fetched_whole() {
    let mut spec = spec(Ordering::Partition, 6, SECOND);
    spec.bounds.page_records = 4;
    let mut feed = Told::new(spec, 1);
    feed.tell(0, page(0, &["a", "b", "c", "d"]));
    assert_eq!(feed.fetches, [Offset(4)], "a batch is more");
    let (out, _) = feed.tell(0, page(4, &["e", "f", "g", "h"]));
    assert_eq!(out[0].1, [0, 1, 2, 3, 4, 5]);
}

/// A page of a hundred with every `nth` record of the stuck key.
fn partly_stuck(at: u64, stuck: &str, nth: u64) -> Event {
    let names: Vec<String> = (at..at + 100).map(|at| format!("key-{}", at % 50)).collect();
    let keys: Vec<&str> = (at..at + 100)
        .zip(&names)
        .map(|(at, name)| if at % nth == 0 { stuck } else { name.as_str() })
        .collect();
    page(at, &keys)
}

/// Feeds pages with every `nth` record of the stuck key until nothing is fetched any more; answers
/// everything else at once. How many others were handled.
fn beside_a_stuck_key(feed: &mut Told, stuck: &str, nth: u64, records: u64) -> u64 {
    let (mut handled_records, mut at) = (0, 0);
    let mut invoked = Vec::new();
    let mut pages = 0;
    while at < records {
        if invoked.is_empty() && !feed.fetches.contains(&Offset(at)) && pages > 0 {
            break;
        }
        if let Some((delivery, span)) = invoked.pop() {
            let span: Vec<u64> = span;
            let is_stuck = span.iter().any(|at| at % nth == 0);
            let outcome = if is_stuck { rejected() } else { handled() };
            handled_records += if is_stuck { 0 } else { span.len() as u64 };
            let fetches = std::mem::take(&mut feed.fetches);
            invoked.extend(feed.answer(1, delivery, outcome));
            feed.fetches.extend(fetches);
            continue;
        }
        invoked.extend(feed.tell(1, partly_stuck(at, stuck, nth)).0);
        (at, pages) = (at + 100, pages + 1);
    }
    while let Some((delivery, span)) = invoked.pop() {
        let is_stuck = span.iter().any(|at| at % nth == 0);
        let outcome = if is_stuck { rejected() } else { handled() };
        handled_records += if is_stuck { 0 } else { span.len() as u64 };
        invoked.extend(feed.answer(1, delivery, outcome));
    }
    handled_records
}

fn wide_spec(open_records: usize) -> TriggerSpec {
    let mut spec = key_spec(100);
    spec.retry.attempts_max = None;
    spec.bounds.open_records = open_records;
    spec.bounds.open_bytes = 64 << 20;
    spec.bounds.ranges = Progress::RANGES_MAX;
    spec
}

#[test]
fn with_a_thousand_waiting_behind_a_stuck_key_the_others_go_on() {
    let mut feed = Told::new(wide_spec(100_000), 4);
    let handled = beside_a_stuck_key(&mut feed, "stuck", 2, 2_000);
    assert_eq!(handled, 1_000, "all of the others");
    let stand = feed.stand(1);
    assert_eq!(stand.state, State::WaitingForRetry);
    assert!(stand.ranges >= 900, "{stand:?}");
}

#[test]
fn thousands_waiting_behind_a_stuck_key_wait_for_ranges_and_go_on_when_it_is_free() {
    let mut feed = Told::new(wide_spec(100_000), 4);
    let handled_first = beside_a_stuck_key(&mut feed, "stuck", 2, 20_000);
    assert!((4_096..=4_196).contains(&handled_first), "{handled_first}");
    let stand = feed.stand(1);
    assert_eq!(stand.state, State::WaitingForRanges);
    assert!(stand.reason.expect("a reason").to_string().contains("finished ranges"));
    assert_eq!(stand.record, Some(Offset(0)));
    assert!(!stand.is_blocked);
    let mut at = stand.end.0;
    assert!((8_192..=8_500).contains(&at), "no more is fetched: {at}");
    // The stuck record is handled at last: all goes on.
    let mut invoked = feed.tell(60_001, Event::Woke).0;
    let mut handled_records = handled_first;
    let mut is_asked = false;
    while let Some((delivery, span)) = invoked.pop() {
        handled_records += span.len() as u64;
        invoked.extend(feed.answer(60_002, delivery, handled()));
        is_asked |= feed.fetches.contains(&Offset(at));
        if is_asked && at < 20_000 {
            invoked.extend(feed.tell(60_002, partly_stuck(at, "stuck", 2)).0);
            at += 100;
            is_asked = feed.fetches.contains(&Offset(at));
        }
    }
    assert_eq!(handled_records, 20_000);
    assert_eq!(feed.stand(60_003).next, Offset(20_000));
    assert_eq!(feed.stand(60_003).open_records, 0);
}

#[test]
fn survivors_are_copied_out_so_that_a_stuck_key_pins_only_itself() {
    // One record of a hundred is stuck behind its first: a window of 1,000 open records, all of which
    // ten pages would pin for ever, lets 60,000 pass.
    let mut feed = Told::new(wide_spec(1_000), 4);
    let handled = beside_a_stuck_key(&mut feed, "stuck", 100, 60_000);
    assert_eq!(handled, 60_000 / 100 * 99, "throughput is not bounded by what is pinned");
    let stand = feed.stand(1);
    assert!(stand.open_records <= 1_000, "{stand:?}");
    let counts = feed.feed.counts();
    assert!(counts.survivors_copied >= 400, "{counts:?}");
    // Each copy is what it was.
    let mut invoked = feed.tell(60_001, Event::Woke).0;
    let mut seen = Vec::new();
    while let Some((delivery, span)) = invoked.pop() {
        seen.extend(span);
        invoked.extend(feed.answer(60_002, delivery, crate::support::handled()));
    }
    assert_eq!(seen, (0..600).map(|nth| nth * 100).collect::<Vec<u64>>());
    assert_eq!(feed.stand(60_002).next, Offset(60_000));
}

/// 20,000 records a second for a minute, and one key of 10,000 fails all the while.
#[test]
fn one_key_of_ten_thousand_that_is_stuck_for_a_minute_costs_the_others_nothing() {
    let mut spec = wide_spec(20_000);
    spec.bounds.open_bytes = 16 << 20;
    let mut feed = Told::new(spec, 4);
    let handled = beside_a_stuck_key(&mut feed, "stuck", 10_000, 1_200_000);
    assert_eq!(handled, 1_200_000 - 120, "all of the others");
    let stand = feed.stand(1);
    assert_eq!(stand.state, State::WaitingForRetry);
    assert!(stand.open_records <= 20_000 && stand.open_bytes <= 16 << 20, "{stand:?}");
    assert_eq!(stand.ranges, 120, "one behind each record that waits");
}

#[test]
fn what_retention_takes_is_counted_by_offset_and_remembered() {
    let spec = spec(Ordering::Partition, 10, Duration::ZERO);
    let mut progress = Progress::at(Offset(10));
    progress.add(Offset(20)..Offset(25));
    let mut feed = Told::resume(spec, 1, progress, &Memo::default(), Before::Nothing);
    feed.tell(0, Event::Trimmed { from: Offset(10), start: Offset(40) });
    assert_eq!(feed.feed.counts().records_lost, 25, "30 less the five that were finished");
    assert_eq!(feed.stand(0).lost_records, 25);
    let mut again = feed.restart(spec, Before::Crashed);
    again.tell(0, Event::Trimmed { from: Offset(40), start: Offset(41) });
    assert_eq!(again.stand(0).lost_records, 26);
    assert_eq!(again.feed.counts().records_lost, 1);
}

#[test]
fn a_trim_that_took_nothing_is_asked_again_later() {
    let mut feed = Told::new(spec(Ordering::Partition, 10, Duration::ZERO), 1);
    let event = Event::Trimmed { from: Offset(0), start: Offset(0) };
    assert_eq!(feed.tell(0, event).1, Some(1_000));
    feed.tell(1_000, Event::Woke);
    assert_eq!(feed.fetches, [Offset(0)]);
}

#[test]
fn lag_is_measured_from_the_oldest_open_record() {
    let mut feed = Told::new(spec(Ordering::Partition, 1, Duration::ZERO), 1);
    assert_eq!(feed.stand(0).oldest, None);
    let batches = vec![batch(0, &["a"], 500), batch(1, &["b"], 700)];
    let page = ReadPage { batches, next: Offset(2), end: Offset(9) };
    let (out, _) = feed.tell(1_000, Event::Fetched { from: Offset(0), page });
    let stand = feed.stand(1_000);
    assert_eq!((stand.oldest, stand.end), (Some(Timestamp(500)), Offset(9)));
    feed.answer(1_100, out[0].0, handled());
    assert_eq!(feed.stand(1_100).oldest, Some(Timestamp(700)));
}
