//! Decides what a trigger does with each partition of its source. No clock, no I/O, no randomness, no
//! logging: a [`Event`] goes in, [`Command`]s come out.
mod counts;
mod outcome;
mod seam;
mod spec;
mod stand;

pub use counts::{Counts, Ended, Invocations};
pub use outcome::{
    Blame, Failure, FailureKind, HostFault, ItemFailure, Outcome, Response, Targets,
};
pub use seam::{Command, Condition, DeadLetter, DeliveryId, Event, LastError, Settle};
pub use spec::{
    BatchPolicy, Bounds, ItemFailures, OnFailure, Ordering, Problem, RetryPolicy, TriggerSpec,
};
pub use stand::{Reason, Stand, State};
