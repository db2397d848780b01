//! How often what begins with a record has failed. One table for the whole feed, as it is what
//! the memo carries: a restart goes on counting where the last incarnation stopped. The words of the
//! last failure live as long as the process.
use crate::{seam::LastError, spec::RetryPolicy};
use log_contract::{Offset, Progress, Span, Timestamp};
use std::{collections::BTreeMap, ops::Range};

/// What is known of a failing head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Billed so far.
    pub(crate) failures: u32,
    /// When it first failed.
    pub(crate) since: Timestamp,
    /// The function said that another attempt is pointless, and an operator shall look.
    pub(crate) is_final: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Failing {
    by_head: BTreeMap<Offset, Entry>,
    /// Not in the log's memo yet.
    pub(crate) is_news: bool,
}

/// What lives as long as the process besides.
#[derive(Debug)]
struct Entry {
    failure: Failure,
    error: Option<LastError>,
    /// When it may be tried again, also after a rewind.
    not_before: Timestamp,
}

/// How long what failed waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause<'a> {
    pub(crate) retry: &'a RetryPolicy,
    pub(crate) jitter: u16,
}

impl Failing {
    pub(crate) fn restore(memo: &[(Offset, Failure)]) -> Self {
        let entry = |failure: Failure| Entry { failure, error: None, not_before: Timestamp(0) };
        let by_head = memo.iter().map(|(head, failure)| (*head, entry(*failure))).collect();
        Self { by_head, is_news: false }
    }

    /// The oldest of those that `progress` leaves open.
    pub(crate) fn memo(&self, progress: &Progress, entries_max: usize) -> Vec<(Offset, Failure)> {
        let open = self.by_head.iter().filter(|(head, _)| !progress.covers(**head));
        open.take(entries_max).map(|(head, entry)| (*head, entry.failure)).collect()
    }

    pub(crate) fn of(&self, head: Offset) -> Option<Failure> {
        self.by_head.get(&head).map(|entry| entry.failure)
    }

    pub(crate) fn error(&self, head: Offset) -> Option<&LastError> {
        self.by_head.get(&head)?.error.as_ref()
    }

    pub(crate) fn not_before(&self, head: Offset) -> Timestamp {
        self.by_head.get(&head).map_or(Timestamp(0), |entry| entry.not_before)
    }

    pub(crate) fn failures(&self, head: Offset) -> u32 {
        self.of(head).map_or(0, |failure| failure.failures)
    }

    /// Counts one more and says when it may be tried again.
    pub(crate) fn bill(
        &mut self,
        now: Timestamp,
        head: Offset,
        error: LastError,
        pause: Pause<'_>,
    ) -> Timestamp {
        let none = Failure { failures: 0, since: now, is_final: false };
        let first = || Entry { failure: none, error: None, not_before: now };
        let entry = self.by_head.entry(head).or_insert_with(first);
        let failures = entry.failure.failures.saturating_add(1);
        entry.failure.failures = failures;
        entry.error = Some(error);
        entry.not_before = match pause.retry.is_exhausted(failures) {
            true => now,
            false => now.after(pause.retry.backoff(failures, pause.jitter)),
        };
        self.is_news = true;
        entry.not_before
    }

    /// Another attempt is pointless until an operator says otherwise, also after a restart.
    pub(crate) fn finish(&mut self, head: Offset) {
        if let Some(entry) = self.by_head.get_mut(&head) {
            entry.failure.is_final = true;
        }
    }

    /// What begins with this record is another span now, with a budget of its own.
    pub(crate) fn forgive(&mut self, head: Offset) {
        self.by_head.remove(&head);
    }

    /// An operator gives new budgets to what has none left: that must survive a restart.
    pub(crate) fn pardon(&mut self, retry: &RetryPolicy) {
        let is_over = |failure: &Failure| failure.is_final || retry.is_exhausted(failure.failures);
        self.by_head.retain(|_, entry| !is_over(&entry.failure));
        self.is_news = true;
    }

    /// These are settled.
    pub(crate) fn forget(&mut self, span: &Span) {
        while let Some((head, _)) = self.by_head.range(span.head()..=span.last()).next() {
            // A scattered span may straddle others' records: then look one by one.
            let head = *head;
            if span.runs().len() == 1 {
                self.by_head.remove(&head);
            } else {
                for record in span.records() {
                    self.by_head.remove(&record.offset);
                }
                return;
            }
        }
    }

    /// Retention took these.
    pub(crate) fn skip(&mut self, stretch: Range<Offset>) {
        if self.last().is_some_and(|last| stretch.start <= last) {
            self.by_head.retain(|head, _| !stretch.contains(head));
        }
    }

    /// The first failing head in `from..`: what lies there goes alone.
    pub(crate) fn next_from(&self, from: Offset) -> Option<Offset> {
        self.by_head.range(from..).next().map(|(head, _)| *head)
    }

    pub(crate) fn last(&self) -> Option<Offset> {
        self.by_head.last_key_value().map(|(head, _)| *head)
    }
}
