//! A guest's stdout and stderr: takes whatever is written, keeps whole lines up to the bound. Never makes a
//! guest wait or fail for what it prints.
use crate::logs::{LogStream, Logs};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// A longer line is cut into several.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Of a line on stderr, for the reason of a trap.
const LAST_WORDS_MAX: usize = 1 << 10;
/// How much may be written at once, which is also what the host holds of it.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Both streams of one guest.
#[derive(Clone)]
pub(super) struct LogBuffer(Arc<Mutex<Buffer>>);

struct Buffer {
    logs: Logs,
    most: usize,
    open: [Vec<u8>; 2],
    /// The last two lines on stderr that say something, kept also beyond the bound.
    last_words: [String; 2],
}

impl LogBuffer {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Buffer {
            logs: Logs::default(),
            most,
            open: Default::default(),
            last_words: Default::default(),
        })))
    }

    pub(super) fn stdout(&self) -> GuestStream {
        GuestStream { buffer: self.clone(), stream: LogStream::Stdout }
    }

    pub(super) fn stderr(&self) -> GuestStream {
        GuestStream { buffer: self.clone(), stream: LogStream::Stderr }
    }

    /// What was written, with unended lines ended.
    pub(super) fn take(&self) -> Logs {
        let mut buffer = self.lock();
        buffer.end_line(LogStream::Stdout);
        buffer.end_line(LogStream::Stderr);
        std::mem::take(&mut buffer.logs)
    }

    /// What the guest said last on stderr: a panic's message, if it panicked. Asked after `take`.
    pub(super) fn last_words(&self) -> Option<String> {
        let buffer = self.lock();
        let [before, last] = &buffer.last_words;
        // Rust says where on one line and what on the next.
        match before.split_once("panicked at ") {
            Some((_, place)) => Some(format!("panicked at {place} {last}")),
            None => (!last.is_empty()).then(|| last.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn write(&mut self, stream: LogStream, bytes: &[u8]) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        let first = pieces.next().unwrap_or_default();
        self.extend_line(stream, first);
        for piece in pieces {
            self.end_line_with_its_end(stream);
            self.extend_line(stream, piece);
        }
    }

    fn extend_line(&mut self, stream: LogStream, mut piece: &[u8]) {
        loop {
            let open = &mut self.open[stream as usize];
            let room = LINE_BYTES_MAX - open.len();
            if piece.len() <= room {
                open.extend_from_slice(piece);
                return;
            }
            open.extend_from_slice(&piece[..room]);
            piece = &piece[room..];
            self.end_line_with_its_end(stream);
        }
    }

    fn end_line(&mut self, stream: LogStream) {
        if !self.open[stream as usize].is_empty() {
            self.end_line_with_its_end(stream);
        }
    }

    fn end_line_with_its_end(&mut self, stream: LogStream) {
        let mut open = std::mem::take(&mut self.open[stream as usize]);
        let line = String::from_utf8_lossy(&open);
        let line = line.strip_suffix('\r').unwrap_or(&line);
        if stream == LogStream::Stderr {
            self.hear(line);
        }
        // A line costs one byte more than its text, so that empty ones are bounded too. Once one is lost,
        // so are all that follow: a log with holes misleads.
        let is_whole = self.logs.dropped_bytes() == 0;
        if is_whole && self.logs.bytes() + line.len() < self.most {
            self.logs.push(stream, line);
        } else {
            self.logs.drop_bytes(open.len() as u64 + 1);
        }
        open.clear();
        self.open[stream as usize] = open;
    }

    fn hear(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() || line.starts_with("note: run with `RUST_BACKTRACE=") {
            return;
        }
        let [before, last] = &mut self.last_words;
        std::mem::swap(before, last);
        last.clear();
        last.push_str(&line[..line.floor_char_boundary(LAST_WORDS_MAX)]);
    }
}

/// One of the two, as wasi sees it.
#[derive(Clone)]
pub(super) struct GuestStream {
    buffer: LogBuffer,
    stream: LogStream,
}

#[async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.buffer.lock().write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.buffer.lock().write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(logs: &Logs) -> Vec<&str> {
        logs.lines().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_put_together_and_streams_kept_apart() {
        let buffer = LogBuffer::new(1_000);
        buffer.lock().write(LogStream::Stdout, b"one");
        buffer.lock().write(LogStream::Stderr, b"err\r\n");
        buffer.lock().write(LogStream::Stdout, b" line\n\nlast \xff");
        let logs = buffer.take();
        assert_eq!(lines(&logs), ["err", "one line", "", "last \u{fffd}"]);
        assert_eq!(logs.dropped_bytes(), 0);
        assert_eq!(buffer.last_words().as_deref(), Some("err"));
    }

    #[test]
    fn what_is_beyond_the_bound_is_counted_and_forgotten() {
        let buffer = LogBuffer::new(10);
        buffer.lock().write(LogStream::Stderr, b"12345\n1234\nend\n");
        let logs = buffer.take();
        assert_eq!(lines(&logs), ["12345"]);
        assert_eq!(logs.dropped_bytes(), 9);
        assert_eq!(buffer.last_words().as_deref(), Some("end"), "heard all the same");
        let empty = LogBuffer::new(10);
        empty.lock().write(LogStream::Stdout, &[b'\n'; 1_000]);
        assert_eq!(empty.take().len(), 10);
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let buffer = LogBuffer::new(100_000);
        buffer.lock().write(LogStream::Stdout, &[b'x'; 40_000]);
        assert_eq!(buffer.take().lines().map(|line| line.text.len()).sum::<usize>(), 40_000);
        assert!(buffer.lock().open[0].capacity() <= 2 * LINE_BYTES_MAX);
    }

    #[test]
    fn a_panic_is_told_in_one_line() {
        let buffer = LogBuffer::new(0);
        let said = "\nthread 'main' (1) panicked at src/lib.rs:5:9:\nout of cheese\n\
                    note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        buffer.lock().write(LogStream::Stderr, said.as_bytes());
        let expected = "panicked at src/lib.rs:5:9: out of cheese";
        assert_eq!(buffer.last_words().as_deref(), Some(expected));
    }
}
