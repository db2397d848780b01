//! Which path is which call. Never what a call does.
use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{any, delete, get, post, put},
};

use super::{
    Api, answer, cursors, dead_letters, functions, logs, ops, params, records, topics, triggers,
};

pub(crate) fn build(api: Arc<Api>) -> Router {
    Router::new()
        .merge(json_calls())
        .merge(other_calls())
        .merge(later())
        .fallback(ops::no_path)
        .method_not_allowed_fallback(ops::no_method)
        // Bodies have bounds of their own, each told with its number.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::clone(&api), answer::around))
        .with_state(api)
}

/// Calls that answer as JSON and nothing else.
fn json_calls() -> Router<Arc<Api>> {
    let topic = put(topics::put).get(topics::get).delete(topics::delete);
    let function =
        put(functions::put).get(functions::get).patch(functions::patch).delete(functions::delete);
    let trigger = put(triggers::put).get(triggers::get).delete(triggers::delete);
    Router::new()
        .route("/v1/topics", get(topics::list))
        .route("/v1/topics/{topic}", topic)
        .route("/v1/functions", get(functions::list))
        .route("/v1/functions/{function}", function)
        .route("/v1/functions/{function}/versions", get(functions::versions))
        .route("/v1/functions/{function}/versions/{version}", get(functions::version))
        .route("/v1/functions/{function}/invoke", post(functions::invoke))
        .route("/v1/triggers", get(triggers::list))
        .route("/v1/triggers/{trigger}", trigger)
        .route("/v1/triggers/{trigger}/pause", post(triggers::pause))
        .route("/v1/triggers/{trigger}/resume", post(triggers::resume))
        .route("/v1/triggers/{trigger}/seek", post(triggers::seek))
        .route("/v1/triggers/{trigger}/dead-letters", get(dead_letters::list))
        .route("/v1/triggers/{trigger}/dead-letters/{id}", get(dead_letters::get))
        .route("/v1/cursors", get(cursors::list))
        .route("/v1/cursors/{cursor}", delete(cursors::delete))
        .route("/version", get(ops::version))
        .route_layer(middleware::from_fn(only_json))
}

/// Calls that look at `Accept` themselves, or that nobody asks with one in mind.
fn other_calls() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/topics/{topic}/records", post(records::append).get(records::read))
        .route("/v1/topics/{topic}/partitions/{partition}/records/{offset}", get(records::one))
        .route("/v1/functions/{function}/versions/{version}/component", get(functions::component))
        .route("/v1/functions/{function}/logs", get(logs::logs))
        .route("/metrics", get(ops::metrics))
        .route("/livez", get(ops::livez))
        .route("/readyz", get(ops::readyz))
}

/// Known, and not built yet.
fn later() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/triggers/{trigger}/dead-letters/redrive", post(ops::later))
        .route("/v1/triggers/{trigger}/partitions/{partition}/skip", post(ops::later))
        .route("/v1/scale", any(ops::later))
        .route("/v1/events", any(ops::later))
        .route("/openapi.json", any(ops::later))
        .route("/", any(ops::later))
}

async fn only_json(request: Request, next: Next) -> Response {
    match params::negotiate(request.headers(), &["application/json"]) {
        Ok(_) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}
