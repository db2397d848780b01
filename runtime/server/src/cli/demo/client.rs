//! The HTTP API as any program speaks it: one connection, one call at a time. The demo knows the server
//! by this door alone. Never a second try: what fails is told.
use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// Longer than any call of the demo: an upload waits for the compiler.
const CALL_MAX: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(super) struct Client {
    at: SocketAddr,
    open: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes. Ends with the connection, at the latest when this is dropped.
    _driver: AbortOnDropHandle<()>,
}

/// What a call sends along.
#[derive(Clone, Debug)]
pub(super) struct Body {
    content_type: &'static str,
    bytes: Bytes,
}

impl Body {
    pub(super) fn json(value: &Value) -> Self {
        Self { content_type: "application/json", bytes: value.to_string().into() }
    }

    pub(super) fn component(bytes: &'static [u8]) -> Self {
        Self { content_type: "application/wasm", bytes: Bytes::from_static(bytes) }
    }

    pub(super) fn ndjson(bytes: impl Into<Bytes>) -> Self {
        Self { content_type: "application/x-ndjson", bytes: bytes.into() }
    }

    pub(super) fn lines(bytes: impl Into<Bytes>) -> Self {
        Self { content_type: "text/plain", bytes: bytes.into() }
    }
}

impl Client {
    pub(super) fn new(at: SocketAddr) -> Self {
        Self { at, open: None }
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// `None` where there is nothing by that name.
    pub(super) async fn find(&mut self, path: &str) -> Result<Option<Value>> {
        let (status, body) = self.answer(Method::GET, path, None).await?;
        if status == StatusCode::NOT_FOUND { Ok(None) } else { value(status, &body).map(Some) }
    }

    pub(super) async fn put(&mut self, path: &str, body: Body) -> Result<Value> {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub(super) async fn post(&mut self, path: &str, body: Body) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// The answer's JSON. An error: no answer, or one that says no, in the server's own words.
    async fn call(&mut self, method: Method, path: &str, body: Option<Body>) -> Result<Value> {
        let what = format!("{method} {path}");
        let (status, body) = self.answer(method, path, body).await?;
        value(status, &body).context(what)
    }

    async fn answer(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Result<(StatusCode, Bytes)> {
        let what = format!("{method} {path}");
        let answer = timeout(CALL_MAX, self.exchange(method, path, body)).await;
        let answer = answer.map_err(|_| anyhow!("no answer within {} s", CALL_MAX.as_secs()));
        let answer = answer.and_then(|answer| answer);
        if answer.is_err() {
            // Half of an answer may still be under way.
            self.open = None;
        }
        answer.context(what)
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Result<(StatusCode, Bytes)> {
        let mut request =
            Request::builder().method(method).uri(path).header(header::HOST, self.at.to_string());
        if let Some(body) = &body {
            request = request.header(header::CONTENT_TYPE, body.content_type);
        }
        let mut request =
            request.body(Full::new(body.map_or_else(Bytes::new, |body| body.bytes)))?;
        let answer = loop {
            let sent = self.connection().await?.sender.try_send_request(request).await;
            match sent {
                Ok(answer) => break answer,
                // The server closed an idle connection just now: nothing was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => (request, self.open) = (unsent, None),
                    None => return Err(error.into_error()).context("send the request"),
                },
            }
        };
        let status = answer.status();
        let body = answer.into_body().collect().await.context("read the answer")?;
        Ok((status, body.to_bytes()))
    }

    async fn connection(&mut self) -> Result<&mut Connection> {
        if let Some(open) = &mut self.open
            && open.sender.ready().await.is_err()
        {
            self.open = None;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => Connection::to(self.at).await?,
        };
        Ok(self.open.insert(open))
    }
}

impl Connection {
    async fn to(at: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(at).await.with_context(|| format!("connect to {at}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = TaskTracker::new().spawn(async move {
            // What breaks the connection also fails the call that waits for it, and is told there.
            connection.await.ok();
        });
        Ok(Self { sender, _driver: AbortOnDropHandle::new(driver) })
    }
}

fn value(status: StatusCode, body: &[u8]) -> Result<Value> {
    if !status.is_success() {
        bail!("{}", refusal(status, body));
    }
    serde_json::from_slice(body).context("the answer is not JSON")
}

/// What the server says is wrong, with its hint.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return format!("{status}: {}", String::from_utf8_lossy(body));
    };
    let error = &answer["error"];
    let mut text = error["message"].as_str().unwrap_or_default().to_owned();
    for problem in error["problems"].as_array().into_iter().flatten() {
        let (field, message) = (&problem["field"], &problem["message"]);
        let (field, message) = (field.as_str().unwrap_or("?"), message.as_str().unwrap_or("?"));
        text.push_str(&format!("; `{field}`: {message}"));
    }
    if let Some(hint) = error["hint"].as_str() {
        text.push_str(&format!(" ({hint})"));
    }
    format!("{status}: {text}")
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let body = br#"{"error": {"code": "invalid", "message": "2 fields are wrong",
            "hint": "see the docs", "problems": [{"field": "batch.wait", "message": "is `x`"}]}}"#;
        assert_eq!(
            refusal(StatusCode::BAD_REQUEST, body),
            "400 Bad Request: 2 fields are wrong; `batch.wait`: is `x` (see the docs)"
        );
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, b"<h1>"), "502 Bad Gateway: <h1>");
    }

    #[tokio::test]
    async fn calls_share_a_connection_and_a_closed_one_is_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = Client::new(listener.local_addr().unwrap());
        let server = TaskTracker::new().spawn(async move {
            let mut requests = Vec::new();
            for calls in [2, 1] {
                let (mut stream, _) = listener.accept().await.unwrap();
                for _ in 0..calls {
                    let mut request = vec![0; 4_096];
                    let len = stream.read(&mut request).await.unwrap();
                    requests.push(String::from_utf8(request[..len].to_vec()).unwrap());
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"a\": 1}";
                    stream.write_all(answer).await.unwrap();
                }
            }
            requests
        });
        for _ in 0..3 {
            assert_eq!(client.get("/v1/topics?limit=1").await.unwrap()["a"], 1);
        }
        let requests = server.await.unwrap();
        assert!(
            requests.iter().all(|text| text.starts_with("GET /v1/topics?limit=1 HTTP/1.1\r\n"))
        );
        assert!(requests.iter().all(|text| text.contains("host: 127.0.0.1:")));
    }
}
