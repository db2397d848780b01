//! State that is decided and not durable yet. Later attempts of the feed see it; it wins over the
//! log's, and dies when its settlement is durable, or with a rewind.
use crate::spec::Ordering;
use bytes::Bytes;
use log_contract::{Span, StateKey, StateWrite};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// The partition's own state.
    own: Names,
    of_keys: HashMap<Bytes, Names>,
    entries: usize,
}

/// What a name has, and the number of the piece that said so last.
type Names = BTreeMap<Arc<str>, (Option<Bytes>, u64)>;

impl Overlay {
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    pub(crate) fn write(&mut self, write: &StateWrite, piece: u64) {
        let StateWrite { at: StateKey { key, name }, value } = write;
        let names = match key {
            None => &mut self.own,
            Some(key) => self.of_keys.entry(key.clone()).or_default(),
        };
        let before = names.insert(name.clone(), (value.clone(), piece));
        self.entries += usize::from(before.is_none());
    }

    /// What pieces up to this one wrote is durable.
    pub(crate) fn settled(&mut self, up_to: u64) {
        if self.entries == 0 {
            return;
        }
        self.own.retain(|_, (_, piece)| *piece > up_to);
        self.of_keys.retain(|_, names| {
            names.retain(|_, (_, piece)| *piece > up_to);
            !names.is_empty()
        });
        self.entries = self.own.len() + self.of_keys.values().map(Names::len).sum::<usize>();
    }

    /// What an attempt for this span must see: its keys' entries, or all where the partition is one key.
    pub(crate) fn of(&self, span: &Span, ordering: Ordering) -> Vec<StateWrite> {
        let mut seen = Vec::new();
        if self.entries == 0 {
            return seen;
        }
        match ordering {
            Ordering::Partition => {
                tell(&mut seen, None, &self.own);
                for (key, names) in &self.of_keys {
                    tell(&mut seen, Some(key), names);
                }
            }
            Ordering::Key => {
                let mut keys: Vec<_> = span.records().filter_map(|record| record.key).collect();
                keys.sort_unstable();
                keys.dedup();
                for (key, names) in keys.iter().filter_map(|key| self.of_keys.get_key_value(*key)) {
                    tell(&mut seen, Some(key), names);
                }
            }
        }
        seen
    }
}

fn tell(seen: &mut Vec<StateWrite>, key: Option<&Bytes>, names: &Names) {
    seen.extend(names.iter().map(|(name, (value, _))| StateWrite {
        at: StateKey { key: key.cloned(), name: name.clone() },
        value: value.clone(),
    }));
}
