//! Gathers samples, asks how wide each trigger may run, and tells its feeds. Never the decision itself.
use super::{
    board::Glance,
    context::Context,
    events::Kind,
    feed::oldest_after,
    plan::{Mode, Plan},
    running::{FeedHandle, RunningTrigger},
    status::State,
};
use log_contract::{PartitionId, PartitionRef, Timestamp};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How one trigger is scaled.
#[derive(Debug)]
pub(super) struct Scaling {
    wanted: usize,
    allowed: usize,
    reason: Option<Arc<str>>,
    widths: BTreeMap<PartitionId, usize>,
    looked_at: Timestamp,
}

/// Between two looks.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// Between two looks at where partitions end whose feeds do not read.
const ENDS: Duration = Duration::from_secs(2);

impl Scaling {
    pub(super) fn new(plan: &Plan, now: Timestamp) -> Self {
        let allowed = plan.concurrency_max as usize;
        let widths = BTreeMap::new();
        Self { wanted: allowed, allowed, reason: None, widths, looked_at: now }
    }

    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    pub(super) fn reason(&self) -> Option<Arc<str>> {
        self.reason.clone()
    }

    pub(super) fn width_of(&self, partition: PartitionId) -> usize {
        self.widths.get(&partition).copied().unwrap_or(1)
    }
}

/// One look at one trigger.
pub(super) async fn look(context: &Context, running: &RunningTrigger) {
    let now = context.now();
    let feeds = running.feeds();
    let glances: Vec<Glance> = feeds.iter().map(|feed| feed.cell.look(now)).collect();
    let orders = running.orders();
    let is_restless = orders.mode == Mode::Run
        && glances.iter().any(|seen| seen.state != State::Idle || seen.lag_records > 0);
    if !running.is_stirred.swap(is_restless, Ordering::Relaxed) {
        return;
    }
    widen(context, running, &orders.plan, &feeds);
}

fn widen(context: &Context, running: &RunningTrigger, plan: &Plan, feeds: &[Arc<FeedHandle>]) {
    let mut scaling = running.scaling.lock().expect("nothing panics while it is held");
    let allowed = plan.concurrency_max as usize;
    if scaling.allowed != allowed {
        let reason = format!("{} → {allowed}", scaling.allowed);
        context.tell(Kind::Scaled, &running.name, None, reason.clone());
        scaling.reason = Some(reason.into());
    }
    (scaling.wanted, scaling.allowed) = (allowed, allowed);
    running.gate.set_width(allowed);
    let each = allowed.div_ceil(feeds.len().max(1)).max(1);
    scaling.widths = feeds.iter().map(|feed| (feed.cell.partition, each)).collect();
    running.figures.width_wanted.set(i64::try_from(scaling.wanted).unwrap_or(i64::MAX));
    running.figures.width_allowed.set(i64::try_from(scaling.allowed).unwrap_or(i64::MAX));
    drop(scaling);
    for feed in feeds {
        feed.width.send_if_modified(|width| std::mem::replace(width, each) != each);
    }
}

/// Where partitions end whose feeds do not read just now: so that their lag is told as it is.
pub(super) async fn look_at_ends(context: &Context, running: &RunningTrigger) {
    let now = context.now();
    let is_due = {
        let mut scaling = running.scaling.lock().expect("nothing panics while it is held");
        let is_due = now.since(scaling.looked_at) >= ENDS;
        if is_due {
            scaling.looked_at = now;
        }
        is_due
    };
    if is_due {
        look_at_ends_now(context, running).await;
    }
}

pub(super) async fn look_at_ends_now(context: &Context, running: &RunningTrigger) {
    let now = context.now();
    for feed in running.feeds() {
        let seen = feed.cell.look(now);
        if seen.state == State::Idle {
            continue;
        }
        let place = PartitionRef::new(running.identity.source, feed.cell.partition);
        if let Ok(bounds) = context.log.bounds(place).await {
            feed.cell.ends_at(bounds.end);
            if seen.oldest.is_none() && bounds.end > seen.next {
                let oldest = oldest_after(context, place, seen.next).await;
                feed.cell.set_oldest(oldest);
            }
        }
    }
}
