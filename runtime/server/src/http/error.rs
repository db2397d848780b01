//! What a refused call looks like: one status and one stable code per kind of refusal, and the JSON that
//! carries them. Never a decision whether something is refused: that is with whoever was asked.
use std::{fmt, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use log_contract::{LogUnavailable, NameError};
use serde_json::{Map, Value, json};

/// Stable: programs match on `code`. The table in the docs is made of this.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub(crate) fn status(self) -> StatusCode {
                let status = match self { $(Self::$variant => $status,)* };
                StatusCode::from_u16(status).expect("the table holds real statuses")
            }
        }
    };
}

codes! {
    /// The body is no JSON, or fields of it are wrong: `problems` has each.
    InvalidBody = 400 "invalid_body",
    /// A query parameter is unknown or wrong.
    InvalidParameter = 400 "invalid_parameter",
    InvalidHeader = 400 "invalid_header",
    /// A name in the path breaks the rule for names.
    InvalidName = 400 "invalid_name",
    Unauthorized = 401 "unauthorized",
    /// Against DNS rebinding: a loopback listener is called by a loopback name only.
    ForbiddenHost = 403 "forbidden_host",
    ForbiddenOrigin = 403 "forbidden_origin",
    PathNotFound = 404 "path_not_found",
    TopicNotFound = 404 "topic_not_found",
    PartitionNotFound = 404 "partition_not_found",
    RecordNotFound = 404 "record_not_found",
    FunctionNotFound = 404 "function_not_found",
    VersionNotFound = 404 "version_not_found",
    AliasNotFound = 404 "alias_not_found",
    TriggerNotFound = 404 "trigger_not_found",
    CursorNotFound = 404 "cursor_not_found",
    DeadLetterNotFound = 404 "dead_letter_not_found",
    /// A call of the API that is not built yet.
    CallNotSupportedYet = 404 "call_not_supported_yet",
    MethodNotAllowed = 405 "method_not_allowed",
    NotAcceptable = 406 "not_acceptable",
    RequestTimeout = 408 "request_timeout",
    PartitionsShrink = 409 "partitions_shrink",
    TopicInUse = 409 "topic_in_use",
    FunctionInUse = 409 "function_in_use",
    CursorInUse = 409 "cursor_in_use",
    /// A partition is in other hands at the moment.
    NotHeld = 409 "not_held",
    /// What is there does not go with what is asked for.
    Conflict = 409 "conflict",
    PreconditionFailed = 412 "precondition_failed",
    BodyTooLarge = 413 "body_too_large",
    TooManyRecords = 413 "too_many_records",
    RecordTooLarge = 413 "record_too_large",
    UnsupportedContentType = 415 "unsupported_content_type",
    UnsupportedEncoding = 415 "unsupported_encoding",
    /// A field or header of the API that is not built yet. Never ignored silently.
    NotSupportedYet = 422 "not_supported_yet",
    ComponentRefused = 422 "component_refused",
    TooManyBytes = 429 "too_many_bytes",
    TooManyFollowers = 429 "too_many_followers",
    TooManyInvocations = 429 "too_many_invocations",
    Internal = 500 "internal",
    Damaged = 500 "damaged",
    StorageFull = 503 "storage_full",
    ShuttingDown = 503 "shutting_down",
    LogUnavailable = 503 "log_unavailable",
    SandboxUnavailable = 503 "sandbox_unavailable",
    /// What was asked for holds, and something is still under way.
    StillBusy = 503 "still_busy",
    /// The records may be in the log or not.
    AppendUnknown = 504 "append_unknown",
}

/// One thing that is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// A path as in `batch.records_max` or `records[3].key`.
    pub(crate) field: String,
    pub(crate) message: String,
}

/// A refusal, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct ApiError(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    message: String,
    field: Option<String>,
    hint: Option<String>,
    problems: Vec<Problem>,
    retry_after: Option<Duration>,
    header: Option<(header::HeaderName, HeaderValue)>,
}

pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            message: message.into(),
            field: None,
            hint: None,
            problems: Vec::new(),
            retry_after: None,
            header: None,
        }))
    }

    /// All that is wrong with a body. `problems` must not be empty.
    pub(crate) fn body(problems: Vec<Problem>) -> Self {
        let first = problems.first().expect("called with what is wrong");
        let at = |problem: &Problem| match problem.field.as_str() {
            "" => problem.message.clone(),
            field => format!("`{field}`: {}", problem.message),
        };
        let message = match problems.len() {
            1 => at(first),
            count => format!("{count} problems; the first: {}", at(first)),
        };
        let field = first.field.clone();
        let mut error = Self::new(Code::InvalidBody, message);
        if !field.is_empty() {
            error = error.field(field);
        }
        error.0.problems = problems;
        error
    }

    pub(crate) fn not_supported_yet(field: impl Into<String>) -> Self {
        let field = field.into();
        Self::new(Code::NotSupportedYet, format!("`{field}` is not supported yet")).field(field)
    }

    #[must_use]
    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// A header that goes with the refusal, such as `Allow`.
    #[must_use]
    pub(crate) fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    #[cfg(test)]
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.0.problems
    }

    pub(crate) fn to_json(&self) -> Value {
        let parts = &self.0;
        let mut error = Map::new();
        error.insert("code".into(), parts.code.name().into());
        error.insert("message".into(), parts.message.as_str().into());
        if let Some(field) = &parts.field {
            error.insert("field".into(), field.as_str().into());
        }
        if let Some(hint) = &parts.hint {
            error.insert("hint".into(), hint.as_str().into());
        }
        if !parts.problems.is_empty() {
            let shown =
                |problem: &Problem| json!({"field": problem.field, "message": problem.message});
            error.insert("problems".into(), parts.problems.iter().map(shown).collect());
        }
        json!({ "error": error })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.name(), self.0.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(format!("{}\n", self.to_json())));
        *response.status_mut() = self.0.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.0.retry_after {
            let seconds = wait.as_millis().div_ceil(1_000).max(1) as u64;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some((name, value)) = self.0.header {
            headers.insert(name, value);
        }
        response
    }
}

impl From<LogUnavailable> for ApiError {
    fn from(error: LogUnavailable) -> Self {
        let message = error.to_string();
        match error {
            LogUnavailable::StorageFull { retry_after } => {
                Self::new(Code::StorageFull, message).retry_after(retry_after)
            }
            LogUnavailable::Closed => shutting_down(),
            LogUnavailable::Away { retry_after, .. } => {
                Self::new(Code::LogUnavailable, message).retry_after(retry_after)
            }
        }
    }
}

impl From<NameError> for ApiError {
    /// Of a name in the path.
    fn from(error: NameError) -> Self {
        Self::new(Code::InvalidName, error.to_string())
    }
}

pub(crate) fn shutting_down() -> ApiError {
    ApiError::new(Code::ShuttingDown, "the server is shutting down")
        .retry_after(Duration::from_secs(5))
}

pub(crate) fn topic_not_found(name: &str) -> ApiError {
    ApiError::new(Code::TopicNotFound, format!("topic `{name}` not found"))
        .hint(format!("create it: PUT /v1/topics/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_are_real() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(Code::ALL.iter().all(|code| code.status().as_u16() >= 400));
    }

    #[test]
    fn the_documentation_lists_each_code() {
        let docs = include_str!("../../../docs/errors.md");
        for code in Code::ALL {
            let (status, name) = (code.status().as_u16(), code.name());
            let is_told = |line: &str| {
                line.starts_with(&format!("| {status} |")) && line.contains(&format!("`{name}`"))
            };
            assert!(docs.lines().any(is_told), "{status} {name}");
        }
    }

    #[test]
    fn an_error_shows_only_what_says_something() {
        let bare = ApiError::new(Code::TopicNotFound, "topic `a` not found").to_json();
        assert_eq!(
            bare.to_string(),
            r#"{"error":{"code":"topic_not_found","message":"topic `a` not found"}}"#
        );
        let problem = |field: &str| Problem { field: field.into(), message: "0 is below 1".into() };
        let body = ApiError::body(vec![problem("a"), problem("b.c")]).to_json();
        assert_eq!(body["error"]["field"], "a");
        assert_eq!(body["error"]["problems"][1]["field"], "b.c");
    }

    #[test]
    fn a_wait_below_a_second_is_not_shown_as_none() {
        let error =
            ApiError::from(LogUnavailable::StorageFull { retry_after: Duration::from_millis(10) });
        let response = error.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
