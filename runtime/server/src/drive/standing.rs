//! How triggers stand, as an operator and a probe are told. Never a change of anything.
use super::{
    plan::Mode,
    running::{FeedHandle, RunningTrigger},
    scaler,
    status::{Concurrency, NotReady, PartitionStatus, State, TriggerStatus},
    supervisor::Supervisor,
};
use crate::catalog::Trigger;
use log_contract::{PartitionId, PartitionRef, Timestamp, TriggerName};
use std::{sync::Arc, time::Duration};

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
}

fn status_of(running: &RunningTrigger, now: Timestamp) -> TriggerStatus {
    let mut partitions: Vec<PartitionStatus> =
        running.feeds().iter().map(|feed| feed.cell.status(now)).collect();
    partitions.sort_by_key(|status| status.partition);
    let busy = running.feeds().iter().map(|feed| feed.cell.look(now).busy).sum();
    let joining = running.joining();
    let orders = running.orders();
    let shown = match &orders.mode {
        Mode::Park(park) => Some(park.shown()),
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
                && now.since(status.moved_at) > STUCK_AFTER
        }
        // A function may take its time; one that is not even called may not.
        State::Running => {
            status.lag_seconds > stuck
                && status.flying == 0
                && now.since(status.moved_at) > STUCK_AFTER
        }
        State::Idle | State::Paused => false,
    };
    let statuses = feeds.iter().map(|feed| feed.cell.status(now)).filter(is_stuck);
    statuses
        .map(|it| {
            complaint(Some(it.partition), it.state, it.reason, it.lag_records, it.lag_seconds)
        })
        .collect()
}
