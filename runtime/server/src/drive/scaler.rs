//! Gathers samples, asks how wide each trigger may run, and tells its feeds. Never the decision itself:
//! that is `trigger::Autoscaler`'s.
use super::{
    board::Sample,
    context::Context,
    events::Kind,
    feed::oldest_after,
    plan::{Mode, Plan},
    running::{FeedHandle, RunningTrigger},
    status::State,
};
use log_contract::{Offset, PartitionId, PartitionRef, Timestamp};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use trigger::{Autoscaler, Claim, Need, PartitionSample, ScalingPolicy, apportion, fair_share};

/// How one trigger is scaled.
#[derive(Debug)]
pub(super) struct Scaling {
    autoscaler: Autoscaler,
    wanted: usize,
    allowed: usize,
    reason: Option<Arc<str>>,
    widths: BTreeMap<PartitionId, usize>,
    looked_at: Timestamp,
    rates: BTreeMap<PartitionId, Rates>,
    spent: Spent,
    /// Per record, as measured last.
    service_time: Option<Duration>,
    cpu_share: f64,
}

/// What came and went in one partition, smoothed.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    next: Offset,
    end: Offset,
    arrival: f64,
    throughput: f64,
}

/// What attempts had used at the last look, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Spent {
    records: u64,
    wall: u64,
    cpu: u64,
}

/// One trigger in the middle of a look.
struct Looked {
    running: Arc<RunningTrigger>,
    feeds: Vec<Arc<FeedHandle>>,
    samples: Vec<PartitionSample>,
    decision: trigger::Scaling,
    claim: Claim,
    ordering: trigger::Ordering,
}

/// Between two looks.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// At every so manieth look, where partitions end whose feeds do not read is looked up.
pub(super) const ENDS: u32 = 8;
/// Over this time a rate is smoothed.
const SMOOTH: f64 = 2.0;

impl Scaling {
    pub(super) fn new(plan: &Plan, now: Timestamp) -> Self {
        let autoscaler = Autoscaler::new(policy(plan), plan.spec.ordering);
        let allowed = autoscaler.width().max(1);
        Self {
            autoscaler,
            wanted: 0,
            allowed,
            reason: None,
            widths: BTreeMap::new(),
            looked_at: now,
            rates: BTreeMap::new(),
            spent: Spent::default(),
            service_time: None,
            cpu_share: 0.0,
        }
    }

    /// At least one: the first record after a rest waits for no decision.
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

    /// What an attempt costs, measured since the last look.
    fn weigh(&mut self, spent: Spent) {
        let records = spent.records - self.spent.records;
        let wall = spent.wall - self.spent.wall;
        let cpu = spent.cpu - self.spent.cpu;
        self.spent = spent;
        if records == 0 || wall == 0 {
            return;
        }
        self.service_time = Some(Duration::from_micros((wall / records).max(1)));
        #[expect(clippy::cast_precision_loss, reason = "a share needs no last digit")]
        let share = cpu as f64 / wall as f64;
        self.cpu_share = share.min(1.0);
    }

    fn rates(&mut self, sample: &Sample, passed: f64) -> Rates {
        let new = || Rates { next: sample.next, end: sample.end, ..Rates::default() };
        let rates = self.rates.entry(sample.partition).or_insert_with(new);
        let weight = 1.0 - (-passed / SMOOTH).exp();
        let smooth = |rate: &mut f64, before: Offset, now: Offset| {
            #[expect(clippy::cast_precision_loss, reason = "a rate needs no last digit")]
            let moved = now.0.saturating_sub(before.0) as f64;
            *rate += weight * (moved / passed.max(0.001) - *rate);
        };
        smooth(&mut rates.arrival, rates.end, sample.end);
        smooth(&mut rates.throughput, rates.next, sample.next);
        (rates.next, rates.end) = (sample.next, sample.end);
        *rates
    }
}

fn policy(plan: &Plan) -> ScalingPolicy {
    ScalingPolicy {
        concurrency_min: plan.concurrency_min as usize,
        concurrency_max: plan.concurrency_max as usize,
        lag_target: plan.lag_target,
    }
}

/// One look at all triggers that have something to look at.
pub(super) fn look(context: &Context, all: &[Arc<RunningTrigger>]) {
    let looked: Vec<Looked> = all.iter().filter_map(|one| look_at(context, one)).collect();
    let claims: Vec<Claim> = looked.iter().map(|one| one.claim).collect();
    for (one, width) in looked.iter().zip(fair_share(context.cores, &claims)) {
        grant(context, one, width);
    }
}

fn look_at(context: &Context, running: &Arc<RunningTrigger>) -> Option<Looked> {
    // A trigger at rest costs this one look.
    if !running.is_stirred.swap(false, Ordering::Relaxed) {
        return None;
    }
    let orders = running.orders();
    if orders.mode != Mode::Run {
        return None;
    }
    let mut scaling = running.scaling.lock().expect("nothing panics while it is held");
    let now = context.now();
    let feeds = running.feeds();
    let passed = now.since(scaling.looked_at).as_secs_f64();
    scaling.looked_at = now;
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let spending = &running.spending;
    scaling.weigh(Spent {
        records: load(&spending.records),
        wall: load(&spending.wall),
        cpu: load(&spending.cpu),
    });
    let mut is_restless = false;
    let mut samples = Vec::with_capacity(feeds.len());
    for feed in &feeds {
        let seen = feed.cell.sample(now);
        is_restless |= seen.backlog > 0 || seen.busy > 0;
        let rates = scaling.rates(&seen, passed);
        samples.push(PartitionSample {
            backlog: seen.backlog,
            oldest: seen.oldest,
            arrival_rate: rates.arrival,
            throughput: rates.throughput,
            service_time: scaling.service_time,
            cpu_share: scaling.cpu_share,
            busy: seen.busy,
            is_blocked: seen.is_blocked,
        });
    }
    let (policy, ordering) = (policy(&orders.plan), orders.plan.spec.ordering);
    scaling.autoscaler.set_policy(policy, ordering);
    let decision = scaling.autoscaler.decide(now, context.cores, &samples);
    if is_restless || decision.width > policy.concurrency_min.max(1) {
        running.stir();
    }
    let claim = Claim {
        wanted: decision.width,
        min: policy.concurrency_min,
        cpu_share: scaling.cpu_share,
        weight: 1.0,
    };
    drop(scaling);
    let running = Arc::clone(running);
    Some(Looked { running, feeds, samples, decision, claim, ordering })
}

fn grant(context: &Context, looked: &Looked, width: usize) {
    let Looked { running, feeds, samples, decision, ordering, .. } = looked;
    let allowed = width.clamp(1, context.trigger_width_max);
    let needs: Vec<Need> = samples
        .iter()
        .map(|sample| Need {
            backlog: sample.backlog,
            busy: sample.busy,
            is_blocked: sample.is_blocked,
        })
        .collect();
    let widths = apportion(allowed, *ordering, &needs);
    let mut scaling = running.scaling.lock().expect("nothing panics while it is held");
    let before = std::mem::replace(&mut scaling.allowed, allowed);
    scaling.wanted = decision.wanted;
    scaling.widths =
        feeds.iter().zip(&widths).map(|(feed, width)| (feed.cell.partition, *width)).collect();
    if before != allowed || scaling.reason.is_none() {
        let mut reason = decision.to_string();
        if allowed < decision.width {
            let cap = if allowed == context.trigger_width_max {
                ", capped by the guests that one trigger may have"
            } else {
                ", capped by what other triggers need"
            };
            reason.push_str(cap);
        }
        scaling.reason = Some(reason.into());
    }
    let reason = scaling.reason.clone().unwrap_or_default();
    drop(scaling);
    if before != allowed {
        tracing::debug!(trigger = %running.name, from = before, to = allowed, %reason, "scaled");
        context.tell(Kind::Scaled, &running.name, None, format!("{before} → {allowed}: {reason}"));
    }
    running.gate.set_width(allowed);
    running.figures.set_width(decision.wanted, allowed);
    for (feed, width) in feeds.iter().zip(widths) {
        feed.width.send_if_modified(|now| std::mem::replace(now, width) != width);
    }
}

/// Where partitions end, so that their lag is told as it is: a feed that does not read just now, or
/// has not woken yet, does not know of what was appended. Idle ones only where somebody looks at this
/// trigger: readiness looks at all of them.
pub(super) async fn look_at_ends(context: &Context, running: &RunningTrigger, idle_too: bool) {
    let now = context.now();
    for feed in running.feeds() {
        let seen = feed.cell.look(now);
        if seen.state == State::Idle && !idle_too {
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
