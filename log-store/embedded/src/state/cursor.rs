//! One cursor: how far it has come everywhere, and what its consumers left with each partition.
use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use log_contract::{Generation, Memo, PartitionId, Progress, StateKey, StateWrite, TopicId};

/// What an entry of function state counts for beyond its key, name and value: about what the map and
/// the allocator take for it.
pub(crate) const STATE_ENTRY_BYTES: u64 = 128;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) positions: BTreeMap<(TopicId, PartitionId), Progress>,
    /// By the source and its partition.
    pub(crate) parts: BTreeMap<(TopicId, PartitionId), Part>,
}

/// What belongs to one lease after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) memo: Memo,
    /// Of the lease that settled last.
    pub(crate) generation: Generation,
    /// Whether that lease neither was given back nor ended with a clean close.
    pub(crate) is_held: bool,
    pub(super) state: BTreeMap<StateKey, Bytes>,
}

impl Part {
    pub(crate) fn state(&self, key: &StateKey) -> Option<&Bytes> {
        self.state.get(key)
    }

    /// What all of its state takes.
    pub(super) fn state_bytes(&self) -> u64 {
        self.state.iter().map(|(at, value)| bytes_of(at, value)).sum()
    }

    /// Answers what was taken before and what is taken now.
    pub(super) fn write(&mut self, write: StateWrite) -> (u64, u64) {
        let StateWrite { at, value } = write;
        let before = self.bytes_at(&at);
        let Some(value) = value else {
            self.state.remove(&at);
            return (before, 0);
        };
        let after = bytes_of(&at, &value);
        self.state.insert(at, value);
        (before, after)
    }

    fn bytes_at(&self, at: &StateKey) -> u64 {
        self.state.get(at).map_or(0, |value| bytes_of(at, value))
    }
}

/// By how much these writes let function state grow: of two to one key only the later one stays.
pub(crate) fn growth(part: Option<&Part>, writes: &[StateWrite]) -> u64 {
    let (mut more, mut less) = (0, 0);
    let mut seen = HashSet::with_capacity(writes.len());
    for StateWrite { at, value } in writes.iter().rev() {
        if seen.insert(at) {
            more += value.as_ref().map_or(0, |value| bytes_of(at, value));
            less += part.map_or(0, |part| part.bytes_at(at));
        }
    }
    more.saturating_sub(less)
}

fn bytes_of(at: &StateKey, value: &Bytes) -> u64 {
    let key = at.key.as_ref().map_or(0, Bytes::len);
    (key + at.name.len() + value.len()) as u64 + STATE_ENTRY_BYTES
}
