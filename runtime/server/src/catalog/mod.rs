//! Functions, triggers and topics by name: a view over `Documents` in memory, and the one way to change
//! them. Never a feed, never HTTP.
//!
//! **Invariant:** the view changes only after the document is durable. Names that begin with `_` or
//! `.` are the system's own; the doors refuse them.
mod definition;
mod error;
mod function;
mod functions;
mod stored;
mod topics;
mod trigger;
mod triggers;
mod view;

pub use definition::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, BATCH_WAIT_MAX, CONCURRENCY_MAX, OUTPUTS_MAX, OnFailure,
    Scaling, Start, TriggerDefinition, Window,
};
pub use error::{
    ChangeTriggerError, DeleteCursorRefused, DeleteFunctionError, DeleteTopicRefused, GuardFailed,
    NotFound, Noun, PatchFunctionError, Problem, PutTopicError, PutTriggerError, PutVersionError,
};
pub use function::{
    Function, FunctionLimits, FunctionPatch, FunctionRef, FunctionRefError, LimitsPatch, Selector,
    Settings, Version, is_alias,
};
pub use functions::{PutVersion, Resolved};
pub use topics::{PutTopic, Topics};
pub use trigger::{Change, Flags, Halted, PutTrigger, Trigger};
pub use view::{Catalog, OpenError};

/// A version of what it is an answer about: the `ETag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Etag(pub u64);

/// `If-Match`, `If-None-Match: *`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    #[default]
    Any,
    /// Only if this is what is there.
    Match(Etag),
    /// Only if something is there.
    Exists,
    /// Only if nothing is there.
    Nothing,
}

impl Guard {
    fn check(self, current: Option<Etag>) -> Result<(), GuardFailed> {
        let holds = match self {
            Self::Any => true,
            Self::Match(etag) => current == Some(etag),
            Self::Exists => current.is_some(),
            Self::Nothing => current.is_none(),
        };
        if holds { Ok(()) } else { Err(GuardFailed { current }) }
    }
}
