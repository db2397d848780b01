//! The router over a whole program in memory, called in process. What a call means, seen from outside.
mod access;
mod reading;
mod records;
mod refusals;
mod topics;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Access, router};
use crate::{
    app::App,
    config::{Config, Storage},
};

/// A program with its door.
struct Door {
    router: Router,
    app: Arc<App>,
    stop: CancellationToken,
}

/// What a call answered.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Door {
    async fn open() -> Self {
        Self::with(Access::open(true), |_| ()).await
    }

    async fn with(access: Access, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(Storage::Ephemeral, "millstream".into());
        config.guest_threads = 1;
        change(&mut config);
        let app = App::start(config).await.expect("it opens in memory");
        let stop = CancellationToken::new();
        let router = router(Arc::clone(&app), access, stop.clone());
        Self { router, app, stop }
    }

    /// A topic `t` with three partitions, as most tests want it.
    async fn with_topic() -> Self {
        let door = Self::open().await;
        door.json("PUT /v1/topics/t", r#"{"partitions": 3}"#).await.has(201);
        door
    }

    /// `what` is a method and a path; `headers` are one a line.
    async fn call(&self, what: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let response = self.send(what, headers, body).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        Answer { status, headers, body }
    }

    /// The answer may go on for ever.
    async fn send(
        &self,
        what: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> axum::response::Response {
        let (method, path) = what.split_once(' ').expect("a method and a path");
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        self.router.clone().oneshot(request).await.expect("a router does not fail")
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(&format!("GET {path}"), &[], Body::empty()).await
    }

    async fn json(&self, what: &str, body: impl Into<Body>) -> Answer {
        self.call(what, &[("content-type", "application/json")], body).await
    }

    /// Appends to `t`, as this content type.
    async fn append(&self, query: &str, kind: &str, body: impl Into<Body>) -> Answer {
        let what = format!("POST /v1/topics/t/records{query}");
        self.call(&what, &[("content-type", kind)], body).await
    }

    /// All records of `t`, in partition and offset order.
    async fn all(&self) -> Vec<Value> {
        let answer = self.get("/v1/topics/t/records?limit=10000").await.has(200);
        let mut records = answer.value()["records"].as_array().expect("a list").clone();
        records.sort_by_key(|record| (record["partition"].as_u64(), record["offset"].as_u64()));
        records
    }
}

impl Answer {
    #[track_caller]
    fn has(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    fn value(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn error(&self) -> Value {
        self.value()["error"].clone()
    }
}
