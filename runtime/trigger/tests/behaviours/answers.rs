//! What an answer brings: outputs for several topics, state, and things that cannot be settled.
use crate::support::*;
use log_contract::*;
use std::time::Duration;
use trigger::*;

#[test]
fn outputs_go_to_their_topics_without_those_of_failed_items() {
    let mut feed = Told::new(spec(Ordering::Partition, 10, Duration::ZERO), 1);
    let (out, _) = feed.tell(0, page(0, &["a", "b", "c"]));
    let outputs = [(Some(0), 1), (Some(1), 2), (Some(2), 1), (Some(2), 2), (Some(1), 1)];
    let response = response(vec![item(1, Blame::Permanent)], &outputs);
    feed.answer(1, out[0].0, Outcome::Handled(response));
    let settle = feed.settled.last().expect("settled");
    let given: Vec<_> = settle
        .settlement
        .outputs
        .iter()
        .map(|output| (output.topic.0, offsets(&output.span)))
        .collect();
    assert_eq!(given, [(1, vec![0, 2]), (2, vec![3])]);
    assert_eq!(feed.dead(), [(1, Condition::Permanent, 1)]);
    assert_eq!(feed.feed.counts().records_out, 3);
}

fn state(key: Option<&str>, name: &str, value: Option<&[u8]>) -> StateWrite {
    let bytes = bytes::Bytes::copy_from_slice;
    let key = key.map(|key| bytes(key.as_bytes()));
    StateWrite { at: StateKey { key, name: name.into() }, value: value.map(bytes) }
}

fn with_state(state: Vec<StateWrite>) -> Outcome {
    Outcome::Handled(Response { state, ..response(Vec::new(), &[]) })
}

#[test]
fn an_answer_that_cannot_be_settled_is_the_functions_fault() {
    let plain = || response(Vec::new(), &[(Some(0), 1)]);
    let long = "n".repeat(STATE_NAME_MAX + 1);
    let large = vec![0; STATE_VALUE_MAX + 1];
    let wrong = [
        Response { sources: vec![], ..plain() },
        Response { sources: vec![Some(1)], ..plain() },
        Response { targets: Targets::Each(vec![]), ..plain() },
        Response { failures: vec![item(1, Blame::Rejected)], ..plain() },
        Response { state: vec![state(Some("other"), "n", None)], ..plain() },
        Response { state: vec![state(None, "n", None)], ..plain() },
        Response { state: vec![state(Some("a"), &long, None)], ..plain() },
        Response { state: vec![state(Some("a"), "n", Some(&large))], ..plain() },
    ];
    for (nth, response) in wrong.into_iter().enumerate() {
        let mut feed = Told::new(key_spec(1), 1);
        let (out, _) = feed.tell(0, page(0, &["a"]));
        feed.answer(1, out[0].0, Outcome::Handled(response));
        let Some(Reason::Failed(error)) = feed.stand(1).reason else { panic!("case {nth}") };
        assert_eq!(error.kind, FailureKind::BoundBroken, "case {nth}");
        assert_eq!(feed.feed.counts().records_handled, 0, "case {nth}");
    }
    let mut feed = Told::new(spec(Ordering::Partition, 1, Duration::ZERO), 1);
    let (out, _) = feed.tell(0, page(0, &["a"]));
    feed.answer(1, out[0].0, with_state(vec![state(None, "n", None), state(Some("b"), "n", None)]));
    assert_eq!(feed.feed.counts().records_handled, 1, "the partition's own, and any key's in it");
}

#[test]
fn an_attempt_sees_what_is_decided_and_not_durable_of_its_own_keys() {
    let mut feed =
        Feed::new(key_spec(1), 1, Progress::at(Offset(0)), &Memo::default(), Before::Nothing);
    let overlay = |commands: Commands| {
        commands.into_iter().find_map(|command| match command {
            Command::Invoke { delivery, overlay, .. } => Some((delivery, overlay)),
            _ => None,
        })
    };
    feed.on_event(Timestamp(0), Event::Woke);
    feed.on_event(Timestamp(0), page(0, &["a", "b", "a", "b"]));
    // The mark is durable; settlements after it stay under way.
    let (first, seen) = overlay(feed.on_event(Timestamp(0), Event::Settled)).expect("a starts");
    assert!(seen.is_empty());
    let writes = vec![
        state(Some("a"), "n", Some(b"1")),
        state(Some("a"), "gone", None),
        state(Some("a"), "n", Some(b"2")),
    ];
    let (second, seen) =
        overlay(feed.on_event(Timestamp(1), invoked(first, with_state(writes)))).expect("b starts");
    assert!(seen.is_empty(), "another key's state is out of reach");
    let (third, seen) =
        overlay(feed.on_event(Timestamp(2), invoked(second, handled()))).expect("a again");
    assert_eq!(seen, [state(Some("a"), "gone", None), state(Some("a"), "n", Some(b"2"))]);
    feed.on_event(Timestamp(3), Event::Settled);
    assert_eq!(feed.stand(Timestamp(3)).overlay, 0, "it dies when it is durable");
    let (_, seen) = overlay(feed.on_event(Timestamp(4), invoked(third, handled()))).expect("b");
    assert!(seen.is_empty());
}
