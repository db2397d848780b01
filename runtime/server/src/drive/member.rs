//! Takes part in a trigger's cursor: joins, starts a driver for each lease, lets them go when they are
//! asked back. Never looks at a record.
use super::{
    board::Cell,
    context::Context,
    effects::place_of,
    events::Kind,
    feed::{Ended, FeedDriver},
    metered::metered,
    running::{FeedHandle, RunningTrigger, WORDS, Word},
};
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use log_contract::{
    JoinError, Lease, Membership, MembershipEvent, Offset, PartitionId, PartitionRef, Progress,
    ReadError,
};
use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError as TaskError, JoinHandle},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// One trigger's place among those who share its cursor.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) context: Arc<Context>,
    pub(super) running: Arc<RunningTrigger>,
}

type Drivers = FuturesUnordered<JoinHandle<(Arc<FeedHandle>, Ended)>>;

/// After a failed join, and before a lease is taken again whose driver came to nothing at once.
const PAUSE: Duration = Duration::from_secs(1);

impl Member {
    /// Until the trigger ends and nothing of it runs any more.
    pub(super) async fn run(self) {
        let _end = EndOfMember(Arc::clone(&self.running));
        let mut drivers = Drivers::new();
        while !self.is_ending() {
            if let Some(membership) = self.join().await {
                self.take_part(membership, &mut drivers).await;
            }
        }
        // The membership is left by now: leases that are given back go to others.
        while let Some(ended) = drivers.next().await {
            self.on_ended(ended);
        }
    }

    fn is_ending(&self) -> bool {
        self.running.ending.is_cancelled() || self.context.let_go.is_cancelled()
    }

    async fn ending(&self) {
        tokio::select! {
            () = self.running.ending.cancelled() => (),
            () = self.context.let_go.cancelled() => (),
        }
    }

    async fn join(&self) -> Option<Box<dyn Membership>> {
        let identity = &self.running.identity;
        let inputs = [identity.source];
        let joined = tokio::select! {
            joined = self.context.log.join(&identity.cursor, &inputs) => joined,
            () = self.ending() => return None,
        };
        match joined {
            Ok(membership) => {
                self.running.set_joining(self.context.now(), None);
                Some(membership)
            }
            Err(error) => {
                let is_gone = matches!(error, JoinError::NoTopic(_) | JoinError::NoInput);
                self.running.set_joining(self.context.now(), Some(error.to_string().into()));
                if is_gone {
                    self.ending().await;
                } else {
                    tracing::warn!(%error, "joining the cursor failed");
                    self.pause().await;
                }
                None
            }
        }
    }

    async fn pause(&self) {
        tokio::select! {
            () = sleep(PAUSE) => (),
            () = self.ending() => (),
        }
    }

    /// Until the trigger ends or the membership does.
    async fn take_part(&self, mut membership: Box<dyn Membership>, drivers: &mut Drivers) {
        loop {
            tokio::select! {
                () = self.ending() => return,
                Some(ended) = drivers.next(), if !drivers.is_empty() => self.on_ended(ended),
                event = membership.next() => match event {
                    Some(event) => self.on_event(event, drivers),
                    None => {
                        let reason = "the source is gone, or the log is closed";
                        self.running.set_joining(self.context.now(), Some(reason.into()));
                        for feed in self.running.feeds() {
                            feed.lost.cancel();
                        }
                        return self.pause().await;
                    }
                },
            }
        }
    }

    fn on_event(&self, event: MembershipEvent, drivers: &Drivers) {
        match event {
            MembershipEvent::Gained(lease) => self.start(lease, drivers),
            MembershipEvent::Restoring { partition, done, total } => {
                let reason = format!("partition {partition}: {done} of {total} read back");
                self.running.set_joining(self.context.now(), Some(reason.into()));
            }
            MembershipEvent::Revoking { partition, .. } => {
                if let Some(feed) = self.running.feed(partition) {
                    feed.leave.cancel();
                }
            }
            MembershipEvent::Lost { partition, .. } => {
                if let Some(feed) = self.running.feed(partition) {
                    feed.lost.cancel();
                }
            }
        }
    }

    /// Task `feed`: on cancel it drains; after a panic it gives its lease back, which then comes again. On
    /// the guests' threads, so that between an answer and the next call no thread has to be woken.
    fn start(&self, lease: Lease, drivers: &Drivers) {
        let Some(place) = place_of(&lease) else { return };
        let partition = lease.partition;
        let topic = Arc::clone(&self.running.orders().plan.topic);
        let next = lease.progress.first().cloned().flatten().map_or(Offset(0), |it| it.next());
        let name = self.running.name.clone();
        let cell = Cell::new(name.clone(), Arc::clone(&topic), partition, next, self.context.now());
        let (words, received) = mpsc::channel(WORDS);
        let handle = Arc::new(FeedHandle {
            cell: Arc::clone(&cell),
            width: watch::Sender::new(self.running.width_of(partition)),
            words,
            leave: CancellationToken::new(),
            lost: CancellationToken::new(),
            obeyed: watch::Sender::new(0),
            ended: CancellationToken::new(),
        });
        self.context.board.post(cell);
        self.running.add_feed(Arc::clone(&handle));
        self.running.stir();
        let span = tracing::info_span!("feed", trigger = %name, topic = %topic, %partition);
        let (context, running) = (Arc::clone(&self.context), Arc::clone(&self.running));
        let guard = EndGuard {
            context: Arc::clone(&context),
            running: Arc::clone(&running),
            handle: Arc::clone(&handle),
        };
        let driving = async move {
            let guard = guard;
            let owner = Arc::clone(&running);
            let work = drive(context, running, received, lease, place, &handle);
            let ended = metered(work, |took| {
                owner.share.charge(took);
                owner.figures.fed(took);
            })
            .await;
            drop(guard);
            (handle, ended)
        };
        let threads = self.context.sandbox.threads();
        drivers.push(self.context.tasks.spawn_on(driving.instrument(span), threads));
        self.context.tell(Kind::FeedStarted, &name, Some(partition), "lease gained".into());
    }

    fn on_ended(&self, ended: Result<(Arc<FeedHandle>, Ended), TaskError>) {
        match ended {
            Ok((feed, ended)) => {
                let why = match ended {
                    Ended::Left => "left",
                    Ended::LeaseVoid => "the lease was void",
                    Ended::Panicked => "its driver panicked",
                };
                let partition = Some(feed.cell.partition);
                self.context.tell(Kind::FeedEnded, &self.running.name, partition, why.into());
            }
            Err(error) if error.is_panic() => {
                tracing::error!(trigger = %self.running.name, %error, "a feed's task panicked");
            }
            // Its threads have gone: the program ends.
            Err(error) => {
                tracing::debug!(trigger = %self.running.name, %error, "a feed was cancelled");
            }
        }
    }
}

/// However a member ends, by a panic too, its drivers end, and the supervisor may start it anew.
struct EndOfMember(Arc<RunningTrigger>);

impl Drop for EndOfMember {
    fn drop(&mut self) {
        self.0.ending.cancel();
        self.0.end();
    }
}

/// Takes a feed off the board however its driver ends.
struct EndGuard {
    context: Arc<Context>,
    running: Arc<RunningTrigger>,
    handle: Arc<FeedHandle>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.running.remove_feed(&self.handle);
        self.context.board.take_down(&self.handle.cell);
        self.handle.ended.cancel();
    }
}

/// Until the feed ends, be it by a panic. One that came to nothing at once keeps its lease for a moment:
/// against a log that gives leases and takes them at once, and a driver that panics whenever it begins.
async fn drive(
    context: Arc<Context>,
    running: Arc<RunningTrigger>,
    words: mpsc::Receiver<Box<Word>>,
    lease: Lease,
    place: PartitionRef,
    handle: &Arc<FeedHandle>,
) -> Ended {
    let started = tokio::time::Instant::now();
    let lease = Arc::new(lease);
    let driven = drive_under(&context, &running, words, &lease, place, handle);
    // What it worked with is gone, save what others share, and locks there are poisoned by a panic.
    let ended = AssertUnwindSafe(driven).catch_unwind().await.unwrap_or_else(|panic| {
        tracing::error!(why = words_of(panic.as_ref()), "the feed's driver panicked");
        Ended::Panicked
    });
    if ended != Ended::Left && started.elapsed() < PAUSE {
        tokio::select! {
            () = sleep(PAUSE) => (),
            () = handle.leave.cancelled() => (),
            () = running.ending.cancelled() => (),
            () = context.let_go.cancelled() => (),
        }
    }
    ended
}

async fn drive_under(
    context: &Arc<Context>,
    running: &Arc<RunningTrigger>,
    words: mpsc::Receiver<Box<Word>>,
    lease: &Arc<Lease>,
    place: PartitionRef,
    handle: &Arc<FeedHandle>,
) -> Ended {
    let start = tokio::select! {
        start = start_of(context, running, lease, place) => start,
        () = running.ending.cancelled() => return Ended::Left,
        () = context.let_go.cancelled() => return Ended::Left,
        () = handle.leave.cancelled() => return Ended::Left,
        () = handle.lost.cancelled() => return Ended::LeaseVoid,
    };
    let driver = FeedDriver::new(
        Arc::clone(context),
        Arc::clone(running),
        Arc::clone(handle),
        words,
        Arc::clone(lease),
        start,
    );
    let Some(driver) = driver else { return Ended::Left };
    Box::pin(driver.run()).await
}

/// What a panic said.
fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words")
}

/// The position that came with the lease; else what was fixed when the trigger was put; else the
/// partition's beginning.
async fn start_of(
    context: &Context,
    running: &RunningTrigger,
    lease: &Lease,
    place: PartitionRef,
) -> Progress {
    if let Some(progress) = lease.progress.first().cloned().flatten() {
        return progress;
    }
    let fixed = running.orders().plan.starts.get(&PartitionId(place.partition.0)).copied();
    if let Some(start) = fixed {
        return Progress::at(start);
    }
    loop {
        match context.log.bounds(place).await {
            Ok(bounds) => return Progress::at(bounds.start),
            // The membership ends with the topic.
            Err(ReadError::NoPartition(_)) => std::future::pending::<()>().await,
            Err(error) => {
                tracing::warn!(%error, "the partition's beginning cannot be read");
                sleep(PAUSE).await;
            }
        }
    }
}
