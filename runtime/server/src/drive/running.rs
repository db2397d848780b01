//! One running trigger, as its feeds, the scaler and the supervisor share it. Never a feed's own state.
use super::{
    board::Cell,
    figures::TriggerFigures,
    permits::{Gate, Purse},
    plan::Orders,
    reconcile::{Fingerprint, Identity},
};
use log_contract::{Offset, PartitionId, Timestamp, TriggerName};
use sandbox::{Cost, Share};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use trigger::Halt;

#[derive(Debug)]
pub(super) struct RunningTrigger {
    pub(super) name: TriggerName,
    pub(super) identity: Identity,
    orders: watch::Sender<Orders>,
    fingerprint: Mutex<Fingerprint>,
    /// As wide as the scaler says; feeds share it.
    pub(super) gate: Arc<Gate>,
    /// Its guests share the cores as one.
    pub(super) share: Arc<Share>,
    /// The records that its feeds hold in memory.
    pub(super) purse: Arc<Purse>,
    pub(super) halt: Mutex<Halt>,
    /// Its decision waits to become a flag.
    pub(super) wants_halt: Mutex<Option<Arc<str>>>,
    /// Wakes the supervisor.
    attention: Arc<Notify>,
    feeds: Mutex<BTreeMap<PartitionId, Arc<FeedHandle>>>,
    /// Why there is no feed where there should be one.
    joining: Mutex<Joining>,
    /// Told to end: feeds drain, then the cursor is left.
    pub(super) ending: CancellationToken,
    /// Nothing of it runs any more.
    pub(super) ended: CancellationToken,
    pub(super) figures: TriggerFigures,
    /// Work since the scaler looked last.
    pub(super) spending: Spending,
    pub(super) scaling: Mutex<super::scaler::Scaling>,
    /// Something other than rest has been seen since the scaler looked last.
    pub(super) is_stirred: AtomicBool,
}

/// What attempts used, in microseconds. Only grows.
#[derive(Debug, Default)]
pub(super) struct Spending {
    pub(super) records: AtomicU64,
    pub(super) wall: AtomicU64,
    pub(super) cpu: AtomicU64,
}

#[derive(Clone, Debug)]
pub(super) struct Joining {
    pub(super) since: Timestamp,
    pub(super) reason: Option<Arc<str>>,
}

/// How others reach the driver of one feed.
#[derive(Debug)]
pub(super) struct FeedHandle {
    pub(super) cell: Arc<Cell>,
    pub(super) width: watch::Sender<usize>,
    /// Boxed, as a channel has room for 32 at once, and most feeds never get one.
    pub(super) words: mpsc::Sender<Box<Word>>,
    /// Drain and give the lease back.
    pub(super) leave: CancellationToken,
    /// The lease is somebody else's already.
    pub(super) lost: CancellationToken,
    /// The newest orders that are in force: under a park, with nothing out.
    pub(super) obeyed: watch::Sender<u64>,
    pub(super) ended: CancellationToken,
}

/// An operator's word to one feed.
#[derive(Debug)]
pub(super) enum Word {
    /// What is held goes on.
    Release,
    Move {
        to: Move,
        reply: oneshot::Sender<Result<(), String>>,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Move {
    /// All before is done, nothing after.
    To(Offset),
    /// This much is done, too.
    Skip(std::ops::Range<Offset>),
}

/// A share that is none means never.
fn halt_of(share: f64) -> Halt {
    Halt::new(share).unwrap_or_else(|_| Halt::new(1.0).expect("1 is a share"))
}

/// Words that wait for a driver: an operator's, not a stream's.
pub(super) const WORDS: usize = 4;
const SANE: &str = "nothing panics while it holds this";

impl RunningTrigger {
    pub(super) fn new(
        name: TriggerName,
        identity: Identity,
        fingerprint: Fingerprint,
        orders: Orders,
        figures: TriggerFigures,
        attention: Arc<Notify>,
        now: Timestamp,
    ) -> Arc<Self> {
        let plan = &orders.plan;
        let halt = halt_of(plan.halt_share);
        let scaling = super::scaler::Scaling::new(plan, now);
        let gate = Gate::new(scaling.allowed());
        Arc::new(Self {
            name,
            identity,
            gate,
            share: Arc::default(),
            purse: Arc::default(),
            halt: Mutex::new(halt),
            wants_halt: Mutex::default(),
            scaling: Mutex::new(scaling),
            orders: watch::Sender::new(orders),
            fingerprint: Mutex::new(fingerprint),
            attention,
            feeds: Mutex::default(),
            joining: Mutex::new(Joining { since: now, reason: None }),
            ending: CancellationToken::new(),
            ended: CancellationToken::new(),
            figures,
            spending: Spending::default(),
            is_stirred: AtomicBool::new(true),
        })
    }

    pub(super) fn orders(&self) -> Orders {
        self.orders.borrow().clone()
    }

    pub(super) fn follow_orders(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        *self.fingerprint.lock().expect(SANE)
    }

    pub(super) fn order(&self, orders: Orders, fingerprint: Fingerprint) {
        *self.fingerprint.lock().expect(SANE) = fingerprint;
        self.stir();
        self.orders.send_replace(orders);
    }

    /// Too many of its records failed: the supervisor makes it a flag.
    pub(super) fn ask_to_halt(&self, reason: Arc<str>) {
        self.wants_halt.lock().expect(SANE).get_or_insert(reason);
        self.attention.notify_one();
    }

    /// Nothing of it runs any more.
    pub(super) fn end(&self) {
        self.ended.cancel();
        self.attention.notify_one();
    }

    pub(super) fn stir(&self) {
        self.is_stirred.store(true, Ordering::Relaxed);
    }

    pub(super) fn feeds(&self) -> Vec<Arc<FeedHandle>> {
        self.locked_feeds().values().cloned().collect()
    }

    pub(super) fn feed(&self, partition: PartitionId) -> Option<Arc<FeedHandle>> {
        self.locked_feeds().get(&partition).cloned()
    }

    /// What a feed that starts now may run at once.
    pub(super) fn width_of(&self, partition: PartitionId) -> usize {
        self.scaling.lock().expect(SANE).width_of(partition)
    }

    pub(super) fn add_feed(&self, feed: Arc<FeedHandle>) {
        self.locked_feeds().insert(feed.cell.partition, feed);
    }

    /// Unless another has taken its place.
    pub(super) fn remove_feed(&self, feed: &Arc<FeedHandle>) {
        let mut feeds = self.locked_feeds();
        let partition = feed.cell.partition;
        if feeds.get(&partition).is_some_and(|found| Arc::ptr_eq(found, feed)) {
            feeds.remove(&partition);
        }
    }

    pub(super) fn joining(&self) -> Joining {
        self.joining.lock().expect(SANE).clone()
    }

    pub(super) fn set_joining(&self, since: Timestamp, reason: Option<Arc<str>>) {
        *self.joining.lock().expect(SANE) = Joining { since, reason };
    }

    pub(super) fn spent(&self, records: usize, cost: &Cost) {
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(0);
        self.spending.records.fetch_add(records as u64, Ordering::Relaxed);
        // What others had is no time that it needs.
        let wall = cost.wall.saturating_sub(cost.waited);
        self.spending.wall.fetch_add(micros(wall), Ordering::Relaxed);
        self.spending.cpu.fetch_add(micros(cost.cpu), Ordering::Relaxed);
        self.figures.spent(cost.wall, cost.cpu);
    }

    /// Returns when every feed obeys the orders of this revision, or a later one, or has ended.
    pub(super) async fn obeyed(&self, revision: u64) {
        for feed in self.feeds() {
            let mut obeyed = feed.obeyed.subscribe();
            tokio::select! {
                // The sender lives in the handle that we hold.
                _ = obeyed.wait_for(|obeyed| *obeyed >= revision) => (),
                () = feed.ended.cancelled() => (),
            }
        }
    }

    fn locked_feeds(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Arc<FeedHandle>>> {
        self.feeds.lock().expect(SANE)
    }
}
