//! What a function did with a span. Whose fault it is, is in the type: an [`Outcome`] is the function's
//! and is billed to it, a [`HostFault`] is ours and never is.
use log_contract::{RecordBatch, StateWrite, TopicId};
use std::{sync::Arc, time::Duration};

/// The function's own word, or its own end.
#[derive(Clone, Debug)]
pub enum Outcome {
    Handled(Response),
    /// It rejected the span, trapped, ran out of time or memory, broke a bound.
    Failed(Failure),
    /// What it needs is away. Nobody's fault: spends nothing.
    Unavailable {
        reason: Arc<str>,
        retry_after: Option<Duration>,
    },
}

/// A whole invocation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// For people: the guest's words or the trap's.
    pub reason: Arc<str>,
}

/// How an invocation, or a record of it, failed. Shown in dead letters and statuses by `name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureKind {
    Rejected,
    /// Trying again is pointless.
    Permanent,
    Trapped,
    TimedOut,
    OutOfMemory,
    /// Too many or too large outputs, an undeclared topic, an index outside the span, …
    BoundBroken,
    /// The log would not take an output of it.
    OutputRefused,
}

impl FailureKind {
    /// `snake_case`, stable.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Permanent => "permanent",
            Self::Trapped => "trapped",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::BoundBroken => "bound_broken",
            Self::OutputRefused => "output_refused",
        }
    }
}

/// The host could not run the function at all. Never billed to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFault {
    pub reason: Arc<str>,
}

/// The function's answer to a span that it handled, wholly or in part.
#[derive(Clone, Debug)]
pub struct Response {
    /// Offsets are indices.
    pub outputs: RecordBatch,
    pub targets: Targets,
    /// For each output the index in the span of the record that it stems from, if the function said.
    pub sources: Vec<Option<u32>>,
    /// In the order in which they were made.
    pub state: Vec<StateWrite>,
    pub failures: Vec<ItemFailure>,
}

/// Where the outputs of a response go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// All to one topic: the common case. Also where there are no outputs.
    All(TopicId),
    /// One for each output.
    Each(Vec<TopicId>),
}

/// The function names one record of the span as failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFailure {
    /// In the span; any other is the function's error.
    pub index: u32,
    pub blame: Blame,
    pub reason: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Try this record again, by itself.
    Rejected,
    /// Retrying is useless.
    Permanent,
}
