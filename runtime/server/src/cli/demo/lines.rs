//! A person's own lines, cut out of a file or a pipe into bodies for `text/plain` appends. Memory is
//! bounded by one batch and one line. Never the network, never a word to the person.
use std::io::{self, ErrorKind, Read};

use bytes::Bytes;

/// How much goes into one append, and how long a line may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLimits {
    pub(super) records_max: u64,
    /// Line ends included. A longer line goes alone.
    pub(super) bytes_max: usize,
    /// Of one line, without its end. What the log takes for one record.
    pub(super) line_max: usize,
}

/// Lines that travel together, each ended by `\n`; those that ended with `\r\n` still do, as the server
/// takes that off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LineBatch {
    pub(super) body: Bytes,
    pub(super) records: u64,
    /// Lines that no record can hold, left out of `body`.
    pub(super) too_long: Vec<TooLong>,
}

/// A line above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong {
    /// Counted from 1, as editors do.
    pub(super) line: u64,
    pub(super) bytes: u64,
}

/// Cuts lines: they end with `\n` or `\r\n`, the last one also without. An empty line is a line. Bytes
/// stay as they are, valid UTF-8 or not, save a byte order mark at the very start.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    limits: LineLimits,
    /// What was read at once, and the part of it that is not cut yet.
    chunk: Vec<u8>,
    start: usize,
    end: usize,
    /// The line that the chunk before began.
    begun: Vec<u8>,
    /// Bytes of a line above the limit that were dropped so far. `None`: not in such a line.
    dropped: Option<u64>,
    line: u64,
    /// The line in `begun` is whole, and the batch before it has no room for it.
    is_waiting: bool,
    is_ended: bool,
    body: Vec<u8>,
    records: u64,
    too_long: Vec<TooLong>,
}

impl<R: Read> Lines<R> {
    /// Read at once; also what a batch holds when lines come faster than they are sent.
    const CHUNK: usize = 256 << 10;

    pub(super) fn new(input: R, limits: LineLimits) -> Self {
        Self {
            input,
            limits,
            chunk: vec![0; Self::CHUNK],
            start: 0,
            end: 0,
            begun: Vec::new(),
            dropped: None,
            line: 1,
            is_waiting: false,
            is_ended: false,
            body: Vec::new(),
            records: 0,
            too_long: Vec::new(),
        }
    }

    /// The next lines: what one read gave, so that those of a slow pipe do not wait for more. `None`:
    /// there are no more.
    pub(super) fn next_batch(&mut self) -> io::Result<Option<LineBatch>> {
        loop {
            if std::mem::take(&mut self.is_waiting) {
                self.end_line();
            }
            while self.start < self.end {
                self.cut();
                if self.is_waiting || self.records >= self.limits.records_max {
                    return Ok(Some(self.batch()));
                }
            }
            if self.records > 0 || !self.too_long.is_empty() {
                return Ok(Some(self.batch()));
            }
            if self.is_ended {
                return Ok(None);
            }
            self.fill()?;
            if self.end == 0 {
                self.is_ended = true;
                if !self.begun.is_empty() || self.dropped.is_some() {
                    self.end_line();
                }
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.start = 0;
        self.end = loop {
            match self.input.read(&mut self.chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        Ok(())
    }

    /// Takes one line, or what the chunk has of it.
    fn cut(&mut self) {
        let rest = &self.chunk[self.start..self.end];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let part = &rest[..end.unwrap_or(rest.len())];
        self.start += part.len() + usize::from(end.is_some());
        if let Some(dropped) = &mut self.dropped {
            *dropped += part.len() as u64;
        } else if self.begun.len() + part.len() > self.limits.line_max + 1 {
            // One more than a line may have, as its last byte may be the `\r` of its end.
            self.dropped = Some((self.begun.len() + part.len()) as u64);
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(part);
        }
        if end.is_some() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        if self.line == 1 && self.begun.starts_with(b"\xEF\xBB\xBF") {
            self.begun.drain(..3);
        }
        let len = self.begun.len();
        let value = self.begun.strip_suffix(b"\r").unwrap_or(&self.begun).len();
        let too_long = (value > self.limits.line_max).then_some(value as u64);
        if let Some(bytes) = self.dropped.take().or(too_long) {
            self.too_long.push(TooLong { line: self.line, bytes });
        } else if self.records > 0 && self.body.len() + len >= self.limits.bytes_max {
            self.is_waiting = true;
            return;
        } else {
            self.body.extend_from_slice(&self.begun);
            self.body.push(b'\n');
            self.records += 1;
        }
        self.begun.clear();
        self.line += 1;
    }

    fn batch(&mut self) -> LineBatch {
        LineBatch {
            body: std::mem::take(&mut self.body).into(),
            records: std::mem::take(&mut self.records),
            too_long: std::mem::take(&mut self.too_long),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LineLimits = LineLimits { records_max: 1_000, bytes_max: 1 << 20, line_max: 100 };

    /// Gives a few bytes at a time, as a pipe does.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let len = self.0.len().min(self.1).min(into.len());
            into[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    /// What the server makes of the bodies, and what was left out.
    fn all(input: impl Read, limits: LineLimits) -> (Vec<Vec<u8>>, Vec<TooLong>) {
        let mut lines = Lines::new(input, limits);
        let (mut found, mut too_long) = (Vec::new(), Vec::new());
        while let Some(batch) = lines.next_batch().unwrap() {
            let cut = batch.body.split(|byte| *byte == b'\n');
            let cut = cut.map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec());
            let mut cut: Vec<Vec<u8>> = cut.collect();
            if batch.records > 0 {
                assert_eq!(cut.pop(), Some(Vec::new()), "each line is ended");
                assert_eq!(cut.len() as u64, batch.records);
                found.extend(cut);
            }
            too_long.extend(batch.too_long);
        }
        (found, too_long)
    }

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        let (found, too_long) = all(text, LIMITS);
        assert!(too_long.is_empty());
        for step in 1..5 {
            assert_eq!(all(Drip(text, step), LIMITS), (found.clone(), Vec::new()), "in {step}s");
        }
        found
    }

    #[test]
    fn every_line_counts_the_empty_one_and_the_last_one_too() {
        assert_eq!(lines(b""), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"\n"), [b""]);
        assert_eq!(lines(b"a\nb\n"), [b"a", b"b"]);
        assert_eq!(lines(b"a\nb"), [b"a", b"b"]);
        assert_eq!(lines(b"a\n\n\nb"), [&b"a"[..], b"", b"", b"b"]);
        assert_eq!(lines(b"a\n\n"), [&b"a"[..], b""]);
    }

    #[test]
    fn line_ends_of_windows_go_and_other_bytes_stay() {
        assert_eq!(lines(b"a\r\n\r\nb\r\n"), [&b"a"[..], b"", b"b"]);
        assert_eq!(lines(b"a\rb\r\r\n\r\n"), [&b"a\rb\r"[..], b""]);
        assert_eq!(lines(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb"), [&b"a"[..], b"\xEF\xBB\xBFb"]);
        assert_eq!(lines(b"\xFF\xFE\x00\n\x80"), [&b"\xFF\xFE\x00"[..], b"\x80"]);
    }

    #[test]
    fn a_line_above_the_limit_is_named_and_takes_no_other_along() {
        let exact = [b'x'; 100];
        let mut text = b"a\n".to_vec();
        text.extend([exact.as_slice(), b"y\n", &exact, b"\r\n", &exact, b"zz\r\nb\n"].concat());
        text.extend([&exact, exact.as_slice()].concat());
        for step in [1, 7, 101, 1_000] {
            let (found, too_long) = all(Drip(&text, step), LIMITS);
            assert_eq!(found, [&b"a"[..], &exact, b"b"], "in {step}s");
            let named: Vec<_> = too_long.iter().map(|one| (one.line, one.bytes / 100)).collect();
            assert_eq!(named, [(2, 1), (4, 1), (6, 2)], "in {step}s");
        }
    }

    #[test]
    fn a_batch_is_bounded_in_records_and_bytes() {
        let limits = LineLimits { records_max: 3, ..LIMITS };
        let mut lines = Lines::new(&b"1\n2\n3\n4\n"[..], limits);
        assert_eq!(lines.next_batch().unwrap().map(|batch| batch.records), Some(3));
        assert_eq!(lines.next_batch().unwrap().map(|batch| batch.records), Some(1));
        assert_eq!(lines.next_batch().unwrap(), None);
        let limits = LineLimits { bytes_max: 4, ..LIMITS };
        let mut lines = Lines::new(&b"1\n2\n4444\n\n666\n"[..], limits);
        for body in ["1\n2\n", "4444\n", "\n", "666\n"] {
            assert_eq!(lines.next_batch().unwrap().unwrap().body, body);
        }
        assert_eq!(lines.next_batch().unwrap(), None);
    }

    #[test]
    fn lines_of_a_slow_pipe_do_not_wait_for_more() {
        let mut lines = Lines::new(Drip(b"ab\ncd\nef", 4), LIMITS);
        let batch = lines.next_batch().unwrap().unwrap();
        assert_eq!((batch.body.as_ref(), batch.records), (&b"ab\n"[..], 1));
    }

    #[test]
    fn memory_does_not_grow_with_a_line_above_the_limit() {
        let mut lines = Lines::new(io::repeat(b'x').take(50 << 20), LIMITS);
        let batch = lines.next_batch().unwrap().unwrap();
        assert_eq!(batch.too_long, [TooLong { line: 1, bytes: 50 << 20 }]);
        assert!(lines.begun.capacity() < 1_000);
    }
}
