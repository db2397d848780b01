//! What an operator says to a trigger. Never a flag that is not durable.
use super::{
    events::Kind,
    running::{FeedHandle, Move, RunningTrigger, Word},
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

/// Longer than a guest may run, and a little: more only where many that burn share few cores.
const LANDING_MAX: Duration = Duration::from_secs(16 * 60);
/// How long a resume waits for its effect to be seen.
const SHOWN_AFTER: Duration = Duration::from_secs(2);
impl Supervisor {
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
        let landed = time::timeout(LANDING_MAX, self.landed(trigger)).await;
        landed.map_err(|_| ControlError::StillBusy { waited: LANDING_MAX })?;
        Ok(paused)
    }

    /// Returns when what runs of a trigger obeys its newest orders. One that ends (its source or cursor was
    /// changed, say) invokes until it has ended.
    async fn landed(&self, trigger: &TriggerName) {
        while let Some(running) = self.find(trigger) {
            if !running.ending.is_cancelled() {
                return running.obeyed(running.orders().revision).await;
            }
            running.ended.cancelled().await;
            if self.is_ending() {
                return;
            }
            self.reconcile();
        }
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
                if feed.words.send(Box::new(Word::Release)).await.is_err() {
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
        feed.words.send(Box::new(Word::Move { to, reply })).await.map_err(|_| gone())?;
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
