//! When a record is too old: by the log's time, and not while an operator was asked.
use log_contract::Timestamp;
use std::time::Duration;

/// How long records may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ageing {
    max: Option<Duration>,
    /// Nothing ages before: the operator released what was held.
    from: Timestamp,
}

impl Ageing {
    pub(crate) fn new(max: Option<Duration>, from: Timestamp) -> Self {
        Self { max, from }
    }

    pub(crate) fn from(self) -> Timestamp {
        self.from
    }

    pub(crate) fn begin_anew(&mut self, now: Timestamp) {
        if self.max.is_some() {
            self.from = now;
        }
    }

    /// The first instant at which a record is too old.
    pub(crate) fn expires_at(self, appended_at: Timestamp) -> Option<Timestamp> {
        let age = self.max?.saturating_add(Duration::from_millis(1));
        Some(appended_at.max(self.from).after(age))
    }

    pub(crate) fn is_too_old(self, now: Timestamp, appended_at: Timestamp) -> bool {
        self.expires_at(appended_at).is_some_and(|at| at <= now)
    }

    /// What was appended before this is too old.
    pub(crate) fn young_from(self, now: Timestamp) -> Timestamp {
        let Some(max) = self.max else { return Timestamp(0) };
        let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
        let from = Timestamp(now.0.saturating_sub(max));
        // What is younger than the release ages from the release.
        if from <= self.from { Timestamp(0) } else { from }
    }
}
