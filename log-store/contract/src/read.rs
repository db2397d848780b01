//! What a reader asks for and gets.
use crate::{Offset, PartitionId, RecordBatch, Timestamp};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    pub records_max: usize,
    /// The first record comes even if it is larger.
    pub bytes_max: usize,
    /// How long to wait for the first record. Zero: answer at once.
    pub wait_max: Duration,
}

/// What a read gave and where the next one starts: not after the last record, as offsets have holes.
#[derive(Clone, Debug)]
pub struct ReadPage {
    /// In offset order, none empty. The first begins at or after the asked offset.
    pub batches: Vec<RecordBatch>,
    /// Go on reading here. Idle is `next == end`.
    pub next: Offset,
    /// The offset that the next record will have at the earliest.
    pub end: Offset,
}

/// Half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetBounds {
    /// The first offset that is still there (or `end`).
    pub start: Offset,
    /// The next record's.
    pub end: Offset,
    /// Between them: holes do not count.
    pub records: u64,
    /// Of keys, values and headers.
    pub bytes: u64,
}

/// Where the records of one append went, run by run in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub runs: Vec<AppendedRun>,
    pub appended_at: Timestamp,
}

/// Neighbouring records of a request that lie side by side in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedRun {
    pub partition: PartitionId,
    /// Of the first.
    pub offset: Offset,
    pub records: u32,
}

/// What must hold for an append to be taken, whoever else appends meanwhile. A producer's sequence finds its
/// place here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendGuard {
    /// All records go to one partition, whose next record is this one.
    pub expected_end: Option<Offset>,
}

impl AppendGuard {
    #[must_use]
    pub fn expecting(end: Offset) -> Self {
        Self { expected_end: Some(end) }
    }
}
