//! One partition as an index over the journal: which frame holds which records. In memory for all of
//! them; the lists of sealed segments will move into their footers.
use std::collections::VecDeque;

use log_contract::{Offset, OffsetBounds, Timestamp};

use crate::block::Block;

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The frame's number.
    pub(crate) frame: u64,
    pub(crate) segment: u64,
    /// Position of the frame in the segment's file.
    pub(crate) at: u32,
    /// Of the whole frame.
    pub(crate) len: u32,
}

/// The records that one frame has for one partition under one stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchAt {
    pub(crate) base: Offset,
    pub(crate) appended_at: Timestamp,
    pub(crate) place: Place,
    /// Position in the frame's body of the entry that holds the first of them.
    pub(crate) entry: u32,
    pub(crate) count: u32,
    /// Keys, values and headers.
    pub(crate) bytes: u64,
}

impl BatchAt {
    pub(crate) fn end(&self) -> Offset {
        Offset(self.base.0 + u64::from(self.count))
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    /// Of the newest record that ever was.
    pub(crate) appended_at: Timestamp,
    /// Of all that `batches` names.
    bytes: u64,
    /// Bytes of the first batch's records that lie before `start`.
    skipped: u64,
    batches: VecDeque<BatchAt>,
}

impl Partition {
    pub(crate) fn bounds(&self) -> OffsetBounds {
        let (start, end) = (self.start, self.end);
        OffsetBounds { start, end, records: end.0 - start.0, bytes: self.bytes - self.skipped }
    }

    /// What holds the records from `from` on.
    pub(crate) fn from(&self, from: Offset) -> impl Iterator<Item = &BatchAt> {
        let first = self.batches.partition_point(|batch| batch.end() <= from);
        self.batches.range(first..)
    }

    pub(crate) fn offset_at(&self, at: Timestamp) -> Offset {
        let first = self.batches.partition_point(|batch| batch.appended_at < at);
        self.batches.get(first).map_or(self.end, |batch| batch.base.max(self.start))
    }

    /// Takes records that go on where it ends. `None`: they do not.
    pub(super) fn push(&mut self, block: &Block<'_>, place: Place, entry: u32) -> Option<()> {
        if block.base != self.end || block.appended_at < self.appended_at {
            return None;
        }
        let bytes = block.bytes.len() as u64;
        match self.batches.back_mut() {
            Some(last) if last.place == place && last.appended_at == block.appended_at => {
                last.count = last.count.checked_add(block.count)?;
                last.bytes += bytes;
            }
            _ => self.batches.push_back(BatchAt {
                base: block.base,
                appended_at: block.appended_at,
                place,
                entry,
                count: block.count,
                bytes,
            }),
        }
        self.end = block.end();
        self.appended_at = block.appended_at;
        self.bytes += bytes;
        Some(())
    }

    /// `None`: it cannot start there.
    pub(super) fn trim(&mut self, before: Offset, skipped: u64) -> Option<()> {
        if before < self.start || before > self.end {
            return None;
        }
        while let Some(first) = self.batches.front().filter(|first| first.end() <= before) {
            self.bytes -= first.bytes;
            self.batches.pop_front();
        }
        let most = self.batches.front().map_or(0, |first| first.bytes);
        self.start = before;
        self.skipped = skipped;
        (skipped <= most).then_some(())
    }
}
