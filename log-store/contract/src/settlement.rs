//! What becomes visible together or not at all.
use crate::{Memo, Progress, Span, StateWrite, Timestamp, TopicId};

/// Outputs, state, progress and memo of one lease. Each one does something; all or nothing.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Records for topics: what functions gave, and dead letters. Offsets in these spans are the
    /// function's own and mean nothing to a log; order within a span is kept per partition.
    pub outputs: Vec<Output>,
    /// In order: of two writes to one key the later one stays.
    pub state: Vec<StateWrite>,
    /// One per input of the lease, in their order. Only grows, unless `rewind`.
    pub progress: Vec<Progress>,
    pub memo: Memo,
    /// Lets progress go back: seek, undo and fork of a paused feed.
    pub rewind: bool,
}

/// Records for one topic. They go by key, or are spread where they have none.
#[derive(Clone, Debug)]
pub struct Output {
    pub topic: TopicId,
    pub span: Span,
}

/// It is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The stamp of the records that were appended.
    pub appended_at: Timestamp,
}
