//! What a guest wrote to stdout and stderr: lines in one buffer, bounded. Never a stream, a file or the
//! host's own log.
use std::fmt;

/// Lines of one invocation, in the order in which they were ended.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Logs {
    text: String,
    /// Where each line ends in `text`.
    lines: Vec<(LogStream, u32)>,
    /// Bytes that did not fit and are lost.
    dropped_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogStream {
    Stdout,
    Stderr,
}

/// A line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    pub stream: LogStream,
    pub text: &'a str,
}

impl Logs {
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn lines(&self) -> impl ExactSizeIterator<Item = LogLine<'_>> {
        let mut start = 0;
        self.lines.iter().map(move |&(stream, end)| {
            let text = &self.text[start..end as usize];
            start = end as usize;
            LogLine { stream, text }
        })
    }

    /// Bytes of text beyond the bound, which were forgotten.
    #[must_use]
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// Text, and one for each line's end.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + self.lines.len()
    }

    pub(crate) fn push(&mut self, stream: LogStream, line: &str) {
        self.text.push_str(line);
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.lines.push((stream, end));
    }

    pub(crate) fn drop_bytes(&mut self, bytes: u64) {
        self.dropped_bytes += bytes;
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}
