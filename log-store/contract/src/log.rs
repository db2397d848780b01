//! The contract that lets the embedded log, Kafka and a test's memory all be the log. Each sentence of
//! these docs is a test of the conformance suite, and every log runs all of them.
use crate::{
    AlterTopicError, AppendBatch, AppendError, AppendGuard, Appended, CreateTopicError, CursorInfo,
    CursorName, DeleteCursorError, DeleteTopicError, JoinError, Lease, LogUnavailable, Membership,
    Offset, OffsetBounds, PartitionRef, ReadBudget, ReadError, ReadPage, SettleError, Settled,
    Settlement, StateError, StateKey, Timestamp, TopicId, TopicInfo, TopicSpec, TrimError,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;

/// What a log takes, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Ranges above the watermark that one progress may have.
    pub progress_ranges_max: usize,
    /// Key, value and headers of one record of an append.
    pub record_bytes_max: usize,
    /// Of one append, all records together.
    pub append_bytes_max: usize,
    /// Outputs and state of one settlement, all together.
    pub settlement_bytes_max: usize,
}

impl LogLimits {
    /// What our own logs take.
    pub const OURS: Self = Self {
        progress_ranges_max: crate::Progress::RANGES_MAX,
        record_bytes_max: (16 << 20) - Self::STORY_BYTES,
        append_bytes_max: 16 << 20,
        settlement_bytes_max: 64 << 20,
    };

    /// Kept for the story of a dead letter, which holds the whole record besides.
    pub const STORY_BYTES: usize = 64 << 10;

    /// Key, value and headers of one record of a settlement: there a dead letter must find room.
    #[must_use]
    pub fn output_bytes_max(&self) -> usize {
        self.record_bytes_max + Self::STORY_BYTES
    }
}

/// A durable, partitioned log with cursors. One virtual call per batch is nothing.
///
/// Dropping a future of this trait does not undo what it asked for: it may still be done.
#[async_trait]
pub trait Log: Send + Sync + fmt::Debug {
    /// The same for the life of the log.
    fn limits(&self) -> LogLimits;

    /// Makes a topic, durable when it returns, and gives it an id that no topic of this log ever had.
    /// A name that is taken is `Exists`, with the id.
    async fn create_topic(&self, spec: TopicSpec) -> Result<TopicId, CreateTopicError>;

    /// Sets what may change of a topic. Equal to what is there: nothing happens. The name never
    /// changes; partitions never shrink.
    async fn alter_topic(&self, topic: TopicId, spec: TopicSpec) -> Result<(), AlterTopicError>;

    /// Records, and the positions and state of all cursors on it, are gone when it returns. Waiting
    /// readers get `NoPartition`, leases on it are void, members get `None`.
    async fn delete_topic(&self, topic: TopicId) -> Result<(), DeleteTopicError>;

    /// Sorted by name.
    async fn topics(&self) -> Result<Vec<TopicInfo>, LogUnavailable>;

    /// Returns when the records are durable; all of them are in the log, or none. A reader sees them
    /// only then. Records of one key keep their order: key → partition is fixed
    /// ([`crate::partition_of_key`]), and within a partition records of one append are neighbours in
    /// the order of the request. Records without key and partition are spread over all partitions,
    /// append by append. `appended_at` never goes back within a partition. With `guard.expected_end` all go
    /// to one partition (else `Scattered`) and begin at that offset, or nothing is appended (`EndMoved`, with
    /// the end): of several who expect the same end, one is taken.
    async fn append(
        &self,
        topic: TopicId,
        batch: AppendBatch,
        guard: AppendGuard,
    ) -> Result<Appended, AppendError>;

    /// Waits up to `budget.wait_max` for the first record (the poll), and gives what is there within
    /// the budget; an empty page when the wait is over. Offsets grow but may have holes: go on at the
    /// page's `next`. From beyond the end it waits, too. `Trimmed` if `from` is gone.
    async fn read(
        &self,
        partition: PartitionRef,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadPage, ReadError>;

    /// What lies before is gone when it returns. Trimming what is trimmed does nothing. No cursor
    /// moves.
    async fn trim(&self, partition: PartitionRef, before: Offset) -> Result<(), TrimError>;

    async fn bounds(&self, partition: PartitionRef) -> Result<OffsetBounds, ReadError>;

    /// The first record that was appended at or after `at`; the end, if there is none.
    async fn offset_at(&self, partition: PartitionRef, at: Timestamp) -> Result<Offset, ReadError>;

    /// Takes part in sharing out the partitions of the inputs under `cursor`. With one member it gets
    /// a lease on each, also on partitions that are added; a second member of the same cursor waits
    /// until leases are given back. At most one lease per (cursor, partition) is current. A lease
    /// outlives its member; what a member was not told of yet goes to another.
    async fn join(
        &self,
        cursor: &CursorName,
        inputs: &[TopicId],
    ) -> Result<Box<dyn Membership>, JoinError>;

    /// All of it becomes visible, or none; durable when it returns. Refused under a lease that is no
    /// longer current. Settlements of one lease are applied in the order of the calls. Progress goes
    /// back only with `rewind`. A settlement of another lease that is refused fails no other. What is
    /// refused leaves nothing, and the lease stays as good as it was. Which one is refused, and why:
    /// [`crate::check::settlement`].
    async fn settle(&self, lease: &Lease, settlement: Settlement) -> Result<Settled, SettleError>;

    /// The durable values, in the order of `keys`. Refused under a lease that is no longer current.
    async fn state(
        &self,
        lease: &Lease,
        keys: &[StateKey],
    ) -> Result<Vec<Option<Bytes>>, StateError>;

    /// Sorted by name. A cursor exists from its first settlement on, for as long as it has a position.
    async fn cursors(&self) -> Result<Vec<CursorInfo>, LogUnavailable>;

    /// Its positions and state are gone when it returns. Refused while it is in use.
    async fn delete_cursor(&self, cursor: &CursorName) -> Result<(), DeleteCursorError>;

    /// Takes nothing more, makes durable what was taken, and says that this was a clean end.
    /// Afterwards everything answers `Closed`, also to those who wait; members get `None`. Closing
    /// again does nothing.
    async fn close(&self);
}
