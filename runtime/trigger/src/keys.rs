//! `ordering: key`: which keys are busy, and the records that wait behind them.
use crate::{batcher::Waiting, ready::Ready};
use log_contract::{KeyHash, Offset, Span};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque, hash_map},
    hash::{BuildHasherDefault, Hasher},
};

/// Holds a key only while it is busy or has records waiting. One hash and one look-up per record
/// when it is taken, and again when it is decided.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    slots: HashMap<KeyHash, Slot, BuildHasherDefault<AlreadyHashed>>,
    keys: Vec<Key>,
    unused: Vec<Slot>,
    /// Free keys with records waiting, by the first of them.
    ready: Ready<(Offset, Slot)>,
    ready_records: usize,
    /// Keys that the take at hand holds and that have more records waiting.
    mine: BinaryHeap<Reverse<(Offset, Slot)>>,
    /// Counts takes, so that one take knows the keys it took itself.
    take: u64,
}

type Slot = u32;

#[derive(Debug)]
struct Key {
    take: u64,
    /// Records that are taken and not decided. 0 = free.
    out: u32,
    /// Passed over while the key was busy; older than everything fresh.
    waiting: VecDeque<Waiting>,
}

impl Keys {
    pub(crate) fn ready_records(&self) -> usize {
        self.ready_records
    }

    /// All that waits, in no order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.keys.iter().flat_map(|key| &key.waiting)
    }

    pub(crate) fn waiting_mut(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.keys.iter_mut().flat_map(|key| &mut key.waiting)
    }

    pub(crate) fn begin(&mut self) {
        self.take += 1;
        self.mine.clear();
    }

    /// The oldest waiting record whose key is free.
    pub(crate) fn oldest(&self) -> Option<&Waiting> {
        let (_, slot) = self.ready.first()?;
        self.keys[*slot as usize].waiting.front()
    }

    /// The oldest waiting record whose key is free or held by the take at hand.
    pub(crate) fn next(&self) -> Option<(Slot, &Waiting)> {
        let mine = self.mine.peek().map(|Reverse(mine)| mine);
        let (_, slot) = *self.ready.first().into_iter().chain(mine).min()?;
        let first = self.keys[slot as usize].waiting.front();
        Some((slot, first.expect("a listed key has records waiting")))
    }

    /// Takes the record that `next` showed.
    pub(crate) fn take_next(&mut self, slot: Slot) -> Waiting {
        let key = &mut self.keys[slot as usize];
        if key.out == 0 {
            self.ready.take_first();
            self.ready_records -= key.waiting.len();
            key.take = self.take;
        } else {
            self.mine.pop();
        }
        key.out += 1;
        let taken = key.waiting.pop_front().expect("a listed key has records waiting");
        if let Some(next) = key.waiting.front() {
            self.mine.push(Reverse((next.run.head(), slot)));
        }
        taken
    }

    /// Takes a fresh record, unless its key is busy: then it says which.
    pub(crate) fn try_take(&mut self, hash: KeyHash) -> Result<(), Slot> {
        match self.slots.entry(hash) {
            hash_map::Entry::Vacant(vacant) => {
                let slot = self.unused.pop().unwrap_or(self.keys.len() as Slot);
                vacant.insert(slot);
                if slot as usize == self.keys.len() {
                    self.keys.push(Key { take: 0, out: 0, waiting: VecDeque::new() });
                }
                let key = &mut self.keys[slot as usize];
                (key.take, key.out) = (self.take, 1);
                Ok(())
            }
            hash_map::Entry::Occupied(busy) => {
                let slot = *busy.get();
                let key = &mut self.keys[slot as usize];
                // Fresh records come last, so none of a key that this take holds waits any more.
                let is_mine = key.take == self.take;
                key.out += u32::from(is_mine);
                if is_mine { Ok(()) } else { Err(slot) }
            }
        }
    }

    /// A fresh record whose key is busy.
    pub(crate) fn defer(&mut self, slot: Slot, waiting: Waiting) {
        let key = &mut self.keys[slot as usize];
        assert!(key.out > 0, "only behind a busy key");
        key.waiting.push_back(waiting);
    }

    /// All of it is decided.
    pub(crate) fn release_all(&mut self, span: &Span) {
        for hash in span.places().filter_map(|(batch, at)| batch.key_hash(at)) {
            self.release_one(hash);
        }
        self.ready.close();
    }

    /// A record that was taken is not, after all.
    pub(crate) fn release(&mut self, hash: KeyHash) {
        self.release_one(hash);
        self.ready.close();
    }

    /// One record of it is decided. The last one frees the key.
    fn release_one(&mut self, hash: KeyHash) {
        let hash_map::Entry::Occupied(entry) = self.slots.entry(hash) else {
            panic!("a taken key is in the table");
        };
        let slot = *entry.get();
        let key = &mut self.keys[slot as usize];
        key.out = key.out.checked_sub(1).expect("decided once");
        if key.out > 0 {
            return;
        }
        match key.waiting.front() {
            None => {
                entry.remove();
                // A key that was hot once shall not keep its room.
                key.waiting.shrink_to(16);
                self.unused.push(slot);
            }
            Some(first) => {
                self.ready.gather((first.run.head(), slot));
                self.ready_records += key.waiting.len();
            }
        }
    }
}

/// `KeyHash` is one already.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("a key hash is one number");
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
