//! Drives the feed of one partition: one loop that hands events in and performs what comes out. Never a
//! decision about a record: those are the feed's.
use super::{
    context::Context,
    effects::{Done, Effect, Hands, LeaseState, place_of},
    endings::Endings,
    events::Kind,
    permits::{Bytes as HeldBytes, Purses},
    plan::{Mode, Orders, Park, Plan},
    running::{FeedHandle, Move, RunningTrigger, Word},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use log_contract::{
    Before, Lease, Memo, Offset, PartitionRef, Progress, ReadBudget, SettleError, Settlement,
    Timestamp,
};
use std::{future::pending, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;
use trigger::{Command, Commands, Counts, Event, Feed};

/// The one task that has a lease.
#[derive(Debug)]
pub(super) struct FeedDriver {
    context: Arc<Context>,
    running: Arc<RunningTrigger>,
    handle: Arc<FeedHandle>,
    lease: Arc<Lease>,
    place: PartitionRef,
    orders: watch::Receiver<Orders>,
    width: watch::Receiver<usize>,
    words: mpsc::Receiver<Box<Word>>,
    /// What a feed that begins now begins with.
    progress: Progress,
    memo: Memo,
    before: Before,
    /// Operators' moves that wait for the feed to come to rest.
    moves: Vec<(Move, oneshot::Sender<Result<(), String>>)>,
    /// A word that came while there was no feed.
    is_released: bool,
}

/// Why a driver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// As it was told to: the lease is given back.
    Left,
    /// The lease was not current any more.
    LeaseVoid,
    /// A bug of ours.
    Panicked,
}

/// A feed between its start and its stop.
struct Life {
    feed: Feed,
    hands: Arc<Hands>,
    /// At most one: a later one replaces it.
    fetch: Option<BoxFuture<'static, Done>>,
    timer: Option<(Timestamp, Pin<Box<Sleep>>)>,
    held: HeldBytes,
    counted: Counts,
    state: trigger::State,
    is_draining: bool,
    /// To be told when it is durable.
    endings: Endings,
    /// A feed that rests from its first moment has no other time to tell.
    began: Timestamp,
}

/// What wakes the loop.
enum Wake {
    Event(Event),
    Done(Done),
    Word(Word),
    /// Something asks for the feed's end; what, is looked at after it.
    Drain,
    /// Nothing for the feed.
    Nothing,
}

impl FeedDriver {
    pub(super) fn new(
        context: Arc<Context>,
        running: Arc<RunningTrigger>,
        handle: Arc<FeedHandle>,
        words: mpsc::Receiver<Box<Word>>,
        lease: Arc<Lease>,
        start: Progress,
    ) -> Option<Self> {
        let place = place_of(&lease)?;
        let (orders, width) = (running.follow_orders(), handle.width.subscribe());
        let (memo, before) = (lease.memo.clone(), lease.before);
        let (moves, is_released) = (Vec::new(), false);
        Some(Self {
            context,
            running,
            handle,
            lease,
            place,
            orders,
            width,
            words,
            progress: start,
            memo,
            before,
            moves,
            is_released,
        })
    }

    /// Until it is told to leave, or the lease is gone. A panic in here is caught by whoever runs it.
    pub(super) async fn run(mut self) -> Ended {
        loop {
            if self.is_leaving() {
                return Ended::Left;
            }
            let orders = self.orders.borrow_and_update().clone();
            match &orders.mode {
                Mode::Park(park) => {
                    if self.parked(park, orders.revision).await == Ended::LeaseVoid {
                        return Ended::LeaseVoid;
                    }
                }
                Mode::Run => {
                    let ended = self.live(&orders).await;
                    if ended == Ended::LeaseVoid {
                        return Ended::LeaseVoid;
                    }
                }
            }
            if self.make_moves().await == Ended::LeaseVoid {
                return Ended::LeaseVoid;
            }
        }
    }

    fn is_leaving(&self) -> bool {
        self.handle.leave.is_cancelled()
            || self.running.ending.is_cancelled()
            || self.context.let_go.is_cancelled()
    }

    /// There is no feed, and nothing is invoked: until other orders, a move, or the end.
    async fn parked(&mut self, park: &Park, revision: u64) -> Ended {
        let (state, reason) = park.shown();
        self.post_place().await;
        self.handle.cell.parked(state, reason, self.context.now());
        self.handle.obeyed.send_replace(revision);
        tokio::select! {
            () = self.handle.lost.cancelled() => return Ended::LeaseVoid,
            () = self.handle.leave.cancelled() => (),
            () = self.running.ending.cancelled() => (),
            () = self.context.let_go.cancelled() => (),
            // The trigger holds the sender and outlives its feeds.
            _ = self.orders.changed() => (),
            Some(word) = self.words.recv() => match *word {
                Word::Release => self.is_released = true,
                Word::Move { to, reply } => self.moves.push((to, reply)),
            },
        }
        Ended::Left
    }

    /// The life of one feed.
    async fn live(&mut self, orders: &Orders) -> Ended {
        let mut life = self.begin(&orders.plan);
        // Apart from the life, as their type has no name; boxed they would be an allocation more each. Even an
        // empty set of them takes the room of one, some 6 KB: a feed that rests has none.
        let mut effects = None;
        let mut obeyed = Some(orders.revision);
        if let Some(error) = life.feed.memo_error() {
            tracing::error!(%error, "what the last feed noted is unreadable: attempts count anew");
        }
        let mut wake = Wake::Event(Event::Woke);
        let mut first = self.is_released.then_some(Wake::Event(Event::Release));
        self.is_released = false;
        loop {
            let event = match wake {
                Wake::Event(event) => Some(event),
                Wake::Done(done) => self.absorb(&mut life, done),
                Wake::Word(Word::Release) => Some(Event::Release),
                Wake::Word(Word::Move { to, reply }) => {
                    self.moves.push((to, reply));
                    life.drain()
                }
                Wake::Drain => life.drain(),
                Wake::Nothing => None,
            };
            if let Some(event) = event {
                let is_void =
                    matches!(event, Event::LeaseLost | Event::SettleFailed(SettleError::LeaseVoid));
                if matches!(event, Event::Settled) {
                    let (endings, partition) =
                        (std::mem::take(&mut life.endings), self.place.partition);
                    endings.tell(&self.context, &self.running.name, partition);
                }
                let now = self.context.now();
                let commands = life.feed.on_event(now, event);
                self.observe(&mut life, now, &commands);
                if let Some(revision) = obeyed.take() {
                    self.handle.obeyed.send_replace(revision);
                }
                let begin = |hands: Arc<Hands>, effect| {
                    effects.get_or_insert_with(FuturesUnordered::new).push(hands.perform(effect));
                };
                if life.perform(now, commands, begin) {
                    let is_void = is_void || self.handle.lost.is_cancelled();
                    return if is_void { Ended::LeaseVoid } else { Ended::Left };
                }
            }
            wake = match first.take() {
                Some(first) => first,
                None => {
                    let is_at_rest = life.state == trigger::State::Idle;
                    effects = effects.filter(|effects| !(is_at_rest && effects.is_empty()));
                    self.wait(&mut life, &mut effects, orders.plan.fingerprint).await
                }
            };
            if self.context.let_go.is_cancelled() {
                return Ended::Left;
            }
        }
    }

    fn begin(&self, plan: &Arc<Plan>) -> Life {
        let width = *self.width.borrow();
        let feed = Feed::new(plan.spec, width, self.progress.clone(), &self.memo, self.before);
        let hands = Arc::new(Hands {
            context: Arc::clone(&self.context),
            running: Arc::clone(&self.running),
            plan: Arc::clone(plan),
            lease: Arc::clone(&self.lease),
            place: self.place,
            cell: Arc::clone(&self.handle.cell),
            purses: Purses { feed: Arc::default(), trigger: Arc::clone(&self.running.purse) },
            trigger: self.running.name.as_str().into(),
            state: LeaseState::new(&self.context, &self.lease),
            draining: CancellationToken::new(),
        });
        Life {
            feed,
            hands,
            fetch: None,
            timer: None,
            held: HeldBytes::default(),
            counted: Counts::default(),
            state: trigger::State::Idle,
            is_draining: false,
            endings: Endings::default(),
            began: self.context.now(),
        }
    }

    /// The next thing that happens.
    async fn wait(
        &mut self,
        life: &mut Life,
        effects: &mut Option<FuturesUnordered<impl Future<Output = Done>>>,
        plan: u64,
    ) -> Wake {
        let Life { fetch, timer, is_draining, .. } = life;
        let may_drain = !*is_draining;
        tokio::select! {
            () = self.handle.lost.cancelled() => Wake::Event(Event::LeaseLost),
            () = self.context.let_go.cancelled() => Wake::Nothing,
            Some(done) = async {
                match effects {
                    Some(effects) => effects.next().await,
                    None => None,
                }
            } => Wake::Done(done),
            done = async {
                match fetch {
                    Some(fetch) => fetch.await,
                    None => pending().await,
                }
            } => {
                *fetch = None;
                Wake::Done(done)
            },
            at = async {
                match timer {
                    Some((at, sleep)) => {
                        sleep.as_mut().await;
                        *at
                    }
                    None => pending().await,
                }
            } => {
                let early = at.since(self.context.now());
                *timer = (!early.is_zero()).then(|| (at, Box::pin(sleep(early))));
                if timer.is_none() { Wake::Event(Event::Woke) } else { Wake::Nothing }
            },
            Ok(()) = self.width.changed() => {
                Wake::Event(Event::Width(*self.width.borrow_and_update()))
            },
            Some(word) = self.words.recv() => Wake::Word(*word),
            () = self.handle.leave.cancelled(), if may_drain => Wake::Drain,
            () = self.running.ending.cancelled(), if may_drain => Wake::Drain,
            Ok(()) = self.orders.changed(), if may_drain => {
                let orders = self.orders.borrow_and_update();
                if orders.mode == Mode::Run && orders.plan.fingerprint == plan {
                    // Another version or limit: the next invocation takes it.
                    self.handle.obeyed.send_replace(orders.revision);
                    Wake::Nothing
                } else {
                    Wake::Drain
                }
            },
        }
    }

    /// Keeps what an effect brought beside its event.
    fn absorb(&mut self, life: &mut Life, done: Done) -> Option<Event> {
        match done {
            Done::Fetched { event, held, fault } => {
                if let Some(why) = &fault {
                    tracing::warn!(%why, "reading the source failed");
                }
                self.handle.cell.set_fetch_fault(fault);
                life.held.add(held);
                Some(event)
            }
            Done::Invoked(event) => Some(event),
            Done::Settled { event, durable } => {
                if let Some((progress, memo)) = durable {
                    let ahead = progress.ahead().iter().map(|range| range.end.0 - range.start.0);
                    self.handle.cell.set_ahead(ahead.sum());
                    (self.progress, self.memo, self.before) = (progress, memo, Before::HandedOver);
                }
                Some(event)
            }
        }
    }

    /// All that is told of a feed: status, figures, log lines.
    fn observe(&self, life: &mut Life, now: Timestamp, commands: &[Command]) {
        let mut stand = life.feed.stand(now);
        stand.since = stand.since.max(life.began);
        life.held.shrink_to(stand.open_bytes);
        let counts = life.feed.counts();
        if counts != life.counted {
            self.running.figures.add(&life.counted, &counts);
            self.weigh(&life.counted, &counts);
            if counts.records_lost > life.counted.records_lost {
                let lost = counts.records_lost - life.counted.records_lost;
                tracing::warn!(lost, "retention took records before they were read");
                self.tell(Kind::Lost, format!("retention took {lost} records unread"));
            }
            life.counted = counts;
        }
        for command in commands {
            if let Command::Settle(settle) = command {
                // One that is sent again replaces itself.
                life.endings = Endings::of(settle);
            }
        }
        if stand.state != life.state {
            life.state = stand.state;
            let reason = stand.reason.as_ref().map(ToString::to_string).unwrap_or_default();
            let state = stand.state.name();
            match stand.state {
                trigger::State::Held => tracing::error!(reason, "the feed is held"),
                trigger::State::OneByOne | trigger::State::CircuitOpen => {
                    tracing::warn!(state, reason, "the feed goes slowly");
                }
                _ => tracing::debug!(state, reason, "the feed's state"),
            }
            if is_worth_a_line(stand.state) {
                self.tell(Kind::StateChanged, format!("{state}: {reason}"));
            }
        }
        self.running.stir();
        self.handle.cell.live(stand, now);
    }

    /// Tells the one that may halt the trigger.
    fn weigh(&self, before: &Counts, now: &Counts) {
        let mut halt = self.running.halt.lock().expect("nothing panics while it is held");
        halt.observe(before, now);
        let halted = halt.halted();
        drop(halt);
        if let Some(halted) = halted {
            self.running.ask_to_halt(halted.to_string().into());
        }
    }

    fn tell(&self, kind: Kind, message: String) {
        self.context.tell(kind, &self.running.name, Some(self.place.partition), message);
    }

    /// Moves the position, now that nothing is out.
    async fn make_moves(&mut self) -> Ended {
        for (to, reply) in std::mem::take(&mut self.moves) {
            let (progress, memo, rewind) = match to {
                Move::To(offset) => (Progress::at(offset), Memo::default(), true),
                Move::Skip(range) => {
                    let mut progress = self.progress.clone();
                    progress.add(range);
                    (progress, self.memo.clone(), false)
                }
            };
            let settlement = Settlement {
                outputs: Vec::new(),
                state: Vec::new(),
                progress: vec![progress.clone()],
                memo: memo.clone(),
                rewind,
            };
            let settled = self.context.log.settle(&self.lease, settlement).await;
            let answer = match settled {
                Ok(_) => {
                    (self.progress, self.memo, self.before) = (progress, memo, Before::HandedOver);
                    self.post_place().await;
                    Ok(())
                }
                Err(SettleError::LeaseVoid) => {
                    drop(reply.send(Err("the partition went to another owner".into())));
                    return Ended::LeaseVoid;
                }
                Err(error) => Err(error.to_string()),
            };
            // Whoever asked may have left.
            drop(reply.send(answer));
        }
        Ended::Left
    }

    /// Position, end and age, as far as the log tells them.
    async fn post_place(&self) {
        let next = self.progress.next();
        let ahead = self.progress.ahead().iter().map(|range| range.end.0 - range.start.0).sum();
        let end = self.context.log.bounds(self.place).await.map_or(next, |bounds| bounds.end);
        let oldest = oldest_after(&self.context, self.place, next).await;
        self.handle.cell.place(next, ahead, end.max(next), oldest);
    }
}

/// When the first record from there on was appended.
pub(super) async fn oldest_after(
    context: &Context,
    place: PartitionRef,
    next: Offset,
) -> Option<Timestamp> {
    let budget = ReadBudget { records_max: 1, bytes_max: 1, wait_max: Duration::ZERO };
    let page = context.log.read(place, next, budget).await.ok()?;
    page.batches.first().map(|batch| batch.appended_at(0))
}

impl Life {
    /// Tells the feed to end, once.
    fn drain(&mut self) -> Option<Event> {
        self.hands.draining.cancel();
        (!std::mem::replace(&mut self.is_draining, true)).then_some(Event::Drain)
    }

    /// Starts what the feed asks for. Whether it has stopped.
    fn perform(
        &mut self,
        now: Timestamp,
        commands: Commands,
        mut begin: impl FnMut(Arc<Hands>, Effect),
    ) -> bool {
        for command in commands {
            let hands = Arc::clone(&self.hands);
            match command {
                Command::Fetch { from, records_max, bytes_max } => {
                    self.fetch = Some(hands.fetch(from, records_max, bytes_max).boxed());
                }
                Command::Invoke { delivery, span, attempt, overlay } => {
                    begin(hands, Effect::Invoke { delivery, span, attempt, overlay });
                }
                Command::Settle(settle) => begin(hands, Effect::Settle(settle)),
                Command::WakeAt(at) => {
                    self.timer = Some((at, Box::pin(sleep(at.since(now)))));
                }
                Command::Stopped => return true,
            }
        }
        false
    }
}

fn is_worth_a_line(state: trigger::State) -> bool {
    use trigger::State;
    match state {
        State::Held | State::CircuitOpen | State::OneByOne | State::WaitingForRanges => true,
        State::Stopped
        | State::Draining
        | State::Paused
        | State::WaitingForRetry
        | State::Running
        | State::Idle => false,
    }
}
