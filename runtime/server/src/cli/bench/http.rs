//! Appends over HTTP, as any client makes them, against a server in this process on loopback: client and
//! server share the cores.
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use super::{
    limits::{histogram, nanos},
    report::{Section, Unit},
    rig::Rig,
};
use crate::http::{self, Access};

const TIME: Duration = Duration::from_secs(4);
/// Not counted: connections are made, caches are cold.
const BEFORE: Duration = Duration::from_millis(500);
const PARTITIONS: u32 = 4;
const VALUE: usize = 100;

pub(super) async fn measure(rig: &Rig) -> Result<Section> {
    let about = "appends over HTTP on loopback, durable before the answer; client and server share the cores";
    let mut section = Section::new("http", about);
    let server = Server::start(rig).await?;
    rig.topic("lines", PARTITIONS).await?;
    let lines: Vec<u8> = (0..1_000).flat_map(line).collect();
    let body =
        Post { path: "/v1/topics/lines/records", kind: "application/x-ndjson", body: lines.into() };
    let batches = load(server.at, &body, 8).await?;
    section.add(
        "ndjson",
        "NDJSON, 1,000 records of 100 B a request, 8 connections: records",
        batches.per_second * 1e3,
        Unit::PerSecond,
    );
    section.add("ndjson_p50", "  a request, p50", batches.p50_us, Unit::Micros);
    section.add("ndjson_p99", "  a request, p99", batches.p99_us, Unit::Micros);
    rig.topic("ones", PARTITIONS).await?;
    let body = Post {
        path: "/v1/topics/ones/records",
        kind: "application/octet-stream",
        body: line(1).into(),
    };
    let ones = load(server.at, &body, 64).await?;
    section.add(
        "single",
        "one record of 100 B a request, 64 connections: requests",
        ones.per_second,
        Unit::PerSecond,
    );
    section.add("single_p50", "  a request, p50", ones.p50_us, Unit::Micros);
    section.add("single_p99", "  a request, p99", ones.p99_us, Unit::Micros);
    server.stop().await;
    Ok(section)
}

/// A JSON value of 100 bytes, and the end of its line.
fn line(nth: u32) -> Vec<u8> {
    let mut line = format!("{{\"id\":\"{nth:08}\",\"text\":\"").into_bytes();
    line.resize(VALUE - 2, b'x');
    line.extend_from_slice(b"\"}\n");
    line
}

/// The program's own listener, on a port of its own.
struct Server {
    at: SocketAddr,
    stop: CancellationToken,
    /// Ends when `stop` is cancelled.
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(rig: &Rig) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen on loopback")?;
        let at = listener.local_addr().context("ask for the port")?;
        let stop = CancellationToken::new();
        let router = http::router(Arc::clone(&rig.app), Access::open(true), stop.clone());
        let serving = TaskTracker::new().spawn(http::serve_within(
            http::Bounds::default(),
            listener,
            router,
            stop.clone(),
        ));
        Ok(Self { at, stop, serving })
    }

    async fn stop(self) {
        self.stop.cancel();
        // It ends by itself; that it panicked, the requests have told.
        drop(self.serving.await);
    }
}

struct Post {
    path: &'static str,
    kind: &'static str,
    body: Bytes,
}

struct Answered {
    /// Requests.
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

/// Each connection sends its next request when the last one is answered.
async fn load(at: SocketAddr, post: &Post, connections: usize) -> Result<Answered> {
    let from = Instant::now() + BEFORE;
    let until = from + TIME;
    let clients = (0..connections).map(|_| async move {
        let mut client = Client::open(at).await?;
        let mut times = histogram();
        loop {
            let sent = Instant::now();
            if sent >= until {
                return anyhow::Ok(times);
            }
            client.post(post).await?;
            if sent >= from {
                times.saturating_record(nanos(sent.elapsed()));
            }
        }
    });
    let mut times = histogram();
    for one in try_join_all(clients).await? {
        times.add(&one).context("add up times")?;
    }
    let micros = |at| times.value_at_quantile(at) as f64 / 1e3;
    let per_second = times.len() as f64 / TIME.as_secs_f64();
    Ok(Answered { per_second, p50_us: micros(0.5), p99_us: micros(0.99) })
}

struct Client {
    host: String,
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes. Ends with the connection, at the latest when this is dropped.
    _driver: AbortOnDropHandle<()>,
}

impl Client {
    async fn open(at: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(at).await.with_context(|| format!("connect to {at}"))?;
        stream.set_nodelay(true).context("send at once")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // What breaks the connection is told to who waits for an answer.
        let driver = TaskTracker::new().spawn(async move { drop(connection.await) });
        Ok(Self { host: at.to_string(), sender, _driver: AbortOnDropHandle::new(driver) })
    }

    async fn post(&mut self, post: &Post) -> Result<()> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(post.path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, post.kind)
            .body(Full::new(post.body.clone()))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(
            status == StatusCode::CREATED,
            "POST {} answered {status}: {}",
            post.path,
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_of_100_bytes() {
        let line = line(12);
        assert_eq!(line.len(), VALUE + 1);
        let value: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(value["id"], "00000012");
    }
}
