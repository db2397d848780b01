//! Decides what a trigger does with each partition of its source. No clock, no I/O, no randomness, no
//! logging: a [`Event`] goes in, [`Command`]s come out.
mod advance;
mod age;
mod answer;
mod batcher;
mod circuit;
mod counts;
mod deliveries;
mod delivery;
mod failing;
mod feed;
mod guard;
mod halt;
mod keys;
mod landing;
mod ledger;
mod memo;
mod outcome;
mod overlay;
mod pages;
mod piece;
mod ready;
mod scale;
mod seam;
mod share;
mod spec;
mod stand;
mod status;
mod trouble;

pub use counts::{Counts, Ended, Invocations};
pub use feed::Feed;
pub use halt::{Halt, Halted, MalformedHalt};
pub use memo::MemoError;
pub use outcome::{
    Blame, Failure, FailureKind, HostFault, ItemFailure, Outcome, Response, Targets,
};
pub use scale::{Autoscaler, Cap, PartitionSample, Scaling, ScalingPolicy};
pub use seam::{Command, Commands, Condition, DeadLetter, DeliveryId, Event, LastError, Settle};
pub use share::{Claim, Need, apportion, fair_share};
pub use spec::{
    BatchPolicy, Bounds, ItemFailures, OnFailure, Ordering, Problem, RetryPolicy, TriggerSpec,
};
pub use stand::{Reason, Stand, State};
