//! The newest log lines of each function, in memory. Never a record's bytes, never a file.
use dashmap::DashMap;
use log_contract::{FunctionName, Timestamp, TriggerName};
use sandbox::{LogStream, Logs};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::broadcast;

/// One line that a function wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub at: Timestamp,
    /// `info` for stdout, `error` for stderr, `warn` for what the host adds.
    pub level: &'static str,
    pub version: u32,
    /// `None`: invoked by hand.
    pub trigger: Option<TriggerName>,
    pub invocation: Arc<str>,
    pub message: String,
}

/// A ring per function. Goes with its function.
#[derive(Debug)]
pub struct FunctionLogs {
    lines_max: usize,
    rings: DashMap<FunctionName, Ring>,
}

#[derive(Debug)]
struct Ring {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
    followers: broadcast::Sender<Arc<Line>>,
}

/// Whose lines are kept.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) function: &'a FunctionName,
    pub(crate) version: u32,
    pub(crate) trigger: Option<&'a TriggerName>,
    pub(crate) invocation: &'a Arc<str>,
}

const FOLLOWER_BACKLOG: usize = 1_024;
/// Of one function, beside the number of lines.
const BYTES_MAX: usize = 1 << 20;

impl FunctionLogs {
    #[must_use]
    pub fn new(lines_max: usize) -> Self {
        Self { lines_max, rings: DashMap::new() }
    }

    /// The newest lines of a function, oldest first.
    #[must_use]
    pub fn newest(&self, function: &FunctionName, limit: usize) -> Vec<Arc<Line>> {
        let Some(ring) = self.rings.get(function) else { return Vec::new() };
        let skipped = ring.lines.len().saturating_sub(limit);
        ring.lines.iter().skip(skipped).cloned().collect()
    }

    /// Lines from now on.
    #[must_use]
    pub fn follow(&self, function: &FunctionName) -> broadcast::Receiver<Arc<Line>> {
        let ring = self.rings.entry(function.clone()).or_insert_with(Ring::new);
        ring.followers.subscribe()
    }

    pub(crate) fn keep(&self, at: Timestamp, origin: &Origin<'_>, logs: &Logs) {
        if logs.is_empty() && logs.dropped_bytes() == 0 {
            return;
        }
        let line = |level, message| {
            Arc::new(Line {
                at,
                level,
                version: origin.version,
                trigger: origin.trigger.cloned(),
                invocation: Arc::clone(origin.invocation),
                message,
            })
        };
        let mut ring = self.rings.entry(origin.function.clone()).or_insert_with(Ring::new);
        for written in logs.lines() {
            let level = match written.stream {
                LogStream::Stdout => "info",
                LogStream::Stderr => "error",
            };
            ring.push(line(level, written.text.to_owned()), self.lines_max);
        }
        let dropped = logs.dropped_bytes();
        if dropped > 0 {
            let message = format!("{dropped} bytes of log above the limit were dropped");
            ring.push(line("warn", message), self.lines_max);
        }
    }

    /// Forgets functions that are no more.
    pub(crate) fn keep_only(&self, exists: impl Fn(&FunctionName) -> bool) {
        self.rings.retain(|function, _| exists(function));
    }
}

impl Ring {
    fn new() -> Self {
        let followers = broadcast::Sender::new(FOLLOWER_BACKLOG);
        Self { lines: VecDeque::new(), bytes: 0, followers }
    }

    fn push(&mut self, line: Arc<Line>, lines_max: usize) {
        self.bytes += line.message.len();
        self.lines.push_back(Arc::clone(&line));
        while self.lines.len() > lines_max || (self.bytes > BYTES_MAX && self.lines.len() > 1) {
            let gone = self.lines.pop_front().map_or(0, |gone| gone.message.len());
            self.bytes -= gone;
        }
        // Nobody follows: nobody misses it.
        drop(self.followers.send(line));
    }
}
