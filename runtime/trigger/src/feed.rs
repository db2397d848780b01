//! One partition of one trigger. Each event changes the state here and in `landing`; what follows from
//! the state is decided in `advance`, which sees no event.
use crate::{
    age::Ageing,
    batcher::Batcher,
    circuit::Circuit,
    counts::Counts,
    deliveries::Deliveries,
    delivery::{Bill, Delivery},
    failing::Failing,
    guard::Guard,
    ledger::Ledger,
    memo::{MemoError, Notes},
    pages::Pages,
    piece::Piece,
    seam::{Command, Commands, Event},
    spec::{OnFailure, TriggerSpec},
    stand::State,
    trouble::Trouble,
};
use log_contract::{Before, Memo, Offset, Progress, ReadPage, RecordBatch, Run, Timestamp};
use smallvec::{SmallVec, smallvec};

/// Decides what happens to the records of one partition, in which order, and when.
#[derive(Debug)]
pub struct Feed {
    pub(crate) spec: TriggerSpec,
    pub(crate) mode: Mode,
    pub(crate) width: usize,
    pub(crate) fetch: Fetch,
    /// Where reading goes on.
    pub(crate) cursor: Offset,
    /// Where the partition ended when it was read last.
    pub(crate) end: Offset,
    /// What was fetched before a rewind is not counted twice.
    seen: Offset,
    pub(crate) pages: Pages,
    pub(crate) batcher: Batcher,
    pub(crate) deliveries: Deliveries,
    pub(crate) failing: Failing,
    pub(crate) ageing: Ageing,
    pub(crate) circuit: Circuit,
    pub(crate) circuit_is_news: bool,
    pub(crate) guard: Guard,
    pub(crate) ledger: Ledger,
    pub(crate) trouble: Trouble,
    /// Attempts from before a rewind that have not landed. Until they have, nothing starts.
    pub(crate) strays: usize,
    pub(crate) timer: Option<Timestamp>,
    pub(crate) counts: Counts,
    /// As the last settlement had it, or the lease.
    pub(crate) memo: Memo,
    memo_error: Option<MemoError>,
    /// As it was after the last event, and since when.
    pub(crate) was: (State, Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Running,
    Draining,
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    Ready,
    InFlight,
    PausedUntil(Timestamp),
}

impl Feed {
    /// `progress`, `memo` and `before` come with the lease. A memo that cannot be read is as none: see
    /// [`Feed::memo_error`].
    #[must_use]
    pub fn new(
        spec: TriggerSpec,
        width: usize,
        progress: Progress,
        memo: &Memo,
        before: Before,
    ) -> Self {
        let spec = spec.nearest_valid();
        let (notes, memo_error) = match Notes::decode(memo) {
            Ok(notes) => (notes, None),
            Err(error) => (Notes::default(), Some(error)),
        };
        let next = progress.next();
        let open_records = spec.bounds.open_records;
        let own = notes.is_own_mark;
        Self {
            mode: Mode::Running,
            width,
            fetch: Fetch::Ready,
            cursor: next,
            end: progress.end(),
            seen: next,
            pages: Pages::default(),
            batcher: Batcher::new(spec.ordering, progress.clone()),
            deliveries: Deliveries::default(),
            failing: Failing::restore(&notes.failing),
            ageing: Ageing::new(spec.retry.record_age_max, notes.aged_from),
            circuit: Circuit::restore(notes.circuit_tries),
            circuit_is_news: false,
            guard: Guard::restore(notes.unclean, own, before, next, open_records),
            ledger: Ledger::new(progress, notes.lost),
            trouble: Trouble::default(),
            strays: 0,
            timer: None,
            counts: Counts::default(),
            memo: memo.clone(),
            memo_error,
            was: (State::Idle, Timestamp(0)),
            spec,
        }
    }

    /// What has happened changes the state; the answer is what to do.
    pub fn on_event(&mut self, now: Timestamp, event: Event) -> Commands {
        if self.mode == Mode::Stopped {
            return Commands::new();
        }
        match event {
            Event::Woke => (),
            Event::Fetched { from, page } if self.awaits(from) => self.on_page(now, &page),
            Event::FetchFailed { from } if self.awaits(from) => {
                self.fetch = Fetch::PausedUntil(self.pause_from(now));
            }
            Event::Trimmed { from, start } if self.awaits(from) => self.on_trimmed(now, start),
            // Of a fetch that a rewind gave up.
            Event::Fetched { .. } | Event::FetchFailed { .. } | Event::Trimmed { .. } => (),
            Event::Invoked { delivery, version, jitter, result } => {
                self.on_invoked(now, delivery, version, jitter, result);
            }
            Event::Settled => self.on_settled(),
            Event::SettleFailed(error) => self.on_settle_failed(now, error),
            Event::Width(width) => self.width = width,
            Event::Release => self.on_release(now),
            Event::Drain => self.mode = Mode::Draining,
            Event::LeaseLost => self.mode = Mode::Stopped,
        }
        let commands = match self.mode {
            Mode::Stopped => smallvec![Command::Stopped],
            Mode::Running | Mode::Draining => self.advance(now),
        };
        let state = self.state(now);
        if self.was.0 != state {
            self.was = (state, now);
        }
        commands
    }

    /// Cumulative since `new`.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The memo of the lease could not be read: attempt counts, circuit and guard began anew.
    #[must_use]
    pub fn memo_error(&self) -> Option<MemoError> {
        self.memo_error
    }

    pub(crate) fn pause_from(&self, now: Timestamp) -> Timestamp {
        now.after(self.spec.bounds.fault_pause)
    }

    fn awaits(&self, from: Offset) -> bool {
        self.fetch == Fetch::InFlight && self.cursor == from && self.mode == Mode::Running
    }

    fn on_page(&mut self, now: Timestamp, page: &ReadPage) {
        self.fetch = Fetch::Ready;
        assert!(self.cursor <= page.next, "reading never goes back");
        self.end = page.end.max(page.next);
        let mut batches = page.batches.iter().filter(|batch| !batch.is_empty()).peekable();
        if batches.peek().is_none() && self.cursor < page.next {
            self.skip(self.cursor..page.next, false);
        }
        while let Some(batch) = batches.next() {
            let next = batches.peek().map_or(page.next, |later| later.offset(0));
            assert!(self.cursor <= batch.offset(0), "a page begins where it was asked for");
            assert!(batch.offset(batch.len() - 1) < next, "a page ends after its records");
            self.guard.fetched(batch.len(), next);
            self.on_batch(now, batch, next);
            self.cursor = next;
            self.seen = self.seen.max(next);
        }
        self.cursor = page.next;
    }

    fn on_batch(&mut self, now: Timestamp, batch: &RecordBatch, next: Offset) {
        let stretch = self.cursor..next;
        let is_new = |at: usize| self.seen <= batch.offset(at);
        if !self.batcher.taken().touches(&stretch) {
            let old = batch.partition_point(0..batch.len(), is_new);
            self.counts.records_in += (batch.len() - old) as u64;
            self.pages.open(batch, stretch, batch.len());
            self.batcher.push(now, Run::new(batch.clone(), 0..batch.len()));
            return;
        }
        // An earlier life settled some of these.
        let is_open = |at: &usize| !self.batcher.taken().covers(batch.offset(*at));
        let open: Vec<usize> = (0..batch.len()).filter(is_open).collect();
        self.counts.records_in += open.iter().filter(|at| is_new(**at)).count() as u64;
        if !open.is_empty() {
            self.pages.open(batch, stretch.clone(), open.len());
        }
        let mut from = stretch.start;
        let mut open = open.into_iter().peekable();
        for at in 0..batch.len() {
            let to = if at + 1 < batch.len() { batch.offset(at + 1) } else { next };
            if open.next_if_eq(&at).is_some() {
                self.batcher.push(now, Run::new(batch.clone(), at..at + 1));
            } else {
                self.skip(from..to, false);
            }
            from = to;
        }
    }

    fn skip(&mut self, stretch: std::ops::Range<Offset>, is_lost: bool) {
        self.failing.skip(stretch.clone());
        self.batcher.skip(stretch.clone());
        self.ledger.skip(stretch, is_lost);
    }

    fn on_trimmed(&mut self, now: Timestamp, start: Offset) {
        if start <= self.cursor {
            // It was not, any more: ask again, but not at once.
            self.fetch = Fetch::PausedUntil(self.pause_from(now));
            return;
        }
        self.fetch = Fetch::Ready;
        self.skip(self.cursor..start, true);
        self.cursor = start;
        self.end = self.end.max(start);
    }

    /// The operator wants it to go on, whatever held it. What is held by choice gets new budgets.
    fn on_release(&mut self, now: Timestamp) {
        self.guard.release();
        if self.spec.on_failure == OnFailure::Hold {
            self.ageing.begin_anew(now);
            self.failing.pardon(&self.spec.retry);
            self.deliveries.release(now, self.ageing);
        }
        self.trouble.held_until = now.min(self.trouble.held_until);
        self.ledger.wait_until(now);
        if self.trouble.bug.take().is_some() {
            self.rewind();
        }
    }

    /// Until it is due. What needs no attempt any more is given up on the way.
    pub(crate) fn put_to_sleep(&mut self, now: Timestamp, mut delivery: Delivery) {
        self.bill(now, (0, 1_000), |bill| delivery.give_up(bill));
        if !delivery.is_done() {
            self.deliveries.sleep(delivery, self.ageing);
        }
    }

    /// Runs what may decide records, then writes down what it decided. `of`: the answer's version and
    /// jitter.
    pub(crate) fn bill(
        &mut self,
        now: Timestamp,
        of: (u32, u16),
        decide: impl FnOnce(&mut Bill<'_>),
    ) {
        let mut pieces = SmallVec::new();
        decide(&mut Bill {
            now,
            retry: &self.spec.retry,
            ageing: self.ageing,
            ordering: self.spec.ordering,
            holds: self.spec.on_failure == OnFailure::Hold,
            version: of.0,
            jitter: of.1,
            failing: &mut self.failing,
            counts: &mut self.counts,
            pieces: &mut pieces,
        });
        if let Some((_, others)) = pieces.split_last_mut() {
            others.iter_mut().for_each(|piece| piece.goes_on = true);
        }
        pieces.into_iter().for_each(|piece| self.decided(piece));
    }

    fn decided(&mut self, piece: Piece) {
        self.batcher.release(&piece.span);
        self.ledger.decide(piece);
    }

    /// Back to what is durable. Attempt counts stay.
    pub(crate) fn rewind(&mut self) {
        let durable = self.ledger.durable().clone();
        self.failing.is_news = true;
        self.strays += self.deliveries.flying();
        self.deliveries.clear();
        self.circuit = self.circuit.unproven(Timestamp(0), None);
        self.pages.clear();
        self.cursor = durable.next();
        self.batcher = Batcher::new(self.spec.ordering, durable.clone());
        self.ledger = Ledger::new(durable, self.ledger.lost());
        self.fetch = Fetch::Ready;
    }
}
