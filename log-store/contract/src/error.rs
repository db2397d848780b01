//! One error per operation, small enough to match to the end. Each says what the caller may do.
use crate::{CursorName, Offset, PartitionId, PartitionRef, Progress, TopicId, TopicName};
use std::time::Duration;

/// Nothing was done; later it may be. Whose fault: ours, never a guest's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogUnavailable {
    /// Reads, deletes and settlements of progress alone go on.
    #[error("storage is full")]
    StorageFull { retry_after: Duration },
    #[error("the log is closed")]
    Closed,
    #[error("the log does not answer: {why}")]
    Away { why: String, retry_after: Duration },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateTopicError {
    #[error("topic `{name}` exists")]
    Exists { name: TopicName, id: TopicId },
    #[error("a topic has 1 to {max} partitions, not {partitions}")]
    Partitions { partitions: u32, max: u32 },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterTopicError {
    #[error("topic {0} does not exist")]
    NoTopic(TopicId),
    #[error("`{field}` of a topic cannot be changed")]
    Fixed { field: &'static str },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteTopicError {
    #[error("topic {0} does not exist")]
    NoTopic(TopicId),
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("topic {0} does not exist")]
    NoTopic(TopicId),
    #[error("topic {topic} has no partition {partition}, only 0 to {}", partitions - 1)]
    NoPartition { topic: TopicId, partition: PartitionId, partitions: u32 },
    #[error("an append holds at least one record")]
    Empty,
    #[error("record {index} has {bytes} bytes, more than {max}")]
    RecordTooLarge { index: usize, bytes: usize, max: usize },
    #[error("an append of {bytes} bytes is larger than {max}")]
    TooLarge { bytes: usize, max: usize },
    /// An append with an expected end goes to one partition.
    #[error("an append with an expected end goes to one partition, this one to {partitions}")]
    Scattered { partitions: usize },
    /// Somebody else was there before.
    #[error("partition {partition} ends at {end}, not at {expected}")]
    EndMoved { partition: PartitionId, expected: Offset, end: Offset },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
    /// It may be in the log or not: look it up before it is sent again.
    #[error("whether the append was taken is unknown")]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// What was asked for is gone; reading goes on at `start`.
    #[error("records before {start} are gone")]
    Trimmed { start: Offset },
    #[error("{0} does not exist")]
    NoPartition(PartitionRef),
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
    /// Bytes on disk are not what was written. Names the place.
    #[error("{0}")]
    Damaged(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrimError {
    #[error("{0} does not exist")]
    NoPartition(PartitionRef),
    #[error("{before} lies beyond the end {end}")]
    BeyondEnd { before: Offset, end: Offset },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    #[error("topic {0} does not exist")]
    NoTopic(TopicId),
    #[error("a cursor reads at least one topic")]
    NoInput,
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

/// What the sender of a settlement may do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// Nothing was applied. The same may be sent again.
    #[error("the settlement was not applied: {why}")]
    NotApplied { retry_after: Duration, why: LogUnavailable },
    /// Nothing was applied, and this one of `outputs` is why. The function's doing.
    #[error("output {output} is refused: {why}")]
    Refused { output: usize, why: RefusedOutput },
    /// Nothing was applied: the settlement breaks the contract. A bug of the sender.
    #[error("the settlement is invalid: {0}")]
    Invalid(InvalidSettlement),
    /// Another owner, or an answer that never came. The log, asked again, knows the truth.
    #[error("the lease is not current any more")]
    LeaseVoid,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedOutput {
    #[error("topic {0} does not exist")]
    NoTopic(TopicId),
    #[error("record {index} has {bytes} bytes, more than {max}")]
    RecordTooLarge { index: usize, bytes: usize, max: usize },
    #[error("a settlement of {bytes} bytes is larger than {max}")]
    TooLarge { bytes: usize, max: usize },
    /// A state entry, not an output: `output` is then the number of outputs.
    #[error("state `{name}`: {bytes} bytes are more than {max}")]
    StateTooLarge { name: String, bytes: usize, max: usize },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettlement {
    #[error("it names {given} positions for {inputs} inputs")]
    Inputs { given: usize, inputs: usize },
    #[error("progress of input {input} goes back to {} without `rewind`", to.next())]
    GoesBack { input: usize, to: Progress },
    #[error("progress of input {input} has {ranges} ranges, more than {max}")]
    Ranges { input: usize, ranges: usize, max: usize },
    #[error("progress of input {input} goes beyond the end {end}")]
    BeyondEnd { input: usize, end: Offset },
    #[error("a memo of {bytes} bytes is larger than {max}")]
    Memo { bytes: usize, max: usize },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("the lease is not current any more")]
    LeaseVoid,
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteCursorError {
    #[error("cursor `{0}` does not exist")]
    NoCursor(CursorName),
    #[error("cursor `{0}` is in use")]
    InUse(CursorName),
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutDocumentError {
    /// Somebody else was first. `current` is the version that is there (`None`: no document).
    #[error("document `{key}` is at version {current:?}, not as expected")]
    Conflict { key: String, current: Option<u64> },
    #[error("document `{key}` has {bytes} bytes, more than {max}")]
    TooLarge { key: String, bytes: usize, max: usize },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    #[error("blob {0} is damaged: its bytes have another digest")]
    Damaged(crate::Digest),
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}
