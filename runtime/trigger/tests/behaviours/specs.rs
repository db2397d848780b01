//! What a user may set wrongly.
use crate::support::*;
use std::time::Duration;
use trigger::*;

#[test]
fn all_that_is_wrong_with_a_spec_is_named_at_once() {
    let good = spec(Ordering::Key, 100, Duration::ZERO);
    assert!(good.validate().is_ok());
    let mut bad = good;
    bad.batch.records_max = 0;
    bad.batch.wait = 301 * SECOND;
    bad.retry.attempts_max = Some(0);
    bad.retry.backoff_max = Duration::from_millis(1);
    bad.bounds.ranges = 5_000;
    let problems = bad.validate().expect_err("much is wrong");
    let fields: Vec<_> = problems.iter().map(|problem| problem.field).collect();
    assert_eq!(
        fields,
        [
            "batch.records_max",
            "batch.wait",
            "retry.attempts_max",
            "retry.backoff_max",
            "bounds.ranges"
        ]
    );
    assert_eq!(problems[0].to_string(), "`batch.records_max`: 0 is below 1");
}

#[test]
fn a_feed_never_panics_on_a_spec_that_is_wrong() {
    let mut bad = spec(Ordering::Key, 0, Duration::MAX);
    bad.batch.bytes_max = 0;
    bad.retry.attempts_max = Some(0);
    bad.retry.record_age_max = Some(Duration::MAX);
    (bad.retry.backoff_min, bad.retry.backoff_max) = (Duration::MAX, Duration::ZERO);
    bad.bounds = Bounds {
        open_records: 0,
        open_bytes: 0,
        page_records: 0,
        page_bytes: 0,
        unsettled_pieces: 0,
        unsettled_bytes: 0,
        settlement_bytes: 0,
        ranges: 0,
        memo_entries: 0,
        fault_pause: Duration::ZERO,
    };
    let mut feed = Told::new(bad, 1);
    let (out, _) = feed.tell(0, page(0, &["a"]));
    feed.answer(300_000, out[0].0, rejected());
    assert_eq!(feed.dead(), [(0, Condition::AttemptsExhausted, 1)]);
}
