//! How every feed stands, by trigger and partition: written by the drivers, read by HTTP, readiness, the
//! scaler and the scrape. Never a decision, and no lock is held across an await.
use super::status::{PartitionStatus, State};
use dashmap::DashMap;
use log_contract::{Offset, PartitionId, Timestamp, TriggerName};
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use trigger::Stand;

/// All feeds of this process.
#[derive(Debug, Default)]
pub(super) struct Board(DashMap<(TriggerName, PartitionId), Arc<Cell>>);

/// One feed's place on the board.
pub(super) struct Cell {
    pub(super) trigger: TriggerName,
    pub(super) topic: Arc<str>,
    pub(super) partition: PartitionId,
    /// Attempts that have their turn.
    pub(super) running: AtomicUsize,
    posted: Mutex<Posted>,
}

/// What the driver said last.
#[derive(Clone, Debug)]
struct Posted {
    doing: Doing,
    next: Offset,
    end: Offset,
    /// Ranges above `next` are done: they are no lag. Counted by offsets.
    ahead: u64,
    /// When the oldest record that is not done was appended.
    oldest: Option<Timestamp>,
    lost: u64,
    /// Attempts that run or wait for their turn, the most since the scaler looked.
    busiest: usize,
    /// Reading fails, and why.
    fetch_fault: Option<Arc<str>>,
    /// When it last came on, or had nothing to do.
    moved_at: Timestamp,
}

#[derive(Clone, Debug)]
enum Doing {
    /// There is no feed: nothing is invoked.
    Parked {
        state: State,
        reason: Option<Arc<str>>,
        since: Timestamp,
    },
    Live(Box<Stand>),
}

/// What the scaler wants to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) partition: PartitionId,
    pub(super) is_blocked: bool,
    pub(super) backlog: u64,
    pub(super) oldest: Duration,
    /// The most since the sample before.
    pub(super) busy: usize,
    pub(super) next: Offset,
    pub(super) end: Offset,
}

/// What a metric wants to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    pub(super) state: State,
    pub(super) lag_records: u64,
    pub(super) lag_seconds: f64,
    pub(super) busy: u32,
    pub(super) open_bytes: usize,
    pub(super) oldest: Option<Timestamp>,
    pub(super) next: Offset,
}

const SANE: &str = "nothing panics while it holds what was posted";

impl Board {
    pub(super) fn post(&self, cell: Arc<Cell>) {
        self.0.insert((cell.trigger.clone(), cell.partition), cell);
    }

    /// Unless another has taken its place.
    pub(super) fn take_down(&self, cell: &Arc<Cell>) {
        let key = (cell.trigger.clone(), cell.partition);
        self.0.remove_if(&key, |_, posted| Arc::ptr_eq(posted, cell));
    }

    pub(super) fn each(&self, mut look: impl FnMut(&Cell)) {
        self.0.iter().for_each(|entry| look(entry.value()));
    }
}

impl Cell {
    pub(super) fn new(
        trigger: TriggerName,
        topic: Arc<str>,
        partition: PartitionId,
        next: Offset,
        now: Timestamp,
    ) -> Arc<Self> {
        let doing = Doing::Parked { state: State::Restoring, reason: None, since: now };
        let posted = Mutex::new(Posted {
            doing,
            next,
            end: next,
            ahead: 0,
            oldest: None,
            lost: 0,
            busiest: 0,
            fetch_fault: None,
            moved_at: now,
        });
        Arc::new(Self { trigger, topic, partition, running: AtomicUsize::new(0), posted })
    }

    pub(super) fn live(&self, stand: Stand, now: Timestamp) {
        let mut posted = self.posted();
        if stand.next != posted.next || posted.lag_records() == 0 {
            posted.moved_at = now;
        }
        posted.next = stand.next;
        posted.end = posted.end.max(stand.end);
        posted.oldest = stand.oldest;
        posted.lost = stand.lost_records;
        posted.busiest = posted.busiest.max(stand.flying);
        match &mut posted.doing {
            Doing::Live(before) => **before = stand,
            parked => *parked = Doing::Live(Box::new(stand)),
        }
    }

    pub(super) fn parked(&self, state: State, reason: Option<Arc<str>>, since: Timestamp) {
        self.posted().doing = Doing::Parked { state, reason, since };
    }

    /// Where it stands without a feed to ask.
    pub(super) fn place(&self, next: Offset, ahead: u64, end: Offset, oldest: Option<Timestamp>) {
        let mut posted = self.posted();
        (posted.next, posted.ahead, posted.end, posted.oldest) = (next, ahead, end, oldest);
    }

    /// The partition ends here now.
    pub(super) fn ends_at(&self, end: Offset) {
        let mut posted = self.posted();
        posted.end = posted.end.max(end);
    }

    /// Only while nothing better is known.
    pub(super) fn set_oldest(&self, oldest: Option<Timestamp>) {
        let mut posted = self.posted();
        posted.oldest = posted.oldest.or(oldest);
    }

    pub(super) fn set_ahead(&self, ahead: u64) {
        self.posted().ahead = ahead;
    }

    pub(super) fn set_fetch_fault(&self, fault: Option<Arc<str>>) {
        self.posted().fetch_fault = fault;
    }

    pub(super) fn next(&self) -> Offset {
        self.posted().next
    }

    pub(super) fn look(&self, now: Timestamp) -> Glance {
        let posted = self.posted();
        let open_bytes = match &posted.doing {
            Doing::Parked { .. } => 0,
            Doing::Live(stand) => stand.open_bytes,
        };
        let busy = self.running.load(Ordering::Relaxed);
        Glance {
            state: posted.state(),
            lag_records: posted.lag_records(),
            lag_seconds: posted.lag_seconds(now),
            busy: u32::try_from(busy).unwrap_or(u32::MAX),
            open_bytes,
            oldest: posted.oldest,
            next: posted.next,
        }
    }

    pub(super) fn sample(&self, now: Timestamp) -> Sample {
        let mut posted = self.posted();
        let (flying, is_blocked) = match &posted.doing {
            Doing::Parked { .. } => (0, true),
            Doing::Live(stand) => (stand.flying, stand.is_blocked),
        };
        let busy = std::mem::replace(&mut posted.busiest, flying).max(flying);
        let backlog = posted.lag_records();
        let oldest = posted.oldest.filter(|_| backlog > 0);
        Sample {
            partition: self.partition,
            is_blocked,
            backlog,
            oldest: oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)),
            busy,
            next: posted.next,
            end: posted.end,
        }
    }

    pub(super) fn status(&self, now: Timestamp) -> PartitionStatus {
        let posted = self.posted().clone();
        let state = posted.state();
        let (since, reason, record, attempt, next_try, lost) = match &posted.doing {
            Doing::Parked { reason, since, .. } => {
                (*since, reason.clone(), None, None, None, posted.lost)
            }
            Doing::Live(stand) => (
                stand.since,
                stand.reason.as_ref().map(|reason| Arc::from(reason.to_string())),
                stand.record,
                stand.attempt,
                stand.next_try,
                stand.lost_records,
            ),
        };
        let reason = posted.fetch_fault.clone().filter(|_| state == State::Held).or(reason);
        PartitionStatus {
            partition: self.partition,
            state,
            since,
            reason,
            record,
            attempt,
            next_try,
            next: posted.next,
            end: posted.end,
            lag_records: posted.lag_records(),
            lag_seconds: posted.lag_seconds(now),
            lost_records: lost,
            moved_at: posted.moved_at,
            flying: match &posted.doing {
                Doing::Parked { .. } => 0,
                Doing::Live(stand) => stand.flying,
            },
        }
    }

    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().expect(SANE)
    }
}

impl Posted {
    fn state(&self) -> State {
        let state = match &self.doing {
            Doing::Parked { state, .. } => *state,
            Doing::Live(stand) => state_of(stand.state),
        };
        // It cannot read, so that it has nothing to do is no rest.
        match state {
            State::Idle if self.fetch_fault.is_some() => State::Held,
            State::Running if self.lag_records() == 0 => State::Idle,
            other => other,
        }
    }

    fn lag_records(&self) -> u64 {
        self.end.0.saturating_sub(self.next.0).saturating_sub(self.ahead)
    }

    fn lag_seconds(&self, now: Timestamp) -> f64 {
        let oldest = self.oldest.filter(|_| self.lag_records() > 0);
        oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64())
    }
}

fn state_of(state: trigger::State) -> State {
    match state {
        // A feed that has stopped is between two lives.
        trigger::State::Stopped | trigger::State::Draining => State::Draining,
        trigger::State::Held => State::Held,
        trigger::State::CircuitOpen => State::CircuitOpen,
        // Width 0 is the scaler's here, for a moment: a pause parks the feed. It waits for its turn.
        trigger::State::Paused => State::Running,
        trigger::State::WaitingForRanges => State::WaitingForRanges,
        trigger::State::OneByOne => State::OneByOne,
        trigger::State::WaitingForRetry => State::WaitingForRetry,
        trigger::State::Running => State::Running,
        trigger::State::Idle => State::Idle,
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cell({}/{})", self.trigger, self.partition)
    }
}
