//! How a feed stands: what an operator, a metric or a scaler wants to know of one partition. Texts are
//! made when asked for; nothing here decides.
use crate::seam::{Condition, LastError};
use log_contract::{Offset, Timestamp};
use std::{fmt, sync::Arc};

/// A partition of a trigger at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    pub state: State,
    /// When it came into this state.
    pub since: Timestamp,
    /// Why, if there is something to say.
    pub reason: Option<Reason>,
    /// The record that it is about.
    pub record: Option<Offset>,
    /// The number of the attempt that comes next for `record`.
    pub attempt: Option<u32>,
    /// When something is tried again, if that is known.
    pub next_try: Option<Timestamp>,
    /// Nothing of the partition can go on: a scaler leaves it out.
    pub is_blocked: bool,
    /// The first offset that is not finished, as the log has it.
    pub next: Offset,
    /// The partition's end, as the last page told.
    pub end: Offset,
    /// When the record at `next` (or the first after it that is open) was appended: its age is the
    /// lag in seconds. `None`: nothing is open.
    pub oldest: Option<Timestamp>,
    /// Fetched and not settled, counted by whole batches (what they pin).
    pub open_records: usize,
    pub open_bytes: usize,
    /// Answers decided and not durable.
    pub unsettled: usize,
    /// Ranges above `next`, as the log has them.
    pub ranges: usize,
    pub waits_for_ranges: bool,
    /// State entries that are decided and not durable.
    pub overlay: usize,
    /// Attempts in flight.
    pub flying: usize,
    /// Deliveries that back off.
    pub sleeping: usize,
    /// Records that wait for an operator (`on_failure: hold`).
    pub held_records: usize,
    /// What retention took unread, ever, as far as the cursor remembers.
    pub lost_records: u64,
}

/// The first that applies, from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Stopped,
    Draining,
    /// By a fault of the host or the log, by the poison guard, or by `on_failure: hold`.
    Held,
    CircuitOpen,
    Paused,
    /// Too many gaps above the watermark: waits for a retry to close one.
    WaitingForRanges,
    /// Each record is durable before the next: the poison guard looks for the one that takes the host
    /// down, or answers were too large together.
    OneByOne,
    WaitingForRetry,
    Running,
    Idle,
}

impl State {
    /// `snake_case`, stable.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Draining => "draining",
            Self::Held => "held",
            Self::CircuitOpen => "circuit_open",
            Self::Paused => "paused",
            Self::WaitingForRanges => "waiting_for_ranges",
            Self::OneByOne => "one_by_one",
            Self::WaitingForRetry => "waiting_for_retry",
            Self::Running => "running",
            Self::Idle => "idle",
        }
    }
}

/// Why a feed stands as it stands. `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The last failure of the record that is tried again.
    Failed(LastError),
    /// It failed so often in an earlier life, whose words are gone.
    FailedBefore { failures: u32 },
    /// The function says that what it needs is away.
    Unavailable(Arc<str>),
    /// The host could not run the function.
    HostFault(Arc<str>),
    /// The log did not take a settlement, and it is not the function's fault.
    NotSettled(Arc<str>),
    /// The log calls a settlement invalid: a bug of ours. Waits for an operator.
    Invalid(Arc<str>),
    /// So many starts ended at this position without a word.
    Poison { starts: u32 },
    /// Answers are too large to settle together, and too scattered to settle apart.
    TooLarge,
    /// `on_failure: hold`.
    GivenUp { condition: Condition, error: Option<LastError> },
    /// So many ranges are finished above the watermark, and there is no room for more.
    Ranges { ranges: usize },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::FailedBefore { failures } => {
                write!(f, "failed {failures} times before the last start")
            }
            Self::Unavailable(why) => write!(f, "`unavailable`: {why}"),
            Self::HostFault(why) => write!(f, "the host could not run the function: {why}"),
            Self::NotSettled(why) => write!(f, "the log did not settle: {why}"),
            Self::Invalid(why) => write!(f, "a bug of millstream: {why}"),
            Self::Poison { starts } => {
                write!(f, "{starts} starts ended at this record without a word")
            }
            Self::TooLarge => f.write_str("answers are too large to settle together"),
            Self::GivenUp { condition, error: Some(error) } => {
                write!(f, "`{}`, held for an operator: {error}", condition.name())
            }
            Self::GivenUp { condition, error: None } => {
                write!(f, "`{}`, held for an operator", condition.name())
            }
            Self::Ranges { ranges } => {
                write!(f, "{ranges} finished ranges lie above the first unfinished record")
            }
        }
    }
}
