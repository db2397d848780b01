//! What the writer publishes and everybody else looks at: the state, the tail, who waits. Only the
//! writer changes it, after what it says is durable.
use std::sync::{
    Arc, RwLock, RwLockReadGuard, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use dashmap::DashMap;
use log_contract::{LogUnavailable, PartitionRef, Release};
use tokio::sync::{Notify, watch};

use crate::{
    cold::Cold,
    index::Indexes,
    leases::Leases,
    queue::{Job, Queue},
    recovery::SegmentFiles,
    request::Request,
    state::{Place, State, Touched},
    tail::Tail,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    state: RwLock<State>,
    pub(crate) tail: Tail,
    pub(crate) cold: Cold,
    pub(crate) files: Arc<SegmentFiles>,
    pub(crate) indexes: Indexes,
    pub(crate) leases: Leases,
    pub(crate) queue: Queue,
    /// Who waits for records of a partition; made by the first who waits.
    views: DashMap<PartitionRef, Arc<Notify>>,
    /// The newest version over all documents.
    pub(crate) documents: watch::Sender<u64>,
    /// Whether the writer has ended and let go of the directory.
    pub(crate) ended: watch::Sender<bool>,
    is_closed: AtomicBool,
    pub(crate) frames: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) journal_bytes: AtomicU64,
    /// No opening reads a segment before this one.
    pub(crate) covered: Arc<AtomicU64>,
}

impl Shared {
    pub(crate) fn new(
        state: State,
        tail: Tail,
        cold: Cold,
        files: Arc<SegmentFiles>,
        indexes: Indexes,
    ) -> Arc<Self> {
        Arc::new_cyclic(|shared: &Weak<Self>| {
            let shared = shared.clone();
            let make_release = move |right| {
                let shared = shared.clone();
                Release::new(move || {
                    let Some(shared) = shared.upgrade() else { return };
                    let job = Job { request: Request::Release(right), reply: None, _leave: None };
                    // Closed: everything was given back.
                    let _ = shared.queue.push(job);
                })
            };
            Self {
                documents: watch::Sender::new(state.document_version),
                state: RwLock::new(state),
                tail,
                cold,
                files,
                indexes,
                leases: Leases::new(Box::new(make_release)),
                queue: Queue::default(),
                views: DashMap::new(),
                ended: watch::Sender::new(false),
                is_closed: AtomicBool::new(false),
                frames: AtomicU64::new(0),
                segments: AtomicU64::new(0),
                journal_bytes: AtomicU64::new(0),
                covered: Arc::default(),
            }
        })
    }

    /// What is durable.
    ///
    /// # Errors
    /// `Closed`.
    pub(crate) fn open(&self) -> Result<RwLockReadGuard<'_, State>, LogUnavailable> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(LogUnavailable::Closed);
        }
        Ok(self.state())
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Where to wait for more records of a partition.
    pub(crate) fn view(&self, partition: PartitionRef) -> Arc<Notify> {
        if let Some(view) = self.views.get(&partition) {
            return view.clone();
        }
        self.views.entry(partition).or_default().clone()
    }

    /// Nobody waits there any more: the partition is gone.
    pub(crate) fn forget_view(&self, partition: PartitionRef) {
        self.views.remove(&partition);
    }

    /// For the writer, once a frame is durable: what it holds is seen from now on.
    pub(crate) fn apply(&self, place: Place, body: &[u8]) -> Touched {
        let touched = {
            let mut state = self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            // What was planned against this very state fits it.
            let touched = state.apply(place, body).expect("the fold takes what was planned");
            if let Some(index) = &touched.sealed {
                // Before anybody sees that he needs it.
                self.indexes.keep(index.clone());
            }
            touched
        };
        self.frames.fetch_add(1, Ordering::Relaxed);
        for partition in &touched.partitions {
            if let Some(view) = self.views.get(partition) {
                view.notify_waiters();
            }
        }
        for topic in &touched.grown {
            self.leases.grow(&self.state(), *topic);
        }
        if let Some(gone) = &touched.deleted {
            self.leases.topic_deleted(gone.id);
            self.views.retain(|partition, view| {
                if partition.topic == gone.id {
                    view.notify_waiters();
                }
                partition.topic != gone.id
            });
        }
        if touched.documents {
            self.documents.send_replace(self.state().document_version);
        }
        touched
    }

    /// Everything answers `Closed` from now on, and whoever waits is told.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.queue.abandon();
        self.leases.close();
        for view in &self.views {
            view.notify_waiters();
        }
        self.documents.send_modify(|_| {});
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}
