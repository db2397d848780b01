//! Plans are pure and stable, and later requests of a frame go on from the earlier ones.
use bytes::Bytes;
use log_contract::{
    BatchBuilder, Expect, Generation, GrantId, Headers, Memo, Output, PartitionId, Progress,
    RecordBatch, StateKey, StateWrite,
};
use std::time::Duration;

use super::*;
use crate::{
    entry::Seat,
    state::{Place, State},
};

const NOW: Timestamp = Timestamp(1_000);

fn rules(storage: Storage) -> Rules<'static> {
    Rules {
        now: NOW,
        limits: LogLimits::OURS,
        storage,
        body_bytes_max: 1 << 20,
        state_bytes_max: 2_000,
        unsaid: &[],
        is_current: &|_| true,
        is_in_use: &|_| false,
    }
}

fn plan_of(state: &State, rules: &Rules<'_>, requests: &[Request]) -> (Vec<Outcome>, Vec<u8>) {
    let mut body = Vec::new();
    let outcomes = plan(state, rules, requests.iter(), &mut body, &mut Changes::default());
    (outcomes, body)
}

/// Plans and applies, frame by frame, until all have an answer.
fn done(state: &mut State, requests: &[Request]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    while outcomes.len() < requests.len() {
        let rules = rules(Storage::Plenty);
        let (more, body) = plan_of(state, &rules, &requests[outcomes.len()..]);
        assert!(!more.is_empty(), "every plan answers somebody");
        state.apply(place(), &body).expect("a plan fits its state");
        outcomes.extend(more);
    }
    outcomes
}

fn place() -> Place {
    Place { frame: 1, segment: 1, at: 0, len: 0 }
}

fn records(count: usize) -> RecordBatch {
    let mut batch = BatchBuilder::default();
    for nth in 0..count {
        let key = format!("k{nth}");
        batch.push_new(Timestamp(5), Some(key.as_bytes()), Some(b"value"), Headers::NONE);
    }
    batch.build()
}

fn create(name: &str, partitions: u32) -> Request {
    Request::CreateTopic(TopicSpec::new(
        log_contract::TopicName::parse(name).expect("a name"),
        partitions,
    ))
}

fn append(count: usize) -> Request {
    Request::Append {
        topic: TopicId(1),
        batch: records(count).into(),
        guard: AppendGuard::default(),
    }
}

fn right(cursor: &str) -> Right {
    let cursor = CursorName::parse(cursor).expect("a name");
    let seat = Seat { cursor, source: TopicId(1), partition: PartitionId(0) };
    Right { seat, inputs: vec![TopicId(1)], generation: Generation(1), grant: GrantId(1) }
}

fn settle(cursor: &str, next: u64, outputs: usize) -> Request {
    let settlement = Settlement {
        outputs: vec![Output { topic: TopicId(1), span: records(outputs).into() }],
        state: Vec::new(),
        progress: vec![Progress::at(Offset(next))],
        memo: Memo::default(),
        rewind: false,
    };
    Request::Settle { right: right(cursor), settlement }
}

fn begun() -> State {
    let mut state = State::default();
    done(&mut state, &[create("t", 3), append(30)]);
    state
}

#[test]
fn a_trim_by_a_rule_that_was_changed_meanwhile_does_nothing() {
    let state = begun();
    let at = PartitionRef::new(TopicId(1), PartitionId(0));
    let rule = state.topics[&TopicId(1)].spec.retention;
    let end = state.partition(at).expect("there").end;
    let other = Retention { age: None, ..rule };
    for (given, is_done) in [(None, true), (Some(rule), true), (Some(other), false)] {
        let bytes_before = state.partition(at).expect("there").bytes().1;
        let trim = Request::Trim { partition: at, before: end, bytes_before, given };
        let (outcomes, body) = plan_of(&state, &rules(Storage::Plenty), &[trim]);
        assert_eq!(outcomes, [Outcome::Trim(Ok(()))]);
        assert_eq!(!body.is_empty(), is_done, "{given:?}");
    }
}

#[test]
fn asking_twice_gives_the_same_and_changes_nothing() {
    let state = begun();
    let before = state.clone();
    let requests = [append(10), settle("c", 2, 4), append(1), Request::Release(right("d"))];
    let rules = rules(Storage::Plenty);
    let first = plan_of(&state, &rules, &requests);
    assert_eq!(first, plan_of(&state, &rules, &requests));
    assert_eq!(first.0.len(), 4);
    assert_eq!(state, before);
}

#[test]
fn appends_of_one_frame_lie_behind_one_another() {
    let mut together = begun();
    let mut apart = together.clone();
    let requests = [append(7), append(11), settle("c", 0, 5)];
    let outcomes = done(&mut together, &requests);
    let one_by_one: Vec<_> = requests
        .iter()
        .flat_map(|request| done(&mut apart, std::slice::from_ref(request)))
        .collect();
    assert_eq!(outcomes, one_by_one);
    for partition in (0..3).map(PartitionId) {
        let at = PartitionRef::new(TopicId(1), partition);
        let bounds = |state: &State| state.partition(at).expect("it is there").bounds();
        assert_eq!(bounds(&together), bounds(&apart));
    }
}

#[test]
fn what_must_see_the_frame_done_waits_for_the_next() {
    let state = begun();
    let rules = rules(Storage::Plenty);
    let answered = |requests: &[Request]| plan_of(&state, &rules, requests).0.len();
    assert_eq!(answered(&[settle("c", 1, 0), settle("d", 1, 0), settle("c", 2, 0)]), 2);
    assert_eq!(answered(&[Request::Release(right("c")), settle("c", 1, 0)]), 1);
    assert_eq!(answered(&[append(1), create("u", 1)]), 1);
    assert_eq!(answered(&[create("u", 1), append(1)]), 1);
    let put = || Request::PutDocument {
        key: "k".into(),
        value: Some(Bytes::from("v")),
        expect: Expect::Nothing,
    };
    assert_eq!(answered(&[put(), put()]), 1);
    let small = Rules { body_bytes_max: 100, ..rules };
    let many: Vec<_> = (0..10).map(|_| append(10)).collect();
    assert_eq!(plan_of(&state, &small, &many).0.len(), 1, "a full frame takes no more");
}

#[test]
fn a_full_disk_refuses_what_needs_space_and_nothing_else() {
    let state = begun();
    let why = LogUnavailable::StorageFull { retry_after: Duration::from_secs(1) };
    let at = PartitionRef::new(TopicId(1), PartitionId(0));
    let requests = [
        append(1),
        settle("c", 1, 1),
        settle("d", 1, 0),
        Request::Trim { partition: at, before: Offset(0), bytes_before: 0, given: None },
    ];
    let (outcomes, body) = plan_of(&state, &rules(Storage::Reserve(why.clone())), &requests);
    assert_eq!(outcomes[0], Outcome::Append(Err(why.clone().into())));
    assert!(matches!(outcomes[1], Outcome::Settle(Err(SettleError::NotApplied { .. }))));
    assert!(matches!(outcomes[2], Outcome::Settle(Ok(_))));
    assert_eq!(outcomes[3], Outcome::Trim(Ok(())));
    assert!(!body.is_empty());
    let (outcomes, body) = plan_of(&state, &rules(Storage::Exhausted(why)), &requests);
    assert!(matches!(outcomes[2], Outcome::Settle(Err(SettleError::NotApplied { .. }))));
    assert!(body.is_empty(), "nothing is written without room");
}

#[test]
fn a_lease_that_was_given_back_without_a_word_is_said_once_there_is_room() {
    let mut state = begun();
    done(&mut state, &[settle("c", 1, 0), settle("d", 1, 0)]);
    let is_held = |state: &State, cursor| state.part(&right(cursor).seat).expect("there").is_held;
    let why = LogUnavailable::StorageFull { retry_after: Duration::from_secs(1) };
    // The one of `c` was followed by another that has settled since.
    let later = Right { generation: Generation(2), ..right("c") };
    let Request::Settle { settlement, .. } = settle("c", 1, 0) else { panic!() };
    done(&mut state, &[Request::Settle { right: later, settlement }]);
    let unsaid = [right("c"), right("d"), right("never-settled")];
    let with = |storage| Rules { unsaid: &unsaid, ..rules(storage) };
    let progress = [settle("e", 1, 0)];
    let (_, said) = plan_of(&state, &with(Storage::Reserve(why.clone())), &progress);
    assert_eq!(said, plan_of(&state, &rules(Storage::Reserve(why)), &progress).1);
    let (outcomes, body) = plan_of(&state, &with(Storage::Plenty), &[append(1)]);
    assert_eq!(outcomes.len(), 1);
    state.apply(place(), &body).expect("it fits");
    assert!(!is_held(&state, "d"), "its word is said");
    assert!(is_held(&state, "c"), "a later lease holds it");
}

#[test]
fn function_state_has_a_bound() {
    let mut state = begun();
    let write = |name: &str, bytes: Option<usize>| {
        let Request::Settle { right, mut settlement } = settle("c", 0, 0) else { panic!() };
        let value = bytes.map(|bytes| Bytes::from(vec![1; bytes]));
        settlement.state.push(StateWrite { at: StateKey { key: None, name: name.into() }, value });
        Request::Settle { right, settlement }
    };
    let is_ok = |outcomes: &[Outcome]| matches!(outcomes, [Outcome::Settle(Ok(_))]);
    assert!(is_ok(&done(&mut state, &[write("a", Some(1_000))])));
    let refused = done(&mut state, &[write("b", Some(1_000))]);
    let Outcome::Settle(Err(SettleError::NotApplied { why, .. })) = &refused[0] else { panic!() };
    assert!(why.to_string().contains("2000 bytes"), "{why}");
    assert!(is_ok(&done(&mut state, &[write("a", Some(1_100))])), "what is replaced counts");
    assert!(is_ok(&done(&mut state, &[write("a", None)])));
    assert_eq!(state.state_bytes, 0);
    assert!(is_ok(&done(&mut state, &[write("b", Some(1_000))])));
}

#[test]
fn of_two_writes_to_one_key_the_later_counts_and_what_was_there_counts_once() {
    let mut state = begun();
    let write = |bytes: &[usize]| {
        let Request::Settle { right, mut settlement } = settle("c", 0, 0) else { panic!() };
        let at = |name: &str| StateKey { key: None, name: name.into() };
        let writes = bytes.iter().map(|bytes| Some(Bytes::from(vec![1; *bytes])));
        settlement.state.extend(writes.map(|value| StateWrite { at: at("a"), value }));
        Request::Settle { right, settlement }
    };
    assert!(matches!(done(&mut state, &[write(&[900])])[..], [Outcome::Settle(Ok(_))]));
    // The old value leaves once: what two writes took off would make room for far too much.
    let refused = done(&mut state, &[write(&[100, 1_900])]);
    assert!(matches!(refused[..], [Outcome::Settle(Err(SettleError::NotApplied { .. }))]));
    assert!(state.state_bytes <= 2_000);
    // And the earlier one never lies anywhere.
    let taken = done(&mut state, &[write(&[1_500, 1_500, 10])]);
    assert!(matches!(taken[..], [Outcome::Settle(Ok(_))]));
    assert_eq!(state.state_bytes, 10 + 1 + 128);
}

#[test]
fn a_stamp_goes_back_in_no_partition() {
    let mut state = begun();
    let early = Rules { now: Timestamp(10), ..rules(Storage::Plenty) };
    let (outcomes, body) = plan_of(&state, &early, &[append(5)]);
    let [Outcome::Append(Ok(appended))] = &outcomes[..] else { panic!("it is taken") };
    assert_eq!(appended.appended_at, NOW);
    state.apply(place(), &body).expect("it fits");
}

#[test]
fn a_frame_that_does_not_fit_its_state_is_refused() {
    let state = begun();
    let rules = rules(Storage::Plenty);
    for request in [create("u", 1), append(3), settle("c", 1, 2)] {
        let (_, body) = plan_of(&state, &rules, std::slice::from_ref(&request));
        let mut twice = state.clone();
        twice.apply(place(), &body).expect("it fits");
        twice.apply(place(), &body).expect_err("ids and offsets are there already");
        if !matches!(request, Request::CreateTopic(_)) {
            State::default().apply(place(), &body).expect_err("there is no such topic");
        }
    }
}
