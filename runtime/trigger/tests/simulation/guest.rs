//! The function: what it answers follows from the records, the attempt and the state it reads.
use crate::{
    model::Model,
    scene::{Kind, STATE_MAX, Scene},
};
use bytes::Bytes;
use log_contract::*;
use std::collections::BTreeMap;
use trigger::*;

/// What the function does with a span when nothing outside it fails.
pub fn answer(
    scene: &Scene,
    model: &Model,
    is_fixed: bool,
    span: &Span,
    attempt: u32,
    overlay: &[StateWrite],
) -> Outcome {
    let kinds: Vec<_> = span.records().map(|r| kind(scene, is_fixed, r.offset.0)).collect();
    let fails = |limit: u32| limit == 0 || attempt <= limit;
    let failed = |kind| Outcome::Failed(Failure { kind, reason: "by nature".into() });
    for kind in &kinds {
        match kind {
            Kind::Fails(limit) if fails(*limit) => return failed(FailureKind::Trapped),
            Kind::Heavy if kinds.len() > 1 => return failed(FailureKind::OutOfMemory),
            Kind::Permanent => return failed(FailureKind::Permanent),
            _ => (),
        }
    }
    let mut failures = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let mut name = |index, blame| {
            failures.push(ItemFailure { index, blame, reason: "named".into() });
        };
        let index = u32::try_from(index).expect("spans are short");
        match kind {
            Kind::Item(limit) if fails(*limit) => name(index, Blame::Rejected),
            Kind::ItemPermanent => name(index, Blame::Permanent),
            Kind::Confused => name(span.len() as u32, Blame::Rejected),
            _ => (),
        }
    }
    // In no order, and twice: the same as once.
    failures.reverse();
    failures.extend(failures.first().cloned());
    Outcome::Handled(response(scene, model, is_fixed, span, failures, overlay))
}

/// What a record is; an operator's fix makes all but the killer good.
pub fn kind(scene: &Scene, is_fixed: bool, at: u64) -> Kind {
    match scene.records[&at].kind {
        Kind::Killer => Kind::Killer,
        _ if is_fixed => Kind::Good,
        kind => kind,
    }
}

pub fn topic(scene: &Scene, at: u64, copy: u8) -> TopicId {
    TopicId((at + u64::from(copy)) % scene.topics)
}

fn response(
    scene: &Scene,
    model: &Model,
    is_fixed: bool,
    span: &Span,
    failures: Vec<ItemFailure>,
    overlay: &[StateWrite],
) -> Response {
    let (mut outputs, mut sources, mut topics) = (BatchBuilder::default(), Vec::new(), Vec::new());
    let mut memory = Memory { model, overlay, written: BTreeMap::new(), state: Vec::new() };
    for (index, record) in span.records().enumerate() {
        let at = record.offset.0;
        if scene.state {
            remember(scene, &mut memory, &record, kind(scene, is_fixed, at));
        }
        for copy in 0..scene.records[&at].outputs {
            let mut value = at.to_le_bytes().to_vec();
            value.push(copy);
            value.resize(9 + scene.padding, 0);
            outputs.push_new(Timestamp(0), None, Some(&value), Headers::NONE);
            sources.push(scene.sources.then_some(index as u32));
            topics.push(topic(scene, at, copy));
        }
    }
    let targets = match topics.first() {
        Some(first) if topics.iter().all(|topic| topic == first) => Targets::All(*first),
        None => Targets::All(TopicId(0)),
        Some(_) => Targets::Each(topics),
    };
    Response { outputs: outputs.build(), targets, sources, state: memory.state, failures }
}

struct Memory<'a> {
    model: &'a Model,
    overlay: &'a [StateWrite],
    written: BTreeMap<StateKey, Option<Bytes>>,
    state: Vec<StateWrite>,
}

impl Memory<'_> {
    fn number(&self, at: &StateKey) -> u64 {
        let seen = self.overlay.iter().find(|write| write.at == *at).map(|write| &write.value);
        let value = match self.written.get(at).or(seen) {
            Some(value) => value.clone(),
            None => self.model.state(at),
        };
        value.map_or(0, |value| u64::from_le_bytes(value[..].try_into().expect("eight bytes")))
    }

    fn write(&mut self, at: StateKey, value: Option<Vec<u8>>) {
        let value = value.map(Bytes::from);
        self.written.insert(at.clone(), value.clone());
        self.state.push(StateWrite { at, value });
    }

    fn count(&mut self, at: StateKey) -> u64 {
        let count = self.number(&at) + 1;
        self.write(at, Some(count.to_le_bytes().to_vec()));
        count
    }
}

/// A counter per key, the key's last record after every odd count, a counter of the partition.
fn remember(scene: &Scene, memory: &mut Memory<'_>, record: &Record<'_>, kind: Kind) {
    if scene.policy.ordering == Ordering::Partition {
        memory.count(StateKey { key: None, name: "total".into() });
    }
    let Some(key) = record.key else { return };
    let name = |name: &str| StateKey { key: Some(Bytes::copy_from_slice(key)), name: name.into() };
    let count = memory.count(name("n"));
    let last = (count % 2 == 1).then(|| record.offset.0.to_le_bytes().to_vec());
    memory.write(name("last"), last);
    if kind == Kind::BigState {
        memory.write(name("big"), Some(vec![0; STATE_MAX + 10]));
    }
}
