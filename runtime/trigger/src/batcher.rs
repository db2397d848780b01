//! What waits to be handed out, in order; when a batch is ripe; which records it takes.
//!
//! `ordering: partition` takes runs and never looks at a record. `ordering: key` looks at each once.
use crate::{
    age::Ageing,
    failing::Failing,
    keys::Keys,
    pages::{Copied, Pages},
    spec::{BatchPolicy, Ordering},
};
use log_contract::{Offset, Progress, RecordBatch, Run, Span, Timestamp};
use std::{collections::VecDeque, ops::Range};

#[derive(Debug)]
pub(crate) struct Batcher {
    order: Order,
    /// Not looked at yet.
    fresh: VecDeque<Waiting>,
    fresh_records: usize,
    fresh_bytes: usize,
    /// What has been taken (or never was a record): settled, decided or in a delivery.
    taken: Progress,
    /// The last take found work and no range for it.
    lacks_ranges: bool,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) run: Run,
    pub(crate) since: Timestamp,
}

#[derive(Debug)]
enum Order {
    /// One key: busy while records of it are taken and not decided.
    Partition {
        out: usize,
    },
    Keys(Keys),
}

/// What one take may take.
#[derive(Debug)]
pub(crate) struct Take<'a> {
    pub(crate) pages: &'a Pages,
    /// A record with failures to its name goes alone: it is a span that a restart cut short.
    pub(crate) failing: &'a Failing,
    /// So does each record before this.
    pub(crate) alone_below: Offset,
    pub(crate) ranges_max: usize,
    /// A settlement waits for fewer ranges: take only what fills a gap.
    pub(crate) only_fills: bool,
    pub(crate) records_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) appended_before: Timestamp,
}

impl Take<'_> {
    /// At the bound nothing is taken that would leave one more range when it settles.
    fn has_range(&self, taken: &Progress, stretch: &Range<Offset>) -> bool {
        let may_split = taken.ahead().len() < self.ranges_max || !taken.splits(stretch);
        may_split && (!self.only_fills || taken.fills(stretch))
    }

    fn is_alone(&self, head: Offset) -> bool {
        head < self.alone_below
            || (self.failing.last().is_some_and(|last| head <= last)
                && self.failing.of(head).is_some())
    }
}

impl Batcher {
    pub(crate) fn new(ordering: Ordering, resume: Progress) -> Self {
        let order = match ordering {
            Ordering::Partition => Order::Partition { out: 0 },
            Ordering::Key => Order::Keys(Keys::default()),
        };
        let fresh = VecDeque::new();
        Self { order, fresh, fresh_records: 0, fresh_bytes: 0, taken: resume, lacks_ranges: false }
    }

    pub(crate) fn ordering(&self) -> Ordering {
        match self.order {
            Order::Partition { .. } => Ordering::Partition,
            Order::Keys(_) => Ordering::Key,
        }
    }

    pub(crate) fn taken(&self) -> &Progress {
        &self.taken
    }

    /// Records that nobody has looked at yet, and their bytes.
    pub(crate) fn fresh(&self) -> (usize, usize) {
        (self.fresh_records, self.fresh_bytes)
    }

    /// Nothing waits here that was fetched.
    pub(crate) fn is_empty(&self) -> bool {
        let waits = match &self.order {
            Order::Partition { .. } => false,
            Order::Keys(keys) => keys.ready_records() > 0,
        };
        self.fresh.is_empty() && !waits
    }

    /// The whole partition is one key, and it is taken.
    pub(crate) fn is_held_up(&self) -> bool {
        matches!(self.order, Order::Partition { out } if out > 0)
    }

    /// Too many gaps: work is there, but taking it would make one range too many.
    pub(crate) fn lacks_ranges(&self) -> bool {
        self.lacks_ranges
    }

    /// Records that wait behind their keys, as opposed to those nobody has looked at yet.
    pub(crate) fn passed_over(&self) -> impl Iterator<Item = (&RecordBatch, usize)> {
        let keys = match &self.order {
            Order::Partition { .. } => None,
            Order::Keys(keys) => Some(keys),
        };
        let waiting = keys.into_iter().flat_map(Keys::waiting);
        waiting.map(|waiting| (waiting.run.batch(), waiting.run.range().start))
    }

    pub(crate) fn moved(&mut self, copied: &Copied) {
        let Order::Keys(keys) = &mut self.order else { return };
        for waiting in keys.waiting_mut() {
            let (batch, at) = (waiting.run.batch(), waiting.run.range().start);
            if let Some((batch, at)) = copied.place(batch, at) {
                waiting.run = Run::new(batch.clone(), at..at + 1);
            }
        }
    }

    pub(crate) fn push(&mut self, since: Timestamp, run: Run) {
        self.fresh_records += run.len();
        self.fresh_bytes += run.bytes();
        self.fresh.push_back(Waiting { run, since });
    }

    /// No record lies in there, or retention took it, or an earlier life settled it.
    pub(crate) fn skip(&mut self, stretch: Range<Offset>) {
        self.taken.add(stretch);
    }

    /// All of it is decided: its keys are free again.
    pub(crate) fn release(&mut self, span: &Span) {
        match &mut self.order {
            Order::Partition { out } => *out -= span.len(),
            Order::Keys(keys) => keys.release_all(span),
        }
    }

    /// A batch is ripe when it is full, or when its oldest record has waited long enough. Fresh
    /// records whose key turns out busy count too, so one may leave less full than it seemed.
    pub(crate) fn is_ripe(&self, now: Timestamp, policy: &BatchPolicy) -> bool {
        let Some(oldest) = self.oldest() else { return false };
        let ready = match &self.order {
            Order::Partition { .. } => 0,
            Order::Keys(keys) => keys.ready_records(),
        };
        self.fresh_records + ready >= policy.records_max
            || self.fresh_bytes >= policy.bytes_max
            || oldest.since.after(policy.wait) <= now
    }

    pub(crate) fn deadline(&self, policy: &BatchPolicy) -> Option<Timestamp> {
        Some(self.oldest()?.since.after(policy.wait))
    }

    /// When the oldest record that nothing holds up grows too old.
    pub(crate) fn expires_at(&self, ageing: Ageing) -> Option<Timestamp> {
        let run = &self.oldest()?.run;
        ageing.expires_at(run.batch().appended_at(run.range().start))
    }

    fn oldest(&self) -> Option<&Waiting> {
        match &self.order {
            Order::Partition { out } if *out > 0 => None,
            Order::Partition { .. } => self.fresh.front(),
            Order::Keys(keys) => keys.oldest().or_else(|| self.fresh.front()),
        }
    }

    pub(crate) fn take(&mut self, how: &Take<'_>) -> Option<Span> {
        self.lacks_ranges = false;
        let span = match &self.order {
            Order::Partition { out } if *out > 0 => return None,
            Order::Partition { .. } => self.take_runs(how),
            Order::Keys(_) => self.take_keys(how),
        };
        self.lacks_ranges &= span.is_empty();
        (!span.is_empty()).then_some(span)
    }

    fn take_runs(&mut self, how: &Take<'_>) -> Span {
        let mut span = Span::default();
        let mut bytes_left = how.bytes_max;
        while let Some(Waiting { run, .. }) = self.fresh.front_mut() {
            let (batch, whole) = (run.batch(), run.range());
            let start = whole.start;
            let mut end = whole.end.min(start + how.records_max - span.len());
            if how.is_alone(run.head()) {
                end = if span.is_empty() { start + 1 } else { start };
            } else if let Some(head) = how.failing.next_from(run.head()) {
                end = batch.partition_point(start..end, |at| batch.offset(at) >= head);
            }
            let is_young = |at| batch.appended_at(at) >= how.appended_before;
            end = batch.partition_point(start..end, is_young);
            let fits =
                batch.partition_point(start..end, |at| batch.bytes(start..at + 1) > bytes_left);
            // A record that is larger than a batch may be goes alone.
            end = if span.is_empty() && start < end { fits.max(start + 1) } else { fits };
            if start == end {
                break;
            }
            let stretch = how.pages.stretch(batch, start..end);
            if !how.has_range(&self.taken, &stretch) {
                self.lacks_ranges = true;
                break;
            }
            bytes_left = bytes_left.saturating_sub(batch.bytes(start..end));
            self.taken.add(stretch);
            let was_alone = how.is_alone(run.head());
            let front = run.cut(end - start);
            let is_whole = run.is_empty();
            self.fresh_records -= front.len();
            self.fresh_bytes -= front.bytes();
            span.push(front);
            if is_whole {
                self.fresh.pop_front();
            }
            if !is_whole || was_alone || span.len() == how.records_max {
                break;
            }
        }
        self.order = Order::Partition { out: span.len() };
        span
    }

    fn take_keys(&mut self, how: &Take<'_>) -> Span {
        let Order::Keys(keys) = &mut self.order else { unreachable!("asked with keys") };
        let mut span = Span::default();
        keys.begin();
        let mut room = Room { bytes: how.bytes_max, is_open: true };
        // What was passed over before is older than everything fresh.
        while span.len() < how.records_max
            && let Some((slot, Waiting { run, .. })) = keys.next()
        {
            let stretch = how.pages.stretch(run.batch(), run.range());
            let has_range = how.has_range(&self.taken, &stretch);
            self.lacks_ranges = !has_range;
            if !has_range || !room.fits(how, span.is_empty(), run.batch(), run.range().start) {
                return span;
            }
            self.taken.add(stretch);
            span.push(keys.take_next(slot).run);
        }
        while span.len() < how.records_max
            && let Some(Waiting { run, since }) = self.fresh.front_mut()
        {
            let (batch, at) = (run.batch(), run.range().start);
            let (key, bytes) = (batch.key_hash(at), batch.bytes(at..at + 1));
            if let Err(slot) = key.map_or(Ok(()), |key| keys.try_take(key)) {
                keys.defer(slot, Waiting { run: run.cut(1), since: *since });
            } else {
                let stretch = how.pages.stretch(batch, at..at + 1);
                let has_range = how.has_range(&self.taken, &stretch);
                self.lacks_ranges = !has_range;
                if !has_range || !room.fits(how, span.is_empty(), batch, at) {
                    key.into_iter().for_each(|key| keys.release(key));
                    return span;
                }
                self.taken.add(stretch);
                span.push_one(batch, at);
                run.skip(1);
            }
            self.fresh_records -= 1;
            self.fresh_bytes -= bytes;
            if run.is_empty() {
                self.fresh.pop_front();
            }
        }
        span
    }
}

/// What still fits into the span that is being taken.
#[derive(Debug)]
struct Room {
    bytes: usize,
    /// False once a record that goes alone is in.
    is_open: bool,
}

impl Room {
    fn fits(&mut self, how: &Take<'_>, is_first: bool, batch: &RecordBatch, at: usize) -> bool {
        let bytes = batch.bytes(at..at + 1);
        let is_alone = how.is_alone(batch.offset(at));
        // A record that is larger than a batch may be goes alone.
        let fits = is_first || (self.is_open && !is_alone && bytes <= self.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.is_open = !is_alone;
        fits && batch.appended_at(at) < how.appended_before
    }
}
