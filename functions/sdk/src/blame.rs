//! Whose fault it is, and what the runtime shall do about it. Only the two types live here; no policy, which is the
//! trigger's.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use crate::bindings;

/// What becomes of one record that could not be handled. Deliberately no [`Error`], so that `?` turns any error into
/// a rejection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reject {
    /// Try this record again, by itself, as its trigger's retries allow.
    Rejected(String),
    /// Retrying is useless: dead-letter it now.
    Permanent(String),
    /// Something that the function needs is down. This answers for the whole batch: nothing of it is kept, nothing
    /// counts as an attempt, the partition is held.
    Unavailable { reason: String, retry_after: Option<Duration> },
}

/// Why a whole batch was not handled. Nothing of its outputs and state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Bisect it and retry.
    Rejected(String),
    /// Retrying is useless: a single record is dead-lettered at once, more are bisected without retries.
    Permanent(String),
    /// Something that the function needs is down: hold the partition, count nothing.
    Unavailable { reason: String, retry_after: Option<Duration> },
}

impl Reject {
    pub fn rejected(reason: impl Display) -> Self {
        Self::Rejected(reason.to_string())
    }

    pub fn permanent(reason: impl Display) -> Self {
        Self::Permanent(reason.to_string())
    }

    /// `retry_after` is when to try again at the earliest; the runtime backs off by itself without.
    pub fn unavailable(reason: impl Display, retry_after: impl Into<Option<Duration>>) -> Self {
        Self::Unavailable { reason: reason.to_string(), retry_after: retry_after.into() }
    }
}

impl Failure {
    pub fn rejected(reason: impl Display) -> Self {
        Self::Rejected(reason.to_string())
    }

    pub fn permanent(reason: impl Display) -> Self {
        Self::Permanent(reason.to_string())
    }

    /// `retry_after` is when to try again at the earliest; the runtime backs off by itself without.
    pub fn unavailable(reason: impl Display, retry_after: impl Into<Option<Duration>>) -> Self {
        Self::Unavailable { reason: reason.to_string(), retry_after: retry_after.into() }
    }
}

/// One record's verdict spoken over the batch.
impl From<Reject> for Failure {
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::Rejected(reason) => Self::Rejected(reason),
            Reject::Permanent(reason) => Self::Permanent(reason),
            Reject::Unavailable { reason, retry_after } => {
                Self::Unavailable { reason, retry_after }
            }
        }
    }
}

impl<E: Error> From<E> for Reject {
    fn from(error: E) -> Self {
        Self::Rejected(chain(&error))
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Rejected(chain(&error))
    }
}

impl From<Failure> for bindings::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rejected(reason) => Self::Rejected(reason),
            Failure::Permanent(reason) => Self::Permanent(reason),
            Failure::Unavailable { reason, retry_after } => Self::Unavailable(bindings::Outage {
                reason,
                retry_after_ms: retry_after
                    .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            }),
        }
    }
}

/// An error and all its sources, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
