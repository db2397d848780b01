//! What a log hands to the suite, and the time the suite gives to a log. Never a test.
use crate::{Blobs, Clock, Digest, Documents, Log, Timestamp};
use async_trait::async_trait;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// One store for one test: empty at first, the same at every `open`, gone when dropped.
///
/// A log that keeps nothing has only [`Fixture::open`] to write. The other hooks belong to the lists
/// that ask for them ([`crate::conformance_durable`], [`crate::conformance_full`]).
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// Opens the store. Time comes from `clock` alone, save for waits, which are real.
    async fn open(&self, clock: Arc<dyn Clock>) -> Stores;

    /// Ends the process that has the store open, as `kill -9` would: no close, no last word. From now
    /// on [`Fixture::open`] gives what it left. Leases, members and the old `Arc`s may still live:
    /// whatever they do now must not reach what is opened next. A copy of the directory does, if all
    /// writes, renames and removals are held while it is made: a process leaves what was at one moment,
    /// and a copy of several would show a log what no crash can.
    async fn crash(&self) {
        unimplemented!("this log keeps nothing over a crash");
    }

    /// Leaves no room for another record, for as long as it is open.
    async fn fill_up(&self) {
        unimplemented!("this log cannot be filled up");
    }

    /// Gives the room back.
    async fn free(&self) {
        unimplemented!("this log cannot be filled up");
    }

    /// Changes a byte of a kept blob, behind the back of the store.
    async fn damage_blob(&self, _digest: Digest) {
        unimplemented!("the blobs of this log cannot be damaged");
    }
}

/// The three faces of a store. The last `Arc` dropped without `close` is no clean end.
#[derive(Clone, Debug)]
pub struct Stores {
    pub log: Arc<dyn Log>,
    pub documents: Arc<dyn Documents>,
    pub blobs: Arc<dyn Blobs>,
}

/// A clock that a test moves by hand; also back, as a machine's may between two processes.
#[derive(Debug)]
pub struct TestClock(AtomicU64);

impl TestClock {
    /// A fine day.
    pub const START: Timestamp = Timestamp(1_800_000_000_000);

    #[must_use]
    pub fn start() -> Self {
        Self(AtomicU64::new(Self::START.0))
    }

    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}
