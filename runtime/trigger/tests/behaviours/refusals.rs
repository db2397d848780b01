//! What a log may answer to a settlement, and whose fault it is.
use crate::support::*;
use log_contract::*;
use std::time::Duration;
use trigger::*;

/// A feed whose settlements after the mark are answered by hand.
fn by_hand(spec: TriggerSpec, keys: &[&str]) -> (Feed, Commands) {
    let first = Progress::at(Offset(0));
    let mut feed = Feed::new(spec, 4, first, &Memo::default(), Before::Nothing);
    feed.on_event(Timestamp(0), Event::Woke);
    feed.on_event(Timestamp(0), page(0, keys));
    let commands = feed.on_event(Timestamp(0), Event::Settled);
    (feed, commands)
}

fn invocations(commands: &[Command]) -> Invoked {
    let invoked = commands.iter().filter_map(|command| match command {
        Command::Invoke { delivery, span, .. } => Some((*delivery, offsets(span))),
        _ => None,
    });
    invoked.collect()
}

fn refused(output: usize, why: RefusedOutput) -> Event {
    Event::SettleFailed(SettleError::Refused { output, why })
}

fn settles(commands: &[Command]) -> bool {
    commands.iter().any(|command| matches!(command, Command::Settle(_)))
}

#[test]
fn a_dead_letter_that_is_refused_is_never_the_functions_fault() {
    let mut spec = spec(Ordering::Partition, 1, Duration::ZERO);
    spec.retry.attempts_max = Some(1);
    let too_large = RefusedOutput::RecordTooLarge { index: 0, bytes: 9, max: 8 };
    for why in [RefusedOutput::NoTopic(DEAD), too_large] {
        let (mut feed, commands) = by_hand(spec, &["a", "b"]);
        let first = invocations(&commands)[0].0;
        feed.on_event(Timestamp(1), invoked(first, rejected()));
        let commands = feed.on_event(Timestamp(2), refused(0, why.clone()));
        assert!(!settles(&commands), "not at once: no hot loop");
        let stand = feed.stand(Timestamp(2));
        assert_eq!((stand.state, stand.next_try), (State::Held, Some(Timestamp(1_002))));
        assert_eq!(
            stand.reason.expect("a reason").to_string(),
            format!("the log did not settle: {why}")
        );
        let commands = feed.on_event(Timestamp(1_002), Event::Woke);
        assert!(settles(&commands), "the same again");
        feed.on_event(Timestamp(1_003), Event::Settled);
        assert_eq!(feed.stand(Timestamp(1_003)).state, State::Running);
        assert_eq!(feed.counts().dead_lettered.attempts_exhausted, 1);
    }
}

#[test]
fn an_output_topic_that_is_gone_is_the_operators_doing() {
    let (mut feed, commands) = by_hand(spec(Ordering::Partition, 5, Duration::ZERO), &["a", "b"]);
    let first = invocations(&commands)[0].0;
    let response = response(Vec::new(), &[(Some(0), 1)]);
    feed.on_event(Timestamp(1), invoked(first, Outcome::Handled(response)));
    feed.on_event(Timestamp(2), refused(0, RefusedOutput::NoTopic(TopicId(1))));
    let stand = feed.stand(Timestamp(2));
    assert_eq!((stand.state, stand.flying), (State::Held, 0));
    feed.on_event(Timestamp(3), Event::Settled);
    let commands = feed.on_event(Timestamp(3), page(0, &["a", "b"]));
    assert!(invocations(&commands).is_empty(), "it waits");
    let commands = feed.on_event(Timestamp(1_002), Event::Woke);
    assert_eq!(invocations(&commands)[0].1, [0, 1], "whole, and nobody is billed");
}

#[test]
fn a_refused_output_bills_the_single_record_and_narrows_several_down() {
    let (mut feed, commands) = by_hand(spec(Ordering::Partition, 5, Duration::ZERO), &["a", "b"]);
    let first = invocations(&commands)[0].0;
    let given = || Outcome::Handled(response(Vec::new(), &[(Some(0), 1)]));
    let why = || RefusedOutput::RecordTooLarge { index: 0, bytes: 9, max: 8 };
    feed.on_event(Timestamp(1), invoked(first, given()));
    feed.on_event(Timestamp(2), refused(0, why()));
    feed.on_event(Timestamp(3), Event::Settled);
    let commands = feed.on_event(Timestamp(3), page(0, &["a", "b"]));
    let one = invocations(&commands);
    assert_eq!(one[0].1, [0], "one at a time until past it");
    let commands = feed.on_event(Timestamp(4), invoked(one[0].0, given()));
    let stray = invocations(&commands)[0].0;
    feed.on_event(Timestamp(5), refused(0, why()));
    feed.on_event(Timestamp(6), Event::Settled);
    let commands = feed.on_event(Timestamp(6), page(0, &["a", "b"]));
    assert!(invocations(&commands).is_empty(), "an attempt from before is still out");
    feed.on_event(Timestamp(6), invoked(stray, given()));
    let stand = feed.stand(Timestamp(6));
    assert_eq!((stand.state, stand.record), (State::WaitingForRetry, Some(Offset(0))));
    assert_eq!((stand.attempt, stand.next_try), (Some(2), Some(Timestamp(60_005))));
    let reason = stand.reason.expect("a reason").to_string();
    assert_eq!(reason, "`output_refused`: record 0 has 9 bytes, more than 8");
    assert_eq!(invocations(&feed.on_event(Timestamp(60_005), Event::Woke))[0].1, [0]);
}

#[test]
fn answers_too_large_together_go_one_by_one_and_bill_nobody() {
    let mut spec = key_spec(1);
    spec.bounds.settlement_bytes = usize::MAX;
    let (mut feed, commands) = by_hand(spec, &["a", "b", "c"]);
    let three = invocations(&commands);
    let given = || Outcome::Handled(response(Vec::new(), &[(Some(0), 1)]));
    feed.on_event(Timestamp(1), invoked(three[0].0, given()));
    feed.on_event(Timestamp(1), invoked(three[1].0, given()));
    feed.on_event(Timestamp(1), invoked(three[2].0, given()));
    let commands = feed.on_event(Timestamp(2), Event::Settled);
    let outputs = |commands: &[Command]| {
        let settle = commands.iter().find_map(|command| match command {
            Command::Settle(settle) => Some(settle.settlement.outputs.len()),
            _ => None,
        });
        settle.expect("a settlement")
    };
    assert_eq!(outputs(&commands), 2);
    let why = RefusedOutput::TooLarge { bytes: 99, max: 50 };
    assert_eq!(outputs(&feed.on_event(Timestamp(3), refused(0, why))), 1);
    assert_eq!(outputs(&feed.on_event(Timestamp(4), Event::Settled)), 1);
    feed.on_event(Timestamp(5), Event::Settled);
    let counts = feed.counts();
    assert_eq!((counts.records_handled, counts.invocations.total()), (3, 3));
}

#[test]
fn answers_join_a_settlement_only_up_to_what_the_log_takes() {
    let mut spec = key_spec(1);
    spec.bounds.settlement_bytes = 17;
    let (mut feed, commands) = by_hand(spec, &["a", "b", "c", "d"]);
    for (delivery, _) in invocations(&commands) {
        let given = Outcome::Handled(response(Vec::new(), &[(Some(0), 1)]));
        feed.on_event(Timestamp(1), invoked(delivery, given));
    }
    let mut settled = Vec::new();
    for now in 2..6 {
        for command in feed.on_event(Timestamp(now), Event::Settled) {
            if let Command::Settle(settle) = command {
                settled.push(settle.settlement.outputs.len());
            }
        }
        if settled.iter().sum::<usize>() == 3 {
            break;
        }
    }
    assert_eq!(settled, [2, 1], "eight bytes each, after the first that went alone");
}

#[test]
fn an_invalid_settlement_waits_for_an_operator_and_never_loops() {
    let (mut feed, commands) = by_hand(spec(Ordering::Partition, 1, Duration::ZERO), &["a", "b"]);
    let first = invocations(&commands)[0].0;
    feed.on_event(Timestamp(1), invoked(first, handled()));
    let why = InvalidSettlement::Memo { bytes: 2_000, max: 1_024 };
    let failed = Event::SettleFailed(SettleError::Invalid(why.clone()));
    assert!(!settles(&feed.on_event(Timestamp(2), failed)));
    let stand = feed.stand(Timestamp(2));
    assert_eq!((stand.state, stand.is_blocked), (State::Held, true));
    assert_eq!(stand.reason.expect("a reason").to_string(), format!("a bug of millstream: {why}"));
    for now in [3, 10_000, 10_000_000] {
        let commands = feed.on_event(Timestamp(now), Event::Woke);
        assert!(!settles(&commands) && invocations(&commands).is_empty());
    }
    let commands = feed.on_event(Timestamp(20_000_000), Event::Release);
    assert!(settles(&commands), "what was counted is said again");
    assert!(
        commands.iter().any(|command| matches!(command, Command::Fetch { from: Offset(0), .. }))
    );
}

#[test]
fn an_invalid_settlement_does_not_keep_a_feed_from_ending() {
    let (mut feed, commands) = by_hand(spec(Ordering::Partition, 1, Duration::ZERO), &["a"]);
    let first = invocations(&commands)[0].0;
    feed.on_event(Timestamp(1), invoked(first, handled()));
    let why = InvalidSettlement::Memo { bytes: 2_000, max: 1_024 };
    feed.on_event(Timestamp(2), Event::SettleFailed(SettleError::Invalid(why)));
    let commands = feed.on_event(Timestamp(3), Event::Drain);
    assert!(matches!(commands[..], [Command::Stopped]));
}

#[test]
fn what_was_not_applied_is_sent_again_when_the_log_says() {
    for (retry_after, again) in [(250, 252), (0, 1_002)] {
        let (mut feed, commands) = by_hand(spec(Ordering::Partition, 1, Duration::ZERO), &["a"]);
        let first = invocations(&commands)[0].0;
        feed.on_event(Timestamp(1), invoked(first, handled()));
        let retry_after = Duration::from_millis(retry_after);
        let why = LogUnavailable::StorageFull { retry_after };
        let failed = Event::SettleFailed(SettleError::NotApplied { retry_after, why });
        let commands = feed.on_event(Timestamp(2), failed);
        assert!(!settles(&commands));
        assert!(matches!(commands[..], [Command::WakeAt(at)] if at == Timestamp(again)));
        let stand = feed.stand(Timestamp(2));
        assert_eq!(stand.next_try, Some(Timestamp(again)));
        assert!(stand.reason.expect("a reason").to_string().contains("storage is full"));
        assert!(settles(&feed.on_event(Timestamp(again), Event::Woke)));
    }
}
