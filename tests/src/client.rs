//! HTTP as a user speaks it. Never a retry of its own: a test says when something is sent again.
use anyhow::{Context, Result, anyhow};
use reqwest::{Method, Response, header::HeaderMap};
use serde_json::Value;

/// Speaks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. Panics, showing the body, if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error} in an answer with status {}: {}", self.status, self.text())
        })
    }

    /// Panics, showing the answer, if the status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "answer: {}", self.text());
        self
    }

    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The `code` of an error.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    #[must_use]
    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().build().expect("a plain client");
        Self { base: base.to_owned(), http }
    }

    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends and reads the whole answer. An error: no answer came.
    ///
    /// # Errors
    /// The connection was refused or broke.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer> {
        let response = self.open(method, path, headers, body).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.context("reads the answer")?.to_vec();
        Ok(Answer { status, headers, body })
    }

    /// Sends and hands over the answer while it comes.
    ///
    /// # Errors
    /// The connection was refused or broke.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Response> {
        let method: Method = method.parse().map_err(|_| anyhow!("`{method}` is no method"))?;
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.context("sends the request")
    }

    /// [`Client::try_send`] where the server must answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let sent = self.try_send(method, path, headers, body).await;
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error:#}"))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.json("PUT", path, body).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body).await
    }

    pub async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Uploads a component of `functions/built`.
    pub async fn upload(&self, function: &str, component: &str) -> Answer {
        let bytes = crate::component(component);
        let headers = [("content-type", "application/wasm")];
        self.send("PUT", &format!("/v1/functions/{function}"), &headers, bytes).await
    }

    /// The trigger's answer of `GET`.
    pub async fn trigger(&self, name: &str) -> Value {
        self.get(&format!("/v1/triggers/{name}")).await.expect(200).json()
    }

    /// Waits until the trigger has nothing left to do.
    pub async fn caught_up(&self, trigger: &str) {
        let what = format!("`{trigger}` catches up");
        crate::wait::until_within(&what, std::time::Duration::from_secs(180), async || {
            let status = self.trigger(trigger).await["status"].clone();
            let is_there = status["partitions"].as_array().is_some_and(|all| !all.is_empty());
            (status["lag_records"] == 0 && is_there).then_some(())
        })
        .await;
    }
}
