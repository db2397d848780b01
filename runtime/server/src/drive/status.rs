//! What an operator sees of a trigger: written by the drivers, read by HTTP, readiness and the scrape.
//! Never a decision.
use log_contract::{Offset, PartitionId, Timestamp};
use std::sync::Arc;

/// What a trigger or one partition of it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Idle,
    Running,
    WaitingForRetry,
    /// What waits for ranges waits for a stuck key.
    WaitingForRanges,
    /// The poison guard, before it holds.
    OneByOne,
    CircuitOpen,
    Restoring,
    Draining,
    Paused,
    /// A host fault, the poison guard, or `on_failure: "hold"`.
    Held,
    /// Too many failures.
    Halted,
}

impl State {
    /// `snake_case`, stable.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::WaitingForRetry => "waiting_for_retry",
            Self::WaitingForRanges => "waiting_for_ranges",
            Self::OneByOne => "one_by_one",
            Self::CircuitOpen => "circuit_open",
            Self::Restoring => "restoring",
            Self::Draining => "draining",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Halted => "halted",
        }
    }
}

/// A trigger as it stands: the worst of its partitions, and each.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerStatus {
    pub state: State,
    pub reason: Option<Arc<str>>,
    pub since: Timestamp,
    pub lag_records: u64,
    pub lag_seconds: f64,
    /// What retention took unread, since the program started.
    pub lost_records: u64,
    pub concurrency: Concurrency,
    /// In their order.
    pub partitions: Vec<PartitionStatus>,
}

/// How many attempts run at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concurrency {
    /// What the lag asks for.
    pub wanted: u32,
    /// What it may have.
    pub allowed: u32,
    pub busy: u32,
    /// Of the last decision.
    pub reason: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PartitionStatus {
    pub partition: PartitionId,
    pub state: State,
    pub since: Timestamp,
    pub reason: Option<Arc<str>>,
    /// The record that it waits for.
    pub record: Option<Offset>,
    /// Of that record: the one that comes.
    pub attempt: Option<u32>,
    pub next_try: Option<Timestamp>,
    /// First record that is not done.
    pub next: Offset,
    /// Of the partition.
    pub end: Offset,
    pub lag_records: u64,
    pub lag_seconds: f64,
    pub lost_records: u64,
    /// When it last came on, or had nothing to do.
    pub moved_at: Timestamp,
    /// Attempts that are out.
    pub flying: usize,
}

/// A reason why the program is not ready: a trigger lags and makes no progress.
#[derive(Clone, Debug, PartialEq)]
pub struct NotReady {
    pub trigger: log_contract::TriggerName,
    pub partition: Option<PartitionId>,
    pub state: State,
    pub reason: String,
    pub lag_records: u64,
    pub lag_seconds: f64,
}
