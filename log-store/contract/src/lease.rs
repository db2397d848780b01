//! The sole, fenced right to consume one partition under one cursor.
use crate::{CursorName, PartitionId, Progress, Timestamp, TopicId};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// Counts the leases of one (cursor, partition): a settlement under an older one is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// Unique in the process; `settle` checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantId(pub u64);

impl GrantId {
    /// One that no lease of this process ever had, whatever its log.
    #[must_use]
    pub fn fresh() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// What a consumer wants to find again after a restart. Opaque to a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memo(pub Bytes);

impl Memo {
    /// What a settlement may carry, in bytes.
    pub const LEN_MAX: usize = 1_024;
}

/// How the lease before this one ended. A hand-over is not a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// There was none, or none that ever settled.
    Nothing,
    /// It was given back, or its process closed the log.
    HandedOver,
    /// Its process ended without a word.
    Crashed,
}

/// Not `Clone`: who holds it may settle. Dropping it gives the partition back.
pub struct Lease {
    pub cursor: CursorName,
    pub partition: PartitionId,
    /// What it reads; input 0 is the source. One for now.
    pub inputs: Vec<TopicId>,
    pub generation: Generation,
    pub grant: GrantId,
    /// One per input, in their order. `None`: the cursor has no position there yet.
    pub progress: Vec<Option<Progress>>,
    pub memo: Memo,
    pub before: Before,
    /// Called once, when the lease is dropped.
    pub release: Release,
}

/// Gives a lease back to its log.
pub struct Release(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Release {
    #[must_use]
    pub fn new(give_back: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(give_back)))
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(give_back) = self.0.take() {
            give_back();
        }
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Release")
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cursor, partition, generation, grant, .. } = self;
        write!(f, "Lease({cursor}/{partition} generation {} grant {})", generation.0, grant.0)
    }
}

/// What happens to a member of a cursor.
#[derive(Debug)]
pub enum MembershipEvent {
    Gained(Lease),
    /// A lease will come; its position and state are being read back.
    Restoring {
        partition: PartitionId,
        done: u64,
        total: u64,
    },
    /// Drain until then, then drop the lease.
    Revoking {
        partition: PartitionId,
        until: Timestamp,
    },
    /// It is somebody else's already. Nothing settles under it any more.
    Lost {
        partition: PartitionId,
        grant: GrantId,
    },
}

/// Takes part in sharing out the partitions of a cursor's inputs, until it is dropped.
#[async_trait]
pub trait Membership: Send + fmt::Debug {
    /// The next thing that happens to this member. Cancelling loses nothing. `None`: the cursor's
    /// source is deleted, or the log is closed; nothing will come any more.
    async fn next(&mut self) -> Option<MembershipEvent>;
}

/// A cursor as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorInfo {
    pub name: CursorName,
    /// Sorted by topic and partition.
    pub positions: Vec<CursorPosition>,
    /// Whether anybody is a member or holds a lease.
    pub in_use: bool,
}

/// Where a cursor stands in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorPosition {
    pub topic: TopicId,
    pub partition: PartitionId,
    pub progress: Progress,
}
