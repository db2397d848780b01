//! One partition as an index over the journal: which frame holds which records. Batch by batch for the
//! segment that is being written; of those before it only which has records of the partition, as their
//! lists lie in [`SegmentIndex`](crate::index::SegmentIndex): what is here grows with the segments that are
//! kept, by 32 bytes each, and not with the records.
use std::{collections::VecDeque, ops::Range};

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
    /// Where in the frame's body the entries lie that hold them, and others between them.
    pub(crate) begin: u32,
    pub(crate) end: u32,
    pub(crate) count: u32,
    /// Keys, values and headers.
    pub(crate) bytes: u32,
    /// The same of the partition's records before them in their segment.
    pub(crate) bytes_before: u64,
}

impl BatchAt {
    pub(crate) fn end(&self) -> Offset {
        Offset(self.base.0 + u64::from(self.count))
    }

    /// Of the frame's body.
    pub(crate) fn piece(&self) -> Range<usize> {
        self.begin as usize..self.end as usize
    }
}

/// The batches of one partition in one segment, as they come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batches {
    list: VecDeque<BatchAt>,
    /// Keys, values and headers of all of them.
    bytes: u64,
}

impl Batches {
    /// Takes a block that lies in an entry at this place of its frame's body. `None`: it is too large.
    pub(crate) fn push(
        &mut self,
        block: &Block<'_>,
        place: Place,
        entry: &Range<u32>,
    ) -> Option<()> {
        let bytes = u32::try_from(block.bytes.len()).ok()?;
        match self.list.back_mut() {
            Some(last) if last.place == place && last.appended_at == block.appended_at => {
                last.count = last.count.checked_add(block.count)?;
                last.bytes = last.bytes.checked_add(bytes)?;
                last.end = entry.end;
            }
            _ => self.list.push_back(BatchAt {
                base: block.base,
                appended_at: block.appended_at,
                place,
                begin: entry.start,
                end: entry.end,
                count: block.count,
                bytes,
                bytes_before: self.bytes,
            }),
        }
        self.bytes += u64::from(bytes);
        Some(())
    }

    /// Takes a batch as it was in such a list. `None`: it is not the next one.
    pub(super) fn push_again(&mut self, batch: BatchAt) -> Option<()> {
        let is_next = self.list.back().is_none_or(|last| last.end() == batch.base);
        if !is_next || batch.bytes_before != self.bytes {
            return None;
        }
        self.bytes += u64::from(batch.bytes);
        self.list.push_back(batch);
        Some(())
    }
}

impl IntoIterator for Batches {
    type Item = BatchAt;
    type IntoIter = std::collections::vec_deque::IntoIter<BatchAt>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// A segment that is written no more and has records of the partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) segment: u64,
    /// Of the first of them.
    pub(crate) base: Offset,
    pub(crate) appended_at: Timestamp,
    /// Bytes of all records that the partition ever had before them.
    pub(crate) bytes_before: u64,
}

impl Run {
    /// None of them is below that of the run before.
    pub(super) fn numbers(&self) -> [u64; 4] {
        [self.segment, self.base.0, self.appended_at.0, self.bytes_before]
    }

    pub(super) fn of([segment, base, appended_at, bytes_before]: [u64; 4]) -> Self {
        let (base, appended_at) = (Offset(base), Timestamp(appended_at));
        Self { segment, base, appended_at, bytes_before }
    }
}

/// Where some records are to be looked for.
#[derive(Debug)]
pub(crate) enum Spot<'a> {
    /// Batches of the segment that is being written, from the one that holds the first of them on; and
    /// the bytes of all records that the partition ever had before the segment.
    Open(std::collections::vec_deque::Iter<'a, BatchAt>, u64),
    /// In the list of another segment.
    Sealed(Run),
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    /// Of the newest record that ever was.
    pub(crate) appended_at: Timestamp,
    /// Keys, values and headers of all records that ever were before `start`, and before `end`.
    start_bytes: u64,
    end_bytes: u64,
    sealed: VecDeque<Run>,
    /// Of the segment that is being written.
    open: Batches,
    /// Of all records that ever were before those of `open`. 0: there are none.
    open_bytes: u64,
}

impl Partition {
    pub(crate) fn bounds(&self) -> OffsetBounds {
        let (start, end) = (self.start, self.end);
        let (records, bytes) = (end.0 - start.0, self.end_bytes - self.start_bytes);
        OffsetBounds { start, end, records, bytes }
    }

    /// Bytes of all records that ever were before `before`, if it is one of the bounds.
    pub(crate) fn bytes_before(&self, before: Offset) -> Option<u64> {
        let is_end = (before == self.end).then_some(self.end_bytes);
        is_end.or((before == self.start).then_some(self.start_bytes))
    }

    /// What holds the record at this offset. `None`: nothing does.
    pub(crate) fn spot(&self, at: Offset) -> Option<Spot<'_>> {
        if at < self.start || at >= self.end {
            return None;
        }
        if self.open.list.front().is_some_and(|first| first.base <= at) {
            let first = self.open.list.partition_point(|batch| batch.end() <= at);
            return Some(Spot::Open(self.open.list.range(first..), self.open_bytes));
        }
        let behind = self.sealed.partition_point(|run| run.base <= at);
        self.sealed.get(behind.checked_sub(1)?).copied().map(Spot::Sealed)
    }

    /// The first record that was not stamped before `at`, if it is known; else the segment that holds
    /// it unless all that it has was stamped before, and the record that is it then.
    pub(crate) fn offset_at(&self, at: Timestamp) -> Result<Offset, (Run, Offset)> {
        let known = |offset: Offset| offset.max(self.start);
        if self.open.list.front().is_some_and(|first| first.appended_at < at)
            || self.sealed.is_empty()
        {
            let first = self.open.list.partition_point(|batch| batch.appended_at < at);
            return Ok(self.open.list.get(first).map_or(self.end, |batch| known(batch.base)));
        }
        let behind = self.sealed.partition_point(|run| run.appended_at < at);
        let open = || self.open.list.front().map_or(self.end, |first| first.base);
        let next = known(self.sealed.get(behind).map_or_else(open, |run| run.base));
        match behind.checked_sub(1).and_then(|last| self.sealed.get(last)) {
            Some(run) => Err((*run, next)),
            None => Ok(next),
        }
    }

    /// No record that is there was stamped earlier; the first may have been later. `None`: there is none.
    pub(crate) fn stamped_from(&self) -> Option<Timestamp> {
        let open = || self.open.list.front().map(|first| first.appended_at);
        let first = self.sealed.front().map(|run| run.appended_at).or_else(open);
        first.filter(|_| self.start < self.end)
    }

    /// The last batch with at most so many bytes of all records that the partition ever had before it, as
    /// the first that stays; else the segment in which it is to be looked for.
    pub(crate) fn by_bytes(&self, bytes: u64) -> Result<Offset, Run> {
        if bytes >= self.end_bytes {
            return Ok(self.end);
        }
        if bytes <= self.start_bytes {
            return Ok(self.start);
        }
        let behind = self.sealed.partition_point(|run| run.bytes_before <= bytes);
        let run = behind.checked_sub(1).and_then(|last| self.sealed.get(last));
        if self.open.list.is_empty() || bytes < self.open_bytes {
            return run.copied().map_or(Ok(self.start), Err);
        }
        let of_open = bytes - self.open_bytes;
        let behind = self.open.list.partition_point(|batch| batch.bytes_before <= of_open);
        let last = behind.checked_sub(1).and_then(|last| self.open.list.get(last));
        Ok(last.map_or(self.start, |batch| batch.base.max(self.start)))
    }

    /// Takes records that go on where it ends; whether they are the first of their segment. `None`: they
    /// do not go on there.
    pub(super) fn push(
        &mut self,
        block: &Block<'_>,
        place: Place,
        entry: &Range<u32>,
    ) -> Option<bool> {
        if block.base != self.end || block.appended_at < self.appended_at {
            return None;
        }
        let is_first = self.open.list.is_empty();
        if is_first {
            self.open_bytes = self.end_bytes;
        }
        self.open.push(block, place, entry)?;
        self.end = block.end();
        self.appended_at = block.appended_at;
        self.end_bytes = self.open_bytes.checked_add(self.open.bytes)?;
        Some(is_first)
    }

    /// Gives the segments that have none of its records any more. `None`: it cannot start there.
    pub(super) fn trim(&mut self, before: Offset, bytes_before: u64) -> Option<Vec<u64>> {
        let is_there = (self.start..=self.end).contains(&before);
        let is_known = (self.start_bytes..=self.end_bytes).contains(&bytes_before);
        if !is_there || !is_known {
            return None;
        }
        let open = self.open.list.front().map_or(self.end, |first| first.base);
        let mut gone = Vec::new();
        while self.sealed.get(1).map_or(open, |next| next.base) <= before
            && let Some(run) = self.sealed.pop_front()
        {
            gone.push(run.segment);
        }
        self.start = before;
        self.start_bytes = bytes_before;
        Some(gone)
    }

    /// The segment that was written is written no more. Gives what it has, also what was trimmed
    /// meanwhile, and whether anything of that is still to be read.
    pub(super) fn seal(&mut self) -> (Batches, bool) {
        let batches = std::mem::take(&mut self.open);
        let mut is_kept = false;
        if let Some(first) = batches.list.front()
            && self.start < self.end
        {
            is_kept = true;
            self.sealed.push_back(Run {
                segment: first.place.segment,
                base: first.base,
                appended_at: first.appended_at,
                bytes_before: self.open_bytes,
            });
        }
        self.open_bytes = 0;
        (batches, is_kept)
    }

    /// As it was, but for what lies in the segment that is being written.
    pub(super) fn restored(
        (start, end): (Offset, Offset),
        appended_at: Timestamp,
        (start_bytes, end_bytes): (u64, u64),
        sealed: VecDeque<Run>,
    ) -> Self {
        let open = Batches::default();
        Self { start, end, appended_at, start_bytes, end_bytes, sealed, open, open_bytes: 0 }
    }

    /// What lies there. `None`: it does not end where the partition does.
    pub(super) fn set_open(&mut self, open: Batches) -> Option<()> {
        if open.list.back()?.end() != self.end {
            return None;
        }
        self.open_bytes = self.end_bytes.checked_sub(open.bytes)?;
        self.open = open;
        Some(())
    }

    /// Of all records that ever were before `start`, and before `end`.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.start_bytes, self.end_bytes)
    }

    pub(crate) fn runs(&self) -> &VecDeque<Run> {
        &self.sealed
    }

    pub(super) fn open(&self) -> &Batches {
        &self.open
    }
}
