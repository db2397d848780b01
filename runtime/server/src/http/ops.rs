//! For operators: figures, liveness, readiness, version; and what the API knows of calls that are not built
//! yet. They answer from the server's own threads, however hard guests burn.
use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::Response,
};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use serde_json::{Value, json};

use super::{
    Api, answer,
    error::{ApiError, ApiResult, Code},
    params::no_query,
};
use crate::drive::NotReady;

/// Calls by method and status.
#[derive(Debug)]
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl HttpMetrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let requests = Opts::new("millstream_http_requests_total", "Calls answered.");
        let requests = IntCounterVec::new(requests, &["method", "status"]);
        let requests = requests.expect("name and labels are fine");
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
        let help = "From the headers of a call to those of its answer.";
        let seconds = HistogramOpts::new("millstream_http_request_seconds", help).buckets(buckets);
        let seconds = HistogramVec::new(seconds, &["method"]).expect("name and labels are fine");
        for collector in [
            Box::new(requests.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(seconds.clone()),
        ] {
            if let Err(error) = registry.register(collector) {
                // A second router over one program: the first one's figures are shown.
                tracing::debug!(%error, "figures of HTTP are registered already");
            }
        }
        Self { requests, seconds }
    }

    pub(crate) fn observe(&self, method: &Method, status: u16, wall: Duration) {
        // Any other word a caller may say is one label.
        let known = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"];
        let method = known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
        self.requests.with_label_values(&[method, status.to_string().as_str()]).inc();
        self.seconds.with_label_values(&[method]).observe(wall.as_secs_f64());
    }
}

pub(crate) async fn metrics(State(api): State<Arc<Api>>, uri: Uri) -> ApiResult<Response> {
    no_query(&uri)?;
    let (text, kind) = api.app.metrics.render();
    Ok(answer::text(StatusCode::OK, kind, text))
}

pub(crate) async fn livez() -> Response {
    answer::text(StatusCode::OK, "text/plain; charset=utf-8", "ok\n")
}

/// A probe has no token, and who has none learns no word that a function or a record has said.
pub(crate) async fn readyz(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let is_known = api.access.is_known(&headers);
    let not_ready = api.app.supervisor.not_ready();
    let mut reasons: Vec<Value> = not_ready.iter().map(|it| show_reason(it, is_known)).collect();
    if api.stop.is_cancelled() {
        reasons.push(json!({"reason": "the server is shutting down"}));
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &json!({"ready": reasons.is_empty(), "reasons": reasons}))
}

fn show_reason(it: &NotReady, is_known: bool) -> Value {
    let reason = if is_known { &it.reason } else { "shown with a token" };
    json!({
        "trigger": it.trigger.as_str(),
        "partition": it.partition.map(|partition| partition.0),
        "state": it.state.name(),
        "reason": reason,
        "lag_records": it.lag_records,
        "lag_seconds": it.lag_seconds,
    })
}

pub(crate) async fn version(uri: Uri) -> ApiResult<Response> {
    no_query(&uri)?;
    Ok(answer::ok(
        &json!({"name": "millstream", "version": env!("CARGO_PKG_VERSION"), "api": "v1"}),
    ))
}

/// A call of the API that is not built yet.
pub(crate) async fn later(method: Method, uri: Uri) -> ApiError {
    let message = format!("`{method} {}` is not supported yet", uri.path());
    ApiError::new(Code::CallNotSupportedYet, message)
}

pub(crate) async fn no_path(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    let message = format!("`{method} {path}` is no call of this API");
    let error = ApiError::new(Code::PathNotFound, message);
    match path.strip_suffix('/') {
        Some(bare) if !bare.is_empty() => error.hint(format!("without the last slash: `{bare}`")),
        _ => error.hint("calls begin with /v1/topics, /v1/functions, /v1/triggers or /v1/cursors"),
    }
}

pub(crate) async fn no_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("`{}` does not take {method}", uri.path());
    ApiError::new(Code::MethodNotAllowed, message).hint("the answer's `Allow` says what it takes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::State as TriggerState;
    use log_contract::TriggerName;

    #[test]
    fn who_has_no_token_learns_nothing_that_a_function_has_said() {
        let it = NotReady {
            trigger: TriggerName::parse("t").expect("a name"),
            partition: None,
            state: TriggerState::Halted,
            reason: "card 4711 refused".into(),
            lag_records: 3,
            lag_seconds: 0.5,
        };
        assert_eq!(show_reason(&it, true)["reason"], "card 4711 refused");
        let shown = show_reason(&it, false);
        assert!(!shown.to_string().contains("4711"), "{shown}");
        assert_eq!((&shown["state"], &shown["lag_records"]), (&json!("halted"), &json!(3)));
    }
}
