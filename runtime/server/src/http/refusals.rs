//! What the catalogue and the supervisor refuse, as statuses and codes. One place, so that a refusal looks
//! the same whichever call met it.
use super::error::{ApiError, Code, Problem};
use crate::{
    catalog::{
        self, ChangeTriggerError, DeleteCursorRefused, DeleteFunctionError, DeleteTopicRefused,
        NotFound, Noun, PatchFunctionError, PutTopicError, PutTriggerError, PutVersionError,
    },
    drive::{ControlError, InvokeOnceError},
};
use log_contract::TriggerName;
use std::time::Duration;

impl From<NotFound> for ApiError {
    fn from(error: NotFound) -> Self {
        let code = match error.noun {
            Noun::Topic => Code::TopicNotFound,
            Noun::Function => Code::FunctionNotFound,
            Noun::Version => Code::VersionNotFound,
            Noun::Alias => Code::AliasNotFound,
            Noun::Trigger => Code::TriggerNotFound,
            Noun::Cursor => Code::CursorNotFound,
        };
        let mut refused = Self::new(code, error.to_string());
        if let Some(field) = error.field {
            refused = refused.field(field);
        }
        match error.hint {
            Some(hint) => refused.hint(hint),
            None => refused,
        }
    }
}

/// A body that says something impossible: all of it, and the first hint.
pub(crate) fn invalid(problems: Vec<catalog::Problem>) -> ApiError {
    let hint = problems.iter().find_map(|problem| problem.hint.clone());
    let told = problems
        .into_iter()
        .map(|catalog::Problem { field, message, .. }| Problem { field, message });
    let refused = ApiError::body(told.collect());
    match hint {
        Some(hint) => refused.hint(hint),
        None => refused,
    }
}

fn conflict(field: &str, message: String, hint: String) -> ApiError {
    ApiError::new(Code::Conflict, message).field(field).hint(hint)
}

fn in_use(code: Code, message: String, triggers: &[TriggerName], more: &str) -> ApiError {
    let refused = ApiError::new(code, message);
    match triggers.first() {
        Some(trigger) => {
            refused.hint(format!("delete it first: DELETE /v1/triggers/{trigger}{more}"))
        }
        None => refused,
    }
}

impl From<PutTopicError> for ApiError {
    fn from(error: PutTopicError) -> Self {
        match error {
            PutTopicError::Invalid(problems) => invalid(problems),
            PutTopicError::Conflict { field: field @ "partitions", message, hint } => {
                Self::new(Code::PartitionsShrink, message).field(field).hint(hint)
            }
            PutTopicError::Conflict { field, message, hint } => conflict(field, message, hint),
            PutTopicError::GuardFailed(failed) => failed.into(),
            PutTopicError::Unavailable(why) => why.into(),
        }
    }
}

impl From<DeleteTopicRefused> for ApiError {
    fn from(error: DeleteTopicRefused) -> Self {
        let message = error.to_string();
        match error {
            DeleteTopicRefused::NotFound(why) => why.into(),
            DeleteTopicRefused::InUse { triggers, .. } => in_use(
                Code::TopicInUse,
                message,
                &triggers,
                ", or say ?force=true, which stops them",
            ),
            DeleteTopicRefused::Unavailable(why) => why.into(),
        }
    }
}

impl From<PutTriggerError> for ApiError {
    fn from(error: PutTriggerError) -> Self {
        match error {
            PutTriggerError::Invalid(problems) => invalid(problems),
            PutTriggerError::NotFound(why) => why.into(),
            PutTriggerError::Conflict { field, message, hint } => conflict(field, message, hint),
            PutTriggerError::GuardFailed(failed) => failed.into(),
            PutTriggerError::Unavailable(why) => why.into(),
        }
    }
}

impl From<ChangeTriggerError> for ApiError {
    fn from(error: ChangeTriggerError) -> Self {
        match error {
            ChangeTriggerError::NotFound(why) => why.into(),
            ChangeTriggerError::GuardFailed(failed) => failed.into(),
            ChangeTriggerError::Unavailable(why) => why.into(),
        }
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let message = error.to_string();
        match error {
            ControlError::NotFound(why) => why.into(),
            ControlError::Invalid { field, message, hint } => {
                let refused = Self::body(vec![Problem { field: field.into(), message }]);
                if hint.is_empty() { refused } else { refused.hint(hint) }
            }
            ControlError::NotHeld { .. } => {
                Self::new(Code::NotHeld, message).retry_after(Duration::from_secs(1))
            }
            ControlError::StillBusy { .. } => Self::new(Code::StillBusy, message)
                .hint("what you asked for holds; ask again to know when nothing runs any more")
                .retry_after(Duration::from_secs(1)),
            ControlError::Unavailable(why) => why.into(),
        }
    }
}

impl From<PutVersionError> for ApiError {
    fn from(error: PutVersionError) -> Self {
        let message = error.to_string();
        match error {
            PutVersionError::Unfit { hint, .. } => {
                let refused = Self::new(Code::ComponentRefused, message);
                refused.hint(hint.unwrap_or_else(|| {
                    "functions/sdk shows how to build one for this world; `wasm-tools component wit` \
                     shows what yours has"
                        .into()
                }))
            }
            PutVersionError::TooLarge { .. } => Self::new(Code::BodyTooLarge, message),
            PutVersionError::Compile { .. } => Self::new(Code::ComponentRefused, message),
            PutVersionError::Busy { .. } => {
                Self::new(Code::SandboxUnavailable, message).retry_after(Duration::from_secs(5))
            }
            PutVersionError::Unavailable(why) => why.into(),
        }
    }
}

impl From<PatchFunctionError> for ApiError {
    fn from(error: PatchFunctionError) -> Self {
        let message = error.to_string();
        match error {
            PatchFunctionError::Invalid(problems) => invalid(problems),
            PatchFunctionError::NotFound(why) => why.into(),
            PatchFunctionError::AliasInUse { alias, triggers } => {
                in_use(Code::FunctionInUse, message, &triggers, "")
                    .field(format!("aliases.{alias}"))
            }
            PatchFunctionError::GuardFailed(failed) => failed.into(),
            PatchFunctionError::Unavailable(why) => why.into(),
        }
    }
}

impl From<DeleteFunctionError> for ApiError {
    fn from(error: DeleteFunctionError) -> Self {
        let message = error.to_string();
        match error {
            DeleteFunctionError::NotFound(why) => why.into(),
            DeleteFunctionError::InUse { triggers, .. } => {
                in_use(Code::FunctionInUse, message, &triggers, "")
            }
            DeleteFunctionError::Unavailable(why) => why.into(),
        }
    }
}

impl From<DeleteCursorRefused> for ApiError {
    fn from(error: DeleteCursorRefused) -> Self {
        let message = error.to_string();
        match error {
            DeleteCursorRefused::NotFound(why) => why.into(),
            DeleteCursorRefused::InUse { trigger, .. } => {
                in_use(Code::CursorInUse, message, trigger.as_slice(), "")
            }
            DeleteCursorRefused::Unavailable(why) => why.into(),
        }
    }
}

impl From<InvokeOnceError> for ApiError {
    fn from(error: InvokeOnceError) -> Self {
        let message = crate::telemetry::chain(&error);
        match error {
            InvokeOnceError::NotFound(why) => why.into(),
            InvokeOnceError::Empty => {
                Self::body(vec![Problem { field: "records".into(), message }])
            }
            InvokeOnceError::Load(_) => {
                Self::new(Code::SandboxUnavailable, message).retry_after(Duration::from_secs(5))
            }
        }
    }
}
