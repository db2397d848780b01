//! Accepts connections within bounds and ends them in order. Never a route.
//!
//! Bounds: how many connections are open, how long a caller may take to say what it wants (slow loris;
//! an idle connection counts the same), and how long it may leave an answer unread.
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, Sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What callers may take of the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Open at once. Who comes then waits in the system's own queue.
    pub connections_max: usize,
    /// From the end of one request to the last header of the next.
    pub headers_wait: Duration,
    /// For which nobody takes a byte of an answer.
    pub write_wait: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            headers_wait: Duration::from_secs(30),
            write_wait: Duration::from_secs(60),
        }
    }
}

/// Of one connection: headers, and what is read of a body in one go.
const READ_BUFFER_MAX: usize = 128 << 10;
/// After which accepting is tried again when the machine has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`, then lets open requests finish. Returns when the last connection is closed; the
/// caller decides how long to wait for that, and drops the future then.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    serve_within(Bounds::default(), listener, router, stop).await;
}

/// The same, within other bounds.
pub async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(bounds.connections_max));
    let connections = TaskTracker::new();
    // Dropping this future ends what is left.
    let kill = CancellationToken::new();
    let _guard = kill.clone().drop_guard();
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit.expect("never closed"),
            () = stop.cancelled() => break,
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        let serving = connection(bounds, stream, router.clone(), stop.clone());
        let kill = kill.clone();
        // Ends with the connection. A panic in it is caught around the handlers, or ends it alone.
        connections.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = serving => {}
                () = kill.cancelled() => {}
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(bounds: Bounds, stream: TcpStream, router: Router, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone at once");
        return;
    }
    let io = TokioIo::new(PatientFor { stream, wait: bounds.write_wait, deadline: None });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(bounds.headers_wait);
    builder.max_buf_size(READ_BUFFER_MAX);
    let serving = builder.serve_connection(io, TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn pause_after(error: &io::Error) {
    let is_the_callers = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    );
    if !is_the_callers {
        tracing::warn!(%error, "accepting a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Gives up on a caller that takes nothing for a while.
struct PatientFor {
    stream: TcpStream,
    wait: Duration,
    /// Runs while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl PatientFor {
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.deadline = None;
            return result;
        }
        let until = Instant::now() + self.wait;
        let deadline =
            self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller takes no answer")))
    }
}

impl AsyncRead for PatientFor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PatientFor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn listen() -> (TcpListener, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, address)
    }

    #[tokio::test]
    async fn who_does_not_say_what_it_wants_is_shut_out() {
        let (listener, address) = listen().await;
        let bounds = Bounds { headers_wait: Duration::from_millis(20), ..Bounds::default() };
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_within(bounds, listener, Router::new(), stop.clone()));
        let mut caller = TcpStream::connect(address).await.expect("connected");
        caller.write_all(b"GET / HTTP/1.1\r\nhost: lo").await.expect("sent");
        let mut answer = Vec::new();
        caller.read_to_end(&mut answer).await.expect("closed");
        stop.cancel();
        server.await.expect("it ends");
    }

    #[tokio::test]
    async fn one_caller_too_many_waits_until_another_has_left() {
        let (listener, address) = listen().await;
        let bounds = Bounds { connections_max: 1, ..Bounds::default() };
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(async || "here"));
        let server = tokio::spawn(serve_within(bounds, listener, router, stop.clone()));
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let first = TcpStream::connect(address).await.expect("connected");
        let mut second = TcpStream::connect(address).await.expect("in the system's queue");
        second.write_all(request).await.expect("sent");
        let mut answer = [0; 1];
        let early = tokio::time::timeout(Duration::from_millis(50), second.read(&mut answer)).await;
        assert!(early.is_err(), "the first one has the only place");
        drop(first);
        let mut rest = String::new();
        second.read_to_string(&mut rest).await.expect("answered");
        assert!(rest.ends_with("here"), "{rest}");
        stop.cancel();
        server.await.expect("it ends");
    }

    #[tokio::test]
    async fn what_has_begun_is_finished_and_nothing_new_begins() {
        let (listener, address) = listen().await;
        let (stop, begun) = (CancellationToken::new(), CancellationToken::new());
        let (told, until) = (begun.clone(), stop.clone());
        let router = Router::new().route(
            "/",
            get(move || async move {
                told.cancel();
                until.cancelled().await;
                "finished"
            }),
        );
        let server = tokio::spawn(serve(listener, router, stop.clone()));
        let mut caller = TcpStream::connect(address).await.expect("connected");
        caller.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        begun.cancelled().await;
        stop.cancel();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.expect("answered, then closed");
        assert!(answer.ends_with("finished"), "{answer}");
        server.await.expect("it ends");
        assert!(TcpStream::connect(address).await.is_err());
    }
}
