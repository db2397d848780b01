//! What a feed does next. Looks at the state alone: asked twice, it answers once.
use crate::{
    batcher::Take,
    circuit::Circuit,
    delivery::Delivery,
    feed::{Feed, Fetch, Mode},
    memo::Notes,
    seam::{Command, Commands, Condition, DeliveryId},
    spec::{OnFailure, Ordering},
};
use log_contract::{Span, Timestamp};

impl Feed {
    pub(crate) fn advance(&mut self, now: Timestamp) -> Commands {
        let mut commands = Commands::new();
        // Starting may decide records, deciding lets settle, and what cannot settle lets start.
        let mut before = None;
        while before != Some((commands.len(), self.ledger.stage())) {
            before = Some((commands.len(), self.ledger.stage()));
            if self.mode == Mode::Running {
                self.give_up_old(now);
                self.start(now, &mut commands);
            }
            self.settle(now, &mut commands);
        }
        if self.mode == Mode::Draining && self.is_drained() {
            self.mode = Mode::Stopped;
            commands.push(Command::Stopped);
            return commands;
        }
        self.fetch(now, &mut commands);
        let timer = self.wake_at(now);
        if self.timer != timer {
            self.timer = timer;
            commands.extend(timer.map(Command::WakeAt));
        }
        commands
    }

    /// No wait outlasts `record_age_max`, whatever else holds the feed up, save an
    /// operator's.
    fn give_up_old(&mut self, now: Timestamp) {
        while let Some(delivery) = self.deliveries.take_expired(now) {
            self.put_to_sleep(now, delivery);
        }
        let young_from = self.ageing.young_from(now);
        while self.batcher.expires_at(self.ageing).is_some_and(|at| at <= now) {
            let Some(span) = self.take(young_from, usize::MAX) else { break };
            let condition = Condition::RecordTooOld;
            if self.spec.on_failure == OnFailure::Hold {
                let held = Delivery::of_held(span, condition, &self.spec.retry);
                self.deliveries.sleep(held, self.ageing);
            } else {
                self.bill(now, (0, 1_000), |bill| bill.ended(span, condition));
            }
        }
    }

    fn start(&mut self, now: Timestamp, commands: &mut Commands) {
        while self.may_start(now) {
            if let Some(id) = self.deliveries.next_due(now) {
                if !self.guard.is_marked() {
                    return self.guard.want_mark();
                }
                commands.push(self.invoke(id));
                continue;
            }
            // One by one means that the guilty record is the one at `next`: nothing overtakes a retry.
            let is_held_up = self.guard.is_one_by_one() && self.deliveries.sleeping() > 0;
            if is_held_up || !self.batcher.is_ripe(now, &self.spec.batch) {
                return;
            }
            let Some(span) = self.take(Timestamp(u64::MAX), self.records_max()) else { return };
            self.counts.batches += 1;
            // What failed before a rewind still backs off.
            let not_before = self.failing.not_before(span.head()).max(now);
            self.put_to_sleep(now, Delivery::new(span, not_before, &self.spec.retry));
        }
    }

    fn may_start(&self, now: Timestamp) -> bool {
        let is_held = self.guard.is_held()
            || self.trouble.bug.is_some()
            || now < self.trouble.held_until
            || self.strays > 0;
        let width = if self.guard.is_one_by_one() { self.width.min(1) } else { self.width };
        let may_run_ahead = match self.guard.is_one_by_one() {
            true => self.ledger.is_idle(),
            // What waits for ranges waits for attempts: they must go on however much is unsettled.
            false => !self.ledger.is_full(&self.spec.bounds) || self.ledger.waits_for_ranges(),
        };
        !is_held
            && self.deliveries.flying() < width
            && may_run_ahead
            && self.circuit.lets_start(now)
    }

    fn records_max(&self) -> usize {
        match self.circuit {
            Circuit::Closed => self.spec.batch.records_max,
            Circuit::Open { .. } | Circuit::Probing { .. } => 1,
        }
    }

    fn take(&mut self, appended_before: Timestamp, records_max: usize) -> Option<Span> {
        let spec = &self.spec;
        self.batcher.take(&Take {
            pages: &self.pages,
            failing: &self.failing,
            alone_below: self.guard.alone_below(),
            ranges_max: spec.bounds.ranges,
            only_fills: self.ledger.waits_for_ranges(),
            records_max: records_max.min(spec.batch.records_max),
            bytes_max: spec.batch.bytes_max,
            appended_before,
        })
    }

    fn invoke(&mut self, id: DeliveryId) -> Command {
        let delivery = self.deliveries.fly(id);
        if let Circuit::Open { tries, .. } = self.circuit {
            delivery.narrow();
            self.circuit = Circuit::Probing { probe: id, tries };
        }
        let span = delivery.span().clone();
        let attempt = self.failing.failures(span.head()).saturating_add(1);
        if attempt > 1 {
            self.counts.records_retried += span.len() as u64;
        }
        let overlay = self.ledger.overlay(&span, self.spec.ordering);
        Command::Invoke { delivery: id, span, attempt, overlay }
    }

    fn settle(&mut self, now: Timestamp, commands: &mut Commands) {
        let ends_cleanly = self.mode == Mode::Draining && self.has_landed();
        if self.trouble.bug.is_some() {
            return;
        }
        let has_news = self.failing.is_news
            || self.circuit_is_news
            || self.guard.is_news()
            || (ends_cleanly && self.guard.needs_clean_end());
        let before = self.ledger.durable().next();
        let (bounds, on_failure) = (&self.spec.bounds, self.spec.on_failure);
        let Some(mut settle) = self.ledger.settle(now, &self.pages, bounds, on_failure, has_news)
        else {
            return;
        };
        let progress = &settle.settlement.progress[0];
        let (unclean, is_own_mark) = self.guard.memo(before < progress.next(), ends_cleanly);
        let notes = Notes {
            circuit_tries: self.circuit.tries(),
            unclean,
            is_own_mark,
            lost: self.ledger.lost_with_sent(),
            aged_from: self.ageing.from(),
            failing: self.failing.memo(progress, bounds.memo_entries),
        };
        settle.settlement.memo = notes.encode_as(&mut self.memo);
        self.failing.is_news = false;
        self.circuit_is_news = false;
        commands.push(Command::Settle(settle));
    }

    fn has_landed(&self) -> bool {
        self.deliveries.flying() == 0 && self.strays == 0
    }

    fn is_drained(&self) -> bool {
        let is_told = !self.failing.is_news && !self.guard.needs_clean_end();
        let has_settled = self.ledger.is_idle() && is_told;
        self.has_landed() && (has_settled || self.trouble.bug.is_some())
    }

    fn fetch(&mut self, now: Timestamp, commands: &mut Commands) {
        if let Fetch::PausedUntil(until) = self.fetch
            && until <= now
        {
            self.fetch = Fetch::Ready;
        }
        let bounds = self.spec.bounds;
        let is_tight = bounds.open_records < self.pages.records() + bounds.page_records
            || bounds.open_bytes < self.pages.bytes() + bounds.page_bytes;
        let has_keys = self.spec.ordering == Ordering::Key;
        let is_idle = self.deliveries.flying() == 0 && self.ledger.is_idle();
        if is_tight && has_keys && self.pages.is_worth_copying(&bounds, is_idle) {
            self.copy_survivors();
        }
        let records = bounds.open_records.saturating_sub(self.pages.records());
        let bytes = bounds.open_bytes.saturating_sub(self.pages.bytes());
        let has_room = records > 0 && bytes > 0 && self.mode == Mode::Running;
        if self.fetch == Fetch::Ready && has_room && !self.is_far_ahead() {
            self.fetch = Fetch::InFlight;
            let records_max = bounds.page_records.min(records);
            let bytes_max = bounds.page_bytes.min(bytes);
            commands.push(Command::Fetch { from: self.cursor, records_max, bytes_max });
        }
    }

    /// A page, and a batch, that nobody has looked at yet wait already. To fetch more would fill all the
    /// room that there is, and from then on each little that settles would be a fetch of its own.
    fn is_far_ahead(&self) -> bool {
        let (bounds, batch) = (&self.spec.bounds, &self.spec.batch);
        let (records, bytes) = self.batcher.fresh();
        bounds.page_records.max(batch.records_max) <= records
            || bounds.page_bytes.max(batch.bytes_max) <= bytes
    }

    /// One stuck record pins the buffer of its whole batch: what waits in such company is copied out.
    fn copy_survivors(&mut self) {
        let waiting = self.batcher.passed_over().chain(self.deliveries.waiting());
        let copied = self.pages.copy_survivors(waiting);
        if copied.len() > 0 {
            self.batcher.moved(&copied);
            self.deliveries.moved(&copied);
            self.counts.survivors_copied += copied.len() as u64;
        }
    }

    /// The first later instant at which the answer may differ. What could happen already is held up
    /// by something else, and that ends with an event or has an instant of its own.
    fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let fetch = match self.fetch {
            Fetch::PausedUntil(until) => Some(until),
            Fetch::Ready | Fetch::InFlight => None,
        };
        let circuit = match self.circuit {
            Circuit::Open { until, .. } => Some(until),
            Circuit::Closed | Circuit::Probing { .. } => None,
        };
        let expiry = self.batcher.expires_at(self.ageing);
        let deadline = self.batcher.deadline(&self.spec.batch);
        let others = [
            fetch,
            circuit,
            expiry,
            deadline,
            self.ledger.wake_at(),
            Some(self.trouble.held_until),
        ];
        let others = others.into_iter().flatten().filter(|at| now < *at);
        others.chain(self.deliveries.wake_at(now)).min()
    }
}
