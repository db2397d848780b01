//! What may be wrong with a call to the catalogue: one error per operation, each naming the field and
//! the way out where it knows them. Never HTTP: the door maps these to statuses.
use super::Etag;
use log_contract::{CursorName, LogUnavailable, PutDocumentError, TriggerName};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    Topic,
    Function,
    Version,
    Alias,
    Trigger,
    Cursor,
}

impl Noun {
    /// As people and error codes say it (`topic_not_found`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Function => "function",
            Self::Version => "version",
            Self::Alias => "alias",
            Self::Trigger => "trigger",
            Self::Cursor => "cursor",
        }
    }
}

/// One thing that is wrong with one field. A body's problems are told all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted, as in the API: `batch.records_max`.
    pub field: String,
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), hint: None }
    }

    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Something that a call names does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} `{name}` not found", noun.name())]
pub struct NotFound {
    pub noun: Noun,
    pub name: String,
    /// The field of the body that names it. `None`: the call's own subject.
    pub field: Option<&'static str>,
    pub hint: Option<String>,
}

impl NotFound {
    pub fn new(noun: Noun, name: impl Into<String>) -> Self {
        Self { noun, name: name.into(), field: None, hint: None }
    }

    #[must_use]
    pub fn in_field(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// `If-Match` or `If-None-Match` does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has changed, or exists already")]
pub struct GuardFailed {
    /// What is there now.
    pub current: Option<Etag>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutTriggerError {
    #[error("the trigger is invalid")]
    Invalid(Vec<Problem>),
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// `field` cannot be as it is asked for, given what else is there.
    #[error("{message}")]
    Conflict { field: &'static str, message: String, hint: String },
    #[error(transparent)]
    GuardFailed(#[from] GuardFailed),
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeTriggerError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error(transparent)]
    GuardFailed(#[from] GuardFailed),
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutVersionError {
    /// The bytes are no component of our world. What is missing, what is too much.
    #[error("the component does not fit: {reason}")]
    Unfit { reason: String, hint: Option<String> },
    #[error("a component of {bytes} bytes is larger than {max}")]
    TooLarge { bytes: u64, max: u64 },
    /// Compiling broke a bound.
    #[error("compiling the component failed: {reason}")]
    Compile { reason: String },
    /// Ours: worth trying again.
    #[error("the component cannot be checked now: {reason}")]
    Busy { reason: String },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchFunctionError {
    #[error("the change is invalid")]
    Invalid(Vec<Problem>),
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// An alias that triggers name would go.
    #[error("alias `{alias}` is named by {}", listed(triggers))]
    AliasInUse { alias: String, triggers: Vec<TriggerName> },
    #[error(transparent)]
    GuardFailed(#[from] GuardFailed),
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteFunctionError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("function `{name}` is named by {}", listed(triggers))]
    InUse { name: String, triggers: Vec<TriggerName> },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutTopicError {
    #[error("the topic is invalid")]
    Invalid(Vec<Problem>),
    /// Partitions never shrink, …
    #[error("{message}")]
    Conflict { field: &'static str, message: String, hint: String },
    #[error(transparent)]
    GuardFailed(#[from] GuardFailed),
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteTopicRefused {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// With `force` they would be stopped.
    #[error("topic `{name}` is read or written by {}", listed(triggers))]
    InUse { name: String, triggers: Vec<TriggerName> },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteCursorRefused {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("cursor `{cursor}` is in use{}", of(trigger.as_ref()))]
    InUse { cursor: CursorName, trigger: Option<TriggerName> },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

fn of(trigger: Option<&TriggerName>) -> String {
    trigger.map_or_else(String::new, |name| format!(" by trigger `{name}`"))
}

/// The first few, so that a message stays a line.
fn listed(triggers: &[TriggerName]) -> String {
    let names: Vec<String> = triggers.iter().take(5).map(|name| format!("`{name}`")).collect();
    let more = triggers.len().saturating_sub(names.len());
    let noun = if triggers.len() == 1 { "trigger" } else { "triggers" };
    match more {
        0 => format!("{noun} {}", names.join(", ")),
        more => format!("{noun} {} and {more} more", names.join(", ")),
    }
}

/// What a put of one of our own documents may answer.
pub(super) enum StoreError {
    GuardFailed(GuardFailed),
    Unavailable(LogUnavailable),
}

impl From<PutDocumentError> for StoreError {
    fn from(error: PutDocumentError) -> Self {
        match error {
            PutDocumentError::Conflict { current, .. } => {
                Self::GuardFailed(GuardFailed { current: current.map(Etag) })
            }
            PutDocumentError::Unavailable(why) => Self::Unavailable(why),
            // Every field of a document is bounded far below: a bug, told as what it is.
            error @ PutDocumentError::TooLarge { .. } => Self::Unavailable(LogUnavailable::Away {
                why: error.to_string(),
                retry_after: std::time::Duration::from_secs(60),
            }),
        }
    }
}

macro_rules! from_store_error {
    ($($type:ident),*) => {$(
        impl From<StoreError> for $type {
            fn from(error: StoreError) -> Self {
                match error {
                    StoreError::GuardFailed(failed) => Self::GuardFailed(failed),
                    StoreError::Unavailable(why) => Self::Unavailable(why),
                }
            }
        }
    )*};
}
from_store_error!(PutTriggerError, ChangeTriggerError, PatchFunctionError);
