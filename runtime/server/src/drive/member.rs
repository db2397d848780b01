//! Takes part in a trigger's cursor: joins, starts a driver for each lease, lets them go when they are
//! asked back. Never looks at a record.
use super::{
    board::Cell,
    context::Context,
    effects::place_of,
    events::Kind,
    feed::{Ended, FeedDriver},
    metered::metered,
    running::{FeedHandle, RunningTrigger, WORDS},
};
use futures::{StreamExt as _, stream::FuturesUnordered};
use log_contract::{
    JoinError, Lease, Membership, MembershipEvent, Offset, PartitionId, PartitionRef, Progress,
    ReadError,
};
use std::{sync::Arc, time::Duration};
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

/// After a failed join, and before a lease that was void at once is taken again.
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

    /// Task `feed`: on cancel it drains; a panic drops its lease, which then comes again. On the guests'
    /// threads, so that between an answer and the next call no thread has to be woken.
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
                };
                let partition = Some(feed.cell.partition);
                self.context.tell(Kind::FeedEnded, &self.running.name, partition, why.into());
            }
            Err(error) => {
                tracing::error!(trigger = %self.running.name, %error, "a feed's driver panicked");
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

async fn drive(
    context: Arc<Context>,
    running: Arc<RunningTrigger>,
    words: mpsc::Receiver<Box<super::running::Word>>,
    lease: Lease,
    place: PartitionRef,
    handle: &Arc<FeedHandle>,
) -> Ended {
    let started = tokio::time::Instant::now();
    let start = tokio::select! {
        start = start_of(&context, &running, &lease, place) => start,
        () = running.ending.cancelled() => return Ended::Left,
        () = context.let_go.cancelled() => return Ended::Left,
        () = handle.leave.cancelled() => return Ended::Left,
        () = handle.lost.cancelled() => return Ended::LeaseVoid,
    };
    let driver = FeedDriver::new(
        Arc::clone(&context),
        Arc::clone(&running),
        Arc::clone(handle),
        words,
        lease,
        start,
    );
    let Some(driver) = driver else { return Ended::Left };
    let ended = Box::pin(driver.run()).await;
    if ended == Ended::LeaseVoid && started.elapsed() < PAUSE {
        // Against a log that gives leases and takes them at once.
        tokio::select! {
            () = sleep(PAUSE) => (),
            () = running.ending.cancelled() => (),
            () = context.let_go.cancelled() => (),
        }
    }
    ended
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
