//! What the user and the operator set, valid by construction. No defaults here: the caller knows better.
use log_contract::TopicId;
use std::time::Duration;

/// In which order records are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// The whole partition is one key.
    Partition,
    Key,
}

/// What an answer with item failures lets settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemFailures {
    /// All but the failed ones.
    Each,
    /// What lies before the lowest failed one (Lambda's rule, R-8.2).
    Lowest,
}

/// What becomes of a record whose attempts are used up, or that is permanent or too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    DeadLetter(TopicId),
    /// The partition or key waits for an operator (`Event::Release`).
    Hold,
    /// Counted, and named in the log.
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    pub records_max: usize,
    pub bytes_max: usize,
    pub wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Failures that one record (or, without `bisect`, one span) may cost; Lambda's
    /// MaximumRetryAttempts + 1. `None` = for ever.
    pub attempts_max: Option<u32>,
    pub bisect: bool,
    pub item_failures: ItemFailures,
    pub record_age_max: Option<Duration>,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}

/// What one feed may hold. The memory sum of the server is made of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Counted by whole batches, as one record pins the buffer of its batch.
    pub open_records: usize,
    pub open_bytes: usize,
    pub page_records: usize,
    pub page_bytes: usize,
    /// Decided and not durable yet: how far the feed runs ahead of the log.
    pub unsettled_pieces: usize,
    pub unsettled_bytes: usize,
    /// As the log states it.
    pub ranges: usize,
    pub memo_entries: usize,
    /// Pause after a fault that is ours.
    pub fault_pause: Duration,
}

/// All policies of one trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerSpec {
    pub ordering: Ordering,
    pub batch: BatchPolicy,
    pub retry: RetryPolicy,
    pub on_failure: OnFailure,
    pub bounds: Bounds,
}
