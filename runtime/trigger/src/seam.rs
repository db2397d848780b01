//! The whole edge between deciding and doing: what can happen to a feed, and what it asks for.
use crate::outcome::{FailureKind, HostFault, Outcome};
use log_contract::{Offset, ReadPage, Run, SettleError, Settlement, Span, StateWrite, Timestamp};
use smallvec::SmallVec;
use std::{fmt, sync::Arc};

/// Never used twice by one feed, so an answer that comes too late is known as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The timer that `Command::WakeAt` set, and the first event of all.
    Woke,
    /// Answers to a fetch name it: one that a later fetch replaced may still arrive.
    Fetched {
        from: Offset,
        page: ReadPage,
    },
    FetchFailed {
        from: Offset,
    },
    /// Retention took what lies before `start`.
    Trimmed {
        from: Offset,
        start: Offset,
    },
    /// `version` of the function gave the answer. `jitter` is the driver's draw in parts per 1,000
    /// that a backoff which follows is stretched or shortened by (800 to 1,200; ).
    Invoked {
        delivery: DeliveryId,
        version: u32,
        jitter: u16,
        result: Result<Outcome, HostFault>,
    },
    Settled,
    SettleFailed(SettleError),
    /// How many attempts may run at once from now on. 0 = pause.
    Width(usize),
    /// The operator lets a held feed go on: what the guard, an invalid settlement or
    /// `on_failure: hold` holds. Then what had used up its budget has a new one, and no record's age
    /// counts from before.
    Release,
    Drain,
    LeaseLost,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Replaces the fetch before, if that is still waiting. The driver adds how long to wait.
    Fetch {
        from: Offset,
        records_max: usize,
        bytes_max: usize,
    },
    /// `overlay`: state that is decided and not durable yet; it wins over the log's. Under
    /// `ordering: key` of this span's keys, else all.
    Invoke {
        delivery: DeliveryId,
        span: Span,
        attempt: u32,
        overlay: Vec<StateWrite>,
    },
    Settle(Settle),
    /// Replaces the timer set before.
    WakeAt(Timestamp),
    /// The last command. The lease may be given back.
    Stopped,
}

/// What to do after one event, in order: mostly one or two things.
pub type Commands = SmallVec<[Command; 2]>;

/// A settlement, and the dead letters that the driver renders as records and adds to its outputs,
/// behind those that are there already.
#[derive(Clone, Debug)]
pub struct Settle {
    pub settlement: Settlement,
    pub dead_letters: Vec<DeadLetter>,
    /// Records that end here without a dead letter, as `on_failure: "drop"` says: counted and logged.
    pub dropped: Vec<DeadLetter>,
}

/// One per record, so that each can be sent back alone. Holds the record itself.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// One record.
    pub record: Run,
    pub condition: Condition,
    /// What went wrong last. `None`: too old before any attempt, or the story is of an earlier life.
    pub error: Option<LastError>,
    /// Failures billed; 0 for a record too old before any call.
    pub attempts: u32,
    pub first_failed_at: Option<Timestamp>,
}

/// The last failure of a record or its span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    pub kind: FailureKind,
    pub reason: Arc<str>,
    /// Of the function.
    pub version: u32,
}

impl fmt::Display for LastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.kind.name(), self.reason)
    }
}

/// Why a record was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    AttemptsExhausted,
    Permanent,
    RecordTooOld,
}

impl Condition {
    /// `snake_case`, stable.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Permanent => "permanent",
            Self::RecordTooOld => "record_too_old",
        }
    }
}
