//! What an operator says to a trigger, and what he sees of it. Never a flag that is not durable.
use super::{
    events::Kind,
    plan::Mode,
    running::{FeedHandle, Move, RunningTrigger, Word},
    scaler,
    status::{Concurrency, NotReady, PartitionStatus, State, TriggerStatus},
    supervisor::Supervisor,
};
use crate::catalog::{ChangeTriggerError, Guard, NotFound, Noun, Trigger};
use log_contract::{
    LogUnavailable, Offset, OffsetBounds, PartitionId, PartitionRef, ReadBudget, ReadError,
    Timestamp, TopicName, TriggerName,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time};

/// Where a seek goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeekTo {
    Earliest,
    Latest,
    At(Timestamp),
    /// Partitions that are not named stay where they are.
    Offsets(BTreeMap<PartitionId, Offset>),
}

/// What a seek does, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeekReport {
    pub dry_run: bool,
    /// In their order.
    pub partitions: Vec<Moved>,
}

/// How one partition's position moves. Records are counted by offsets, so holes count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub partition: PartitionId,
    pub from: Offset,
    pub to: Offset,
    /// Not handled yet, and never will be.
    pub skipped: u64,
    /// Handled already, and will be again.
    pub repeated: u64,
}

/// Why an operator's word was not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// The partition or the offset is not there.
    #[error("{message}")]
    Invalid { field: &'static str, message: String, hint: String },
    /// A partition is not ours at the moment.
    #[error("partition {partition} is not held by this process now: {why}")]
    NotHeld { partition: PartitionId, why: String },
    /// What was out has not landed in time. What was asked for still holds.
    #[error("after {waited:?} the trigger is still finishing what it has out")]
    StillBusy { waited: Duration },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

impl From<ChangeTriggerError> for ControlError {
    fn from(error: ChangeTriggerError) -> Self {
        match error {
            ChangeTriggerError::NotFound(error) => Self::NotFound(error),
            ChangeTriggerError::Unavailable(why) => Self::Unavailable(why),
            ChangeTriggerError::GuardFailed(failed) => Self::Unavailable(LogUnavailable::Away {
                why: failed.to_string(),
                retry_after: Duration::from_secs(1),
            }),
        }
    }
}

/// The longest that a guest may run, and a little.
const LANDING_MAX: Duration = Duration::from_secs(16 * 60);
/// How long a resume waits for its effect to be seen.
const SHOWN_AFTER: Duration = Duration::from_secs(2);
/// A lag that somebody should look at, if nothing moves.
const STUCK_AFTER: Duration = Duration::from_secs(30);

impl Supervisor {
    /// How a trigger stands. `None`: there is no such trigger.
    pub async fn status(&self, trigger: &TriggerName) -> Option<TriggerStatus> {
        let known = self.context.catalog.trigger(trigger)?;
        let mut status = match self.find(trigger) {
            None => not_running(&known, self.context.now()),
            Some(running) => {
                scaler::look_at_ends(&self.context, &running, true).await;
                status_of(&running, self.context.now())
            }
        };
        if status.partitions.is_empty() {
            status.lag_records = self.lag_at_rest(&known).await.unwrap_or_default();
        }
        Some(status)
    }

    /// What lies between the cursor and the ends while no feed runs. `None`: the log does not tell.
    async fn lag_at_rest(&self, trigger: &Trigger) -> Option<u64> {
        let log = &self.context.log;
        let cursors = log.cursors().await.ok()?;
        let cursor = cursors.iter().find(|cursor| cursor.name == trigger.definition.cursor);
        let position = |partition: PartitionId| {
            let mut positions = cursor.iter().flat_map(|cursor| &cursor.positions);
            positions.find(|it| it.topic == trigger.source && it.partition == partition)
        };
        let topics = log.topics().await.ok()?;
        let source = topics.iter().find(|topic| topic.id == trigger.source)?;
        let mut lag = 0;
        for partition in (0..source.spec.partitions).map(PartitionId) {
            let bounds = log.bounds(PartitionRef::new(trigger.source, partition)).await.ok()?;
            let start = trigger.starts.get(&partition).copied().unwrap_or(bounds.start);
            let next = position(partition).map_or(start, |at| at.progress.next());
            lag += bounds.end.0.saturating_sub(next.0.max(bounds.start.0));
        }
        Some(lag)
    }

    /// A barrier: when it returns nothing is being invoked, and nothing will be until `resume`. Survives
    /// a restart.
    ///
    /// # Errors
    /// There is no such trigger, or the flag cannot be made durable.
    pub async fn pause(&self, trigger: &TriggerName) -> Result<Arc<Trigger>, ControlError> {
        let before = self.trigger(trigger)?;
        let paused = self.context.catalog.set_paused(trigger, true).await?;
        if before.flags.paused.is_none() {
            self.context.tell(Kind::Paused, trigger, None, "paused".into());
        }
        self.reconcile();
        if let Some(running) = self.find(trigger) {
            let revision = running.orders().revision;
            let obeyed = time::timeout(LANDING_MAX, running.obeyed(revision)).await;
            obeyed.map_err(|_| ControlError::StillBusy { waited: LANDING_MAX })?;
        }
        Ok(paused)
    }

    /// Ends a pause, what is held, and a halt.
    ///
    /// # Errors
    /// There is no such trigger, or the flag cannot be made durable.
    pub async fn resume(&self, trigger: &TriggerName) -> Result<Arc<Trigger>, ControlError> {
        self.trigger(trigger)?;
        if let Some(running) = self.find(trigger) {
            running.halt.lock().expect("nothing panics while it is held").resume();
            running.wants_halt.lock().expect("nothing panics while it is held").take();
        }
        let resumed = self.context.catalog.clear_flags(trigger).await?;
        self.context.tell(Kind::Resumed, trigger, None, "resumed".into());
        if let Some(running) = self.find(trigger) {
            for feed in running.feeds() {
                if feed.words.send(Word::Release).await.is_err() {
                    // It has ended; the one after it holds nothing.
                }
            }
        }
        self.reconcile();
        if let Some(running) = self.find(trigger) {
            let revision = running.orders().revision;
            // For what is shown next; that it goes on is certain already.
            drop(time::timeout(SHOWN_AFTER, running.obeyed(revision)).await);
        }
        Ok(resumed)
    }

    /// Moves the position of a trigger; then it goes on as before.
    ///
    /// # Errors
    /// An offset is not there, or a partition is not ours.
    pub async fn seek(
        &self,
        trigger: &TriggerName,
        to: SeekTo,
        dry_run: bool,
    ) -> Result<SeekReport, ControlError> {
        self.trigger(trigger)?;
        let running = self.running_or_not_held(trigger)?;
        let mut moves = Vec::new();
        for (feed, place) in self.feeds_of(&running)? {
            let bounds = self.context.log.bounds(place).await.map_err(unread)?;
            if let Some(offset) = self.target(&to, place, bounds).await? {
                moves.push((feed, offset));
            }
        }
        if let SeekTo::Offsets(offsets) = &to {
            let is_known =
                |wanted: &PartitionId| moves.iter().any(|(feed, _)| feed.cell.partition == *wanted);
            if let Some(unknown) = offsets.keys().find(|wanted| !is_known(wanted)) {
                return Err(ControlError::Invalid {
                    field: "to.offsets",
                    message: format!("the source has no partition {unknown}"),
                    hint: "partitions count from 0".into(),
                });
            }
        }
        let report =
            moves.iter().map(|(feed, to)| moved(feed.cell.partition, feed.cell.next(), *to));
        let report = SeekReport { dry_run, partitions: report.collect() };
        if !dry_run {
            for (feed, to) in moves {
                self.say(&feed, Move::To(to)).await?;
                let message = format!("position moved to {to}");
                self.context.tell(Kind::Moved, trigger, Some(feed.cell.partition), message);
            }
        }
        Ok(report)
    }

    /// Leaves out one record that is not done yet.
    ///
    /// # Errors
    /// It is not there, done already, or the partition is not ours.
    pub async fn skip(
        &self,
        trigger: &TriggerName,
        partition: PartitionId,
        offset: Offset,
        reason: &str,
    ) -> Result<(), ControlError> {
        self.trigger(trigger)?;
        let running = self.running_or_not_held(trigger)?;
        let Some(feed) = running.feed(partition) else {
            let why = "no lease".into();
            return Err(ControlError::NotHeld { partition, why });
        };
        let place = PartitionRef::new(running.identity.source, partition);
        let budget = ReadBudget { records_max: 1, bytes_max: 1, wait_max: Duration::ZERO };
        let page = self.context.log.read(place, offset, budget).await.map_err(unread)?;
        let found = page.batches.first().map(|batch| batch.offset(0));
        if found != Some(offset) || offset < feed.cell.next() {
            let next = feed.cell.next();
            return Err(ControlError::Invalid {
                field: "offset",
                message: format!("record {offset} is not there, or done already"),
                hint: format!("the first that is not done is {next}"),
            });
        }
        self.say(&feed, Move::Skip(offset..page.next)).await?;
        tracing::warn!(%trigger, %partition, offset = offset.0, reason, "record skipped by hand");
        let message = format!("record {offset} skipped by hand: {reason}");
        self.context.tell(Kind::Moved, trigger, Some(partition), message);
        Ok(())
    }

    /// Deletes a trigger: when it returns nothing of it runs any more. Its cursor stays.
    ///
    /// # Errors
    /// It is not there, or has changed.
    pub async fn delete(
        &self,
        trigger: &TriggerName,
        guard: Guard,
    ) -> Result<(), ChangeTriggerError> {
        self.context.catalog.delete_trigger(trigger, guard).await?;
        let running = self.find(trigger);
        self.reconcile();
        if let Some(running) = running {
            running.ended.cancelled().await;
        }
        self.reconcile();
        Ok(())
    }

    /// Pauses everybody who reads or writes a topic, before it is deleted by force. Says who.
    ///
    /// # Errors
    /// A flag cannot be made durable.
    pub async fn stop_users_of(&self, topic: &TopicName) -> Result<Vec<TriggerName>, ControlError> {
        let users = self.context.catalog.users_of_topic(topic);
        for user in &users {
            match self.pause(user).await {
                Ok(_) | Err(ControlError::NotFound(_)) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(users)
    }

    /// Triggers that lag and make no progress. Empty: ready. A state that waits for somebody counts at
    /// once; a retry or a closed circuit only when the lag is older than 30 s. A pause is wanted.
    #[must_use]
    pub fn not_ready(&self) -> Vec<NotReady> {
        let now = self.context.now();
        let mut all: Vec<NotReady> =
            self.all().iter().flat_map(|running| complaints(running, now)).collect();
        all.sort_by(|a, b| (&a.trigger, a.partition).cmp(&(&b.trigger, b.partition)));
        all
    }

    fn trigger(&self, name: &TriggerName) -> Result<Arc<Trigger>, NotFound> {
        let found = self.context.catalog.trigger(name);
        found.ok_or_else(|| NotFound::new(Noun::Trigger, name.as_str()))
    }

    fn running_or_not_held(
        &self,
        trigger: &TriggerName,
    ) -> Result<Arc<RunningTrigger>, ControlError> {
        self.reconcile();
        self.find(trigger).ok_or_else(|| ControlError::NotHeld {
            partition: PartitionId(0),
            why: "the trigger is not running yet".into(),
        })
    }

    fn feeds_of(
        &self,
        running: &RunningTrigger,
    ) -> Result<Vec<(Arc<FeedHandle>, PartitionRef)>, ControlError> {
        let source = running.identity.source;
        let topic = self.context.catalog.topics().by_id(source);
        let partitions = topic.map_or(0, |topic| topic.spec.partitions);
        let feed = |partition| {
            let why = || running.joining().reason.map_or("no lease".into(), |why| why.to_string());
            let feed = running.feed(partition);
            let feed = feed.ok_or_else(|| ControlError::NotHeld { partition, why: why() })?;
            Ok((feed, PartitionRef::new(source, partition)))
        };
        (0..partitions).map(PartitionId).map(feed).collect()
    }

    async fn target(
        &self,
        to: &SeekTo,
        place: PartitionRef,
        bounds: OffsetBounds,
    ) -> Result<Option<Offset>, ControlError> {
        let offset = match to {
            SeekTo::Earliest => bounds.start,
            SeekTo::Latest => bounds.end,
            SeekTo::At(at) => self.context.log.offset_at(place, *at).await.map_err(unread)?,
            SeekTo::Offsets(offsets) => {
                let Some(offset) = offsets.get(&place.partition).copied() else { return Ok(None) };
                if offset < bounds.start || bounds.end < offset {
                    let (partition, OffsetBounds { start, end, .. }) = (place.partition, bounds);
                    return Err(ControlError::Invalid {
                        field: "to.offsets",
                        message: format!("partition {partition} has no offset {offset}"),
                        hint: format!("it begins at {start} and ends at {end}"),
                    });
                }
                offset
            }
        };
        Ok(Some(offset))
    }

    async fn say(&self, feed: &FeedHandle, to: Move) -> Result<(), ControlError> {
        let partition = feed.cell.partition;
        let gone = || ControlError::NotHeld { partition, why: "the lease went just now".into() };
        let (reply, answer) = oneshot::channel();
        feed.words.send(Word::Move { to, reply }).await.map_err(|_| gone())?;
        let answer = time::timeout(LANDING_MAX, answer).await;
        let answer = answer.map_err(|_| ControlError::StillBusy { waited: LANDING_MAX })?;
        match answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(ControlError::NotHeld { partition, why }),
            Err(_) => Err(gone()),
        }
    }
}

fn moved(partition: PartitionId, from: Offset, to: Offset) -> Moved {
    let (skipped, repeated) = (to.0.saturating_sub(from.0), from.0.saturating_sub(to.0));
    Moved { partition, from, to, skipped, repeated }
}

fn status_of(running: &RunningTrigger, now: Timestamp) -> TriggerStatus {
    let mut partitions: Vec<PartitionStatus> =
        running.feeds().iter().map(|feed| feed.cell.status(now)).collect();
    partitions.sort_by_key(|status| status.partition);
    let busy = running.feeds().iter().map(|feed| feed.cell.look(now).busy).sum();
    let joining = running.joining();
    let orders = running.orders();
    let shown = match &orders.mode {
        Mode::Park(park) => Some(super::feed::shown(park)),
        Mode::Run => None,
    };
    let worst = partitions.iter().max_by_key(|status| status.state);
    let is_behind = |feed: &Arc<FeedHandle>| *feed.obeyed.borrow() < orders.revision;
    let is_draining = running.feeds().iter().any(is_behind);
    let (state, reason, since) = match (shown, worst) {
        // Told to stop, and not there yet.
        (Some((_, reason)), Some(worst)) if is_draining => (State::Draining, reason, worst.since),
        (Some((state, reason)), worst) => {
            (state, reason, worst.map_or(joining.since, |worst| worst.since))
        }
        (None, Some(worst)) => (worst.state, worst.reason.clone(), worst.since),
        (None, None) => (State::Restoring, joining.reason, joining.since),
    };
    let scaling = running.scaling.lock().expect("nothing panics while it is held");
    let width = |width: usize| u32::try_from(width).unwrap_or(u32::MAX);
    let concurrency = Concurrency {
        wanted: width(scaling.wanted()),
        allowed: width(scaling.allowed()),
        busy,
        reason: scaling.reason(),
    };
    drop(scaling);
    TriggerStatus {
        state,
        reason,
        since,
        lag_records: partitions.iter().map(|status| status.lag_records).sum(),
        lag_seconds: partitions.iter().map(|status| status.lag_seconds).fold(0.0, f64::max),
        lost_records: partitions.iter().map(|status| status.lost_records).sum(),
        concurrency,
        partitions,
    }
}

/// It is in the catalogue, and the supervisor has not come to it yet.
fn not_running(trigger: &Trigger, now: Timestamp) -> TriggerStatus {
    let state = if trigger.flags.halted.is_some() {
        State::Halted
    } else if trigger.flags.paused.is_some() || !trigger.definition.enabled {
        State::Paused
    } else {
        State::Restoring
    };
    let halted = trigger.flags.halted.as_ref().map(|halted| Arc::clone(&halted.reason));
    let is_disabled = trigger.flags.paused.is_none() && !trigger.definition.enabled;
    TriggerStatus {
        state,
        reason: halted.or_else(|| is_disabled.then(|| "`enabled` is false".into())),
        since: trigger.flags.paused.unwrap_or(now),
        lag_records: 0,
        lag_seconds: 0.0,
        lost_records: 0,
        concurrency: Concurrency::default(),
        partitions: Vec::new(),
    }
}

fn complaints(running: &RunningTrigger, now: Timestamp) -> Vec<NotReady> {
    let complaint =
        |partition, state, reason: Option<Arc<str>>, lag_records, lag_seconds| NotReady {
            trigger: running.name.clone(),
            partition,
            state,
            reason: reason.map_or_else(String::new, |reason| reason.to_string()),
            lag_records,
            lag_seconds,
        };
    let feeds = running.feeds();
    let joining = running.joining();
    let stuck = STUCK_AFTER.as_secs_f64();
    if feeds.is_empty() && now.since(joining.since) > STUCK_AFTER {
        return vec![complaint(None, State::Restoring, joining.reason, 0, 0.0)];
    }
    let is_stuck = |status: &PartitionStatus| match status.state {
        State::Held | State::Halted => status.lag_records > 0,
        State::CircuitOpen
        | State::WaitingForRetry
        | State::WaitingForRanges
        | State::OneByOne
        | State::Restoring
        | State::Draining => {
            status.lag_records > 0
                && status.lag_seconds > stuck
                && now.since(status.since) > STUCK_AFTER
        }
        State::Idle | State::Running | State::Paused => false,
    };
    let statuses = feeds.iter().map(|feed| feed.cell.status(now)).filter(is_stuck);
    statuses
        .map(|it| {
            complaint(Some(it.partition), it.state, it.reason, it.lag_records, it.lag_seconds)
        })
        .collect()
}

fn unread(error: ReadError) -> ControlError {
    match error {
        ReadError::Unavailable(why) => ControlError::Unavailable(why),
        ReadError::Trimmed { start } => ControlError::Invalid {
            field: "offset",
            message: format!("records before {start} are gone"),
            hint: format!("give {start} or more"),
        },
        other => ControlError::Unavailable(LogUnavailable::Away {
            why: other.to_string(),
            retry_after: Duration::from_secs(1),
        }),
    }
}
