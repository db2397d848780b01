//! What holds around every call: its id, its line in the log, who may call, a panic that is told as what
//! it is; and the ways to answer. Never what a call does.
use std::{
    fmt::Write as _,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt as _;
use serde_json::Value;
use tracing::Instrument as _;

use super::{
    Api,
    error::{ApiError, Code},
};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("millstream-request-id");
const REQUEST_ID_MAX: usize = 128;

/// Makes ids that no other process makes either, as far as a good hash can tell.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        // Each `RandomState` has random keys.
        let process = RandomState::new().build_hasher().finish();
        Self { process, count: AtomicU64::new(0) }
    }

    /// The caller's own, if it is one that a log line can hold; else a new one.
    fn id_of(&self, headers: &HeaderMap) -> HeaderValue {
        let is_fine = |value: &&HeaderValue| {
            let value = value.as_bytes();
            (1..=REQUEST_ID_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
        };
        if let Some(own) = headers.get(REQUEST_ID).filter(is_fine) {
            return own.clone();
        }
        let mut id = String::with_capacity(24);
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        write!(id, "{:012x}-{count:x}", self.process & 0xffff_ffff_ffff)
            .expect("a string takes all");
        HeaderValue::try_from(id).expect("hexadecimal digits make a header")
    }
}

/// Wraps every call.
pub(crate) async fn around(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let id = api.request_ids.id_of(request.headers());
    let shown = id.to_str().unwrap_or_default().to_owned();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", id = %shown, %method, %path);
    let began = std::time::Instant::now();
    let mut response = async {
        let response = match api.access.check(request.uri(), request.headers()) {
            Err(error) => error.into_response(),
            Ok(()) => match run(&api, request, next).await {
                Ok(response) => response,
                Err(_) => {
                    let message = "the server has a bug: this call panicked";
                    ApiError::new(Code::Internal, message).into_response()
                }
            },
        };
        let status = response.status().as_u16();
        let wall_ms = began.elapsed().as_secs_f64() * 1e3;
        if response.status().is_server_error() {
            tracing::warn!(status, wall_ms, "answered that it cannot");
        } else {
            tracing::debug!(status, wall_ms, "answered");
        }
        api.metrics.observe(&method, status, began.elapsed());
        response
    }
    .instrument(span)
    .await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// A change is made to its end, though whoever asked for it hangs up: by halves, what is kept and what is
/// shown would part. A panic is told as one.
async fn run(api: &Api, request: Request, next: Next) -> Result<Response, ()> {
    if request.method().is_safe() {
        return AssertUnwindSafe(next.run(request)).catch_unwind().await.map_err(drop);
    }
    let change = next.run(request).in_current_span();
    // Ends with its call; the end of the program waits for it.
    api.app.changes.spawn(change).await.map_err(drop)
}

/// One JSON document and a line end, for terminals.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response {
    text(status, "application/json", format!("{value}\n"))
}

pub(crate) fn ok(value: &Value) -> Response {
    json(StatusCode::OK, value)
}

/// A page of a list; `next` only if there is more.
pub(crate) fn list(name: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut list = serde_json::Map::new();
    list.insert(name.into(), items.into());
    if let Some(next) = next {
        list.insert("next".into(), next.into());
    }
    list.into()
}

pub(crate) fn text(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_id_is_kept_if_a_log_line_can_hold_it() {
        let ids = RequestIds::new();
        let of = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).expect("a header");
            ids.id_of(&HeaderMap::from_iter([(REQUEST_ID, value)]))
        };
        assert_eq!(of(b"mine-1"), "mine-1");
        for wrong in [&b""[..], b"two words", b"\xff", &[b'x'; 129]] {
            assert_ne!(of(wrong).as_bytes(), wrong);
        }
        assert_ne!(ids.id_of(&HeaderMap::new()), ids.id_of(&HeaderMap::new()));
    }
}
