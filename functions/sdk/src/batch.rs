//! A batch as the function sees it. Only reading lives here; what is answered is in `output`.

use crate::{Record, State, bindings};

/// The records of one invocation: one partition's, in order.
#[derive(Debug)]
pub struct Batch {
    inner: bindings::Batch,
}

/// A tumbling window `[start_ms, end_ms)`, under a trigger that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub start_ms: u64,
    pub end_ms: u64,
    /// The last invocation of this window; the batch may be empty.
    pub is_final: bool,
    /// The window was closed before its time.
    pub is_early: bool,
}

impl Batch {
    pub(crate) fn new(inner: bindings::Batch) -> Self {
        Self { inner }
    }

    pub(crate) fn into_records(self) -> Vec<bindings::Record> {
        self.inner.records
    }

    /// The trigger that this invocation belongs to.
    pub fn trigger(&self) -> &str {
        &self.inner.trigger
    }

    /// Names this attempt in logs and dead letters.
    pub fn invocation(&self) -> &str {
        &self.inner.invocation
    }

    /// 1 for the first time that exactly these records are handed over.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    pub fn topic(&self) -> &str {
        &self.inner.topic
    }

    pub fn partition(&self) -> u32 {
        self.inner.partition
    }

    pub fn window(&self) -> Option<Window> {
        self.inner.window.map(|window| Window {
            start_ms: window.start_ms,
            end_ms: window.end_ms,
            is_final: window.final_,
            is_early: window.early,
        })
    }

    /// The partition's state, or the window's. Under `ordering: key` it traps: use [`Record::state`] there.
    pub fn state(&self) -> State {
        State::of_partition()
    }

    pub fn len(&self) -> usize {
        self.inner.records.len()
    }

    /// Only the last invocation of a window may be empty.
    pub fn is_empty(&self) -> bool {
        self.inner.records.is_empty()
    }

    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.inner.records.iter().enumerate().map(|(index, record)| Record::new(index, record))
    }

    pub fn get(&self, index: u32) -> Option<Record<'_>> {
        let index = usize::try_from(index).ok()?;
        self.inner.records.get(index).map(|record| Record::new(index, record))
    }
}
