//! The shortest honest log: the contract as it reads in plain collections under one lock. For tests
//! and for a store that need not outlive its process. Never a file, never a task of its own.
//!
//! `store` says what each operation does; `lib` wraps each in the lock and waits where the contract
//! waits. Every change wakes all who wait, and each looks for itself: simple, and no wake-up is lost.
mod cursors;
mod documents;
mod partition;
mod store;

use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{
    AlterTopicError, AppendBatch, AppendError, AppendGuard, Appended, Clock, CreateTopicError,
    CursorInfo, CursorName, DeleteCursorError, DeleteTopicError, JoinError, Lease, Log, LogLimits,
    LogUnavailable, Membership, MembershipEvent, Offset, OffsetBounds, PartitionRef, ReadBudget,
    ReadError, ReadPage, Release, SettleError, Settled, Settlement, StateError, StateKey,
    Timestamp, TopicId, TopicInfo, TopicSpec, TrimError,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};
use store::Store;
use tokio::{sync::watch, time};

/// A log, documents and blobs that live as long as this.
#[derive(Debug)]
pub struct MemoryLog {
    clock: Arc<dyn Clock>,
    /// Never held across an await.
    store: Mutex<Store>,
    /// Counts changes. Who waits sees the newest count before it looks, so that it misses none.
    changes: watch::Sender<u64>,
    /// To give to leases and members: they must not keep the log alive.
    this: Weak<Self>,
}

impl MemoryLog {
    /// Without bound: ends when memory does.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::with_bytes_max(clock, u64::MAX)
    }

    /// Takes appends and outputs as long as all records together stay under `bytes_max`.
    #[must_use]
    pub fn with_bytes_max(clock: Arc<dyn Clock>, bytes_max: u64) -> Arc<Self> {
        let store = Mutex::new(Store::new(bytes_max));
        let (changes, _) = watch::channel(0);
        Arc::new_cyclic(|this| Self { clock, store, changes, this: this.clone() })
    }

    /// Another bound from now on, also one that is passed already.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        self.change(|store| store.bytes_max = bytes_max);
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("nothing panics under the lock")
    }

    /// Does something, then wakes who waits.
    fn change<T>(&self, act: impl FnOnce(&mut Store) -> T) -> T {
        let done = act(&mut self.store());
        self.changes.send_modify(|count| *count += 1);
        done
    }

    /// The first thing that `look` finds, looking again after every change.
    async fn wait_for<T>(&self, mut look: impl FnMut(&mut Store) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = look(&mut self.store()) {
                return found;
            }
            changes.changed().await.expect("the sender is ours and lives as long as we");
        }
    }
}

#[async_trait]
impl Log for MemoryLog {
    fn limits(&self) -> LogLimits {
        LogLimits::OURS
    }

    async fn create_topic(&self, spec: TopicSpec) -> Result<TopicId, CreateTopicError> {
        self.change(|store| store.open()?.create_topic(spec))
    }

    async fn alter_topic(&self, topic: TopicId, spec: TopicSpec) -> Result<(), AlterTopicError> {
        self.change(|store| store.open()?.alter_topic(topic, spec))
    }

    async fn delete_topic(&self, topic: TopicId) -> Result<(), DeleteTopicError> {
        self.change(|store| store.open()?.delete_topic(topic))
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, LogUnavailable> {
        Ok(self.store().open()?.topics())
    }

    async fn append(
        &self,
        topic: TopicId,
        batch: AppendBatch,
        guard: AppendGuard,
    ) -> Result<Appended, AppendError> {
        let now = self.clock.now();
        self.change(|store| {
            let appended = store.open()?.append(topic, &batch, guard, now)?;
            for run in &appended.runs {
                // It was there a moment ago.
                let _ = store.retained(PartitionRef::new(topic, run.partition), now);
            }
            Ok(appended)
        })
    }

    async fn read(
        &self,
        partition: PartitionRef,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadPage, ReadError> {
        let now = self.clock.now();
        let look = |store: &mut Store| {
            let page = store.open().map_err(ReadError::from).and_then(|store| {
                let partition = store.retained(partition, now)?;
                partition.read(from, budget)
            });
            match page {
                Ok(page) if page.batches.is_empty() => None,
                found => Some(found),
            }
        };
        let first = self.wait_for(look);
        match time::timeout(budget.wait_max, first).await {
            Ok(found) => found,
            // Nothing came.
            Err(_) => self.store().open()?.retained(partition, now)?.read(from, budget),
        }
    }

    async fn trim(&self, partition: PartitionRef, before: Offset) -> Result<(), TrimError> {
        self.change(|store| store.open()?.trim(partition, before))
    }

    async fn bounds(&self, partition: PartitionRef) -> Result<OffsetBounds, ReadError> {
        let now = self.clock.now();
        Ok(self.store().open()?.retained(partition, now)?.bounds())
    }

    async fn offset_at(&self, partition: PartitionRef, at: Timestamp) -> Result<Offset, ReadError> {
        let now = self.clock.now();
        Ok(self.store().open()?.retained(partition, now)?.offset_at(at))
    }

    async fn join(
        &self,
        cursor: &CursorName,
        inputs: &[TopicId],
    ) -> Result<Box<dyn Membership>, JoinError> {
        let id = self.change(|store| store.open()?.join(cursor, inputs))?;
        let log = self.this.upgrade().expect("it is borrowed right now");
        Ok(Box::new(Member { id, log }))
    }

    async fn settle(&self, lease: &Lease, settlement: Settlement) -> Result<Settled, SettleError> {
        let now = self.clock.now();
        let settle = |store: &mut Store| match store.open() {
            Ok(store) => store.settle(lease, settlement, now),
            Err(why) => Err(SettleError::NotApplied { retry_after: Duration::ZERO, why }),
        };
        self.change(settle)
    }

    async fn state(
        &self,
        lease: &Lease,
        keys: &[StateKey],
    ) -> Result<Vec<Option<Bytes>>, StateError> {
        self.store().open()?.state(lease, keys)
    }

    async fn cursors(&self) -> Result<Vec<CursorInfo>, LogUnavailable> {
        Ok(self.store().open()?.cursors.infos())
    }

    async fn delete_cursor(&self, cursor: &CursorName) -> Result<(), DeleteCursorError> {
        self.change(|store| store.open()?.cursors.delete(cursor))
    }

    async fn close(&self) {
        self.change(Store::close);
    }
}

/// Takes part in sharing out a cursor's partitions.
#[derive(Debug)]
struct Member {
    id: cursors::MemberId,
    log: Arc<MemoryLog>,
}

#[async_trait]
impl Membership for Member {
    async fn next(&mut self) -> Option<MembershipEvent> {
        let look = |store: &mut Store| match store.open() {
            Ok(store) => store.cursors.next_grant(self.id),
            Err(_) => Some(None),
        };
        let grant = self.log.wait_for(look).await?;
        let (log, place, id) = (self.log.this.clone(), grant.place.clone(), grant.id);
        let release = Release::new(move || {
            if let Some(log) = log.upgrade() {
                log.change(|store| store.cursors.give_back(&place, id));
            }
        });
        Some(MembershipEvent::Gained(grant.into_lease(release)))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.log.change(|store| store.cursors.leave(self.id));
    }
}
