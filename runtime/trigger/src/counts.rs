//! What a feed has done since it was made, for metrics and for [`crate::Halt`]. Counts only grow, and
//! what a rewind repeats is not counted twice: records count when they are durable.
use crate::{
    outcome::{FailureKind, HostFault, Outcome},
    piece::{Effect, Piece},
    seam::Condition,
    spec::OnFailure,
};

/// Cumulative, of one feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Fetched, without those that an earlier life had finished.
    pub records_in: u64,
    /// Outputs that became visible (without dead letters).
    pub records_out: u64,
    pub records_handled: u64,
    /// Records of attempts that were not their first.
    pub records_retried: u64,
    pub dead_lettered: Ended,
    /// Ended without a dead letter (`on_failure: drop`).
    pub dropped: Ended,
    /// Offsets that retention took before they were finished.
    pub records_lost: u64,
    /// Spans handed out for the first time.
    pub batches: u64,
    pub invocations: Invocations,
    /// Spans cut into halves.
    pub bisects: u64,
    /// Copies of the survivors of batches that were pinned by few records.
    pub survivors_copied: u64,
}

/// Records that ended without being handled, by condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub attempts_exhausted: u64,
    pub permanent: u64,
    pub record_too_old: u64,
}

/// Answers by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Invocations {
    pub handled: u64,
    /// Handled, with item failures.
    pub partly_handled: u64,
    pub rejected: u64,
    pub permanent: u64,
    pub trapped: u64,
    pub timed_out: u64,
    pub out_of_memory: u64,
    pub bound_broken: u64,
    pub unavailable: u64,
    pub host_fault: u64,
}

impl Counts {
    /// A piece is durable.
    pub(crate) fn settle(&mut self, piece: &Piece, on_failure: OnFailure) {
        let records = piece.span.len() as u64;
        match &piece.effect {
            Effect::Handled { outputs, .. } => {
                self.records_handled += records;
                let outputs: usize = outputs.iter().map(|output| output.span.len()).sum();
                self.records_out += outputs as u64;
            }
            Effect::Ended(story) => {
                let ended = match on_failure {
                    OnFailure::Drop => &mut self.dropped,
                    OnFailure::DeadLetter(_) | OnFailure::Hold => &mut self.dead_lettered,
                };
                *match story.condition {
                    Condition::AttemptsExhausted => &mut ended.attempts_exhausted,
                    Condition::Permanent => &mut ended.permanent,
                    Condition::RecordTooOld => &mut ended.record_too_old,
                } += records;
            }
        }
    }
}

impl Ended {
    #[must_use]
    pub fn total(&self) -> u64 {
        self.blamed() + self.record_too_old
    }

    /// What [`crate::Halt`] looks at: age is nobody's fault.
    #[must_use]
    pub fn blamed(&self) -> u64 {
        self.attempts_exhausted + self.permanent
    }
}

impl Invocations {
    /// Each outcome by its stable name.
    pub fn by_outcome(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("handled", self.handled),
            ("partly_handled", self.partly_handled),
            ("rejected", self.rejected),
            ("permanent", self.permanent),
            ("trapped", self.trapped),
            ("timed_out", self.timed_out),
            ("out_of_memory", self.out_of_memory),
            ("bound_broken", self.bound_broken),
            ("unavailable", self.unavailable),
            ("host_fault", self.host_fault),
        ]
        .into_iter()
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_outcome().map(|(_, count)| count).sum()
    }

    pub(crate) fn count(&mut self, result: &Result<Outcome, HostFault>) {
        let of = match result {
            Err(_) => &mut self.host_fault,
            Ok(Outcome::Unavailable { .. }) => &mut self.unavailable,
            Ok(Outcome::Handled(response)) if response.failures.is_empty() => &mut self.handled,
            Ok(Outcome::Handled(_)) => &mut self.partly_handled,
            Ok(Outcome::Failed(failure)) => match failure.kind {
                FailureKind::Rejected => &mut self.rejected,
                FailureKind::Permanent => &mut self.permanent,
                FailureKind::Trapped => &mut self.trapped,
                FailureKind::TimedOut => &mut self.timed_out,
                FailureKind::OutOfMemory => &mut self.out_of_memory,
                FailureKind::BoundBroken | FailureKind::OutputRefused => &mut self.bound_broken,
            },
        };
        *of += 1;
    }
}
