//! How many attempts a trigger may run at once, from how far it lags. One [`Autoscaler`] per trigger;
//! what several triggers share is in `share`. Knows no feed and reads no clock.
use crate::{
    share::cpu_bound,
    spec::{Ordering, Problem},
};
use log_contract::Timestamp;
use std::{fmt, time::Duration};

/// What a user sets of a trigger's width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingPolicy {
    pub concurrency_min: usize,
    pub concurrency_max: usize,
    /// No record shall wait longer.
    pub lag_target: Duration,
}

impl ScalingPolicy {
    /// Far beyond what one machine drives.
    pub const CONCURRENCY_MOST: usize = 10_000;

    /// A trigger that is not paused may always run one: a permission costs nothing, and so its first
    /// record waits for no decision.
    fn least(&self) -> usize {
        self.concurrency_min.min(self.concurrency_max).max(1)
    }

    /// All that is wrong, in the order of the fields.
    ///
    /// # Errors
    /// At least one problem.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut check = |field, is_wrong: bool, message: String| {
            if is_wrong {
                problems.push(Problem { field, message });
            }
        };
        let Self { concurrency_min: min, concurrency_max: max, lag_target } = *self;
        check("scaling.concurrency_min", min > max, format!("{min} is above the maximum, {max}"));
        check("scaling.concurrency_max", max == 0, "0 is below 1: pause the trigger".to_owned());
        let most = Self::CONCURRENCY_MOST;
        check("scaling.concurrency_max", max > most, format!("{max} is above {most}"));
        let least = Duration::from_millis(1);
        check(
            "scaling.lag_target",
            lag_target < least,
            format!("{lag_target:?} is shorter than {least:?}"),
        );
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// One partition of the trigger, as it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PartitionSample {
    /// Records between progress and the end.
    pub backlog: u64,
    /// Age of the oldest unsettled record.
    pub oldest: Duration,
    /// Records a second.
    pub arrival_rate: f64,
    /// Records a second that became durable.
    pub throughput: f64,
    /// Wall time of the attempts, per record. `None`: nothing was invoked yet.
    pub service_time: Option<Duration>,
    /// CPU time of the attempts by their wall time, 0 to 1.
    pub cpu_share: f64,
    /// The most attempts in flight since the sample before.
    pub busy: usize,
    /// Held by poison, circuit, a fault, an operator: more width would not help.
    pub is_blocked: bool,
}

/// What an [`Autoscaler`] decides, and why. `Display` is for events and metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// What the lag asks for, before any bound.
    pub wanted: usize,
    pub from: usize,
    /// How many attempts may run at once, as far as this trigger is concerned. At least 1.
    pub width: usize,
    /// Age of the oldest record that more width could help.
    pub lag: Duration,
    /// Per record.
    pub service_time: Option<Duration>,
    /// What keeps `width` below `wanted`, or above.
    pub cap: Option<Cap>,
}

/// A bound that a decision met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    ConcurrencyMin,
    ConcurrencyMax,
    /// `ordering: partition` runs one attempt per partition.
    Partitions,
    /// CPU-bound work: more attempts than cores only wait for each other.
    Cores,
    /// Up at once, but not to more than twice at a time.
    Step,
    /// The last growth brought nothing.
    Throughput,
    /// Less than half of what there is, is used.
    Unused,
    /// Down only after it was calm for a while.
    Calm,
}

/// Follows one trigger's lag.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    policy: ScalingPolicy,
    ordering: Ordering,
    width: usize,
    /// When it grew last, from which throughput at which width.
    growth: Option<Growth>,
    /// More than this width brought nothing, at this throughput.
    saturated: Option<(usize, f64)>,
    /// Since when less is wanted, and the most that was wanted since.
    calm: Option<(Timestamp, usize)>,
}

#[derive(Clone, Copy, Debug)]
struct Growth {
    at: Timestamp,
    from: usize,
    throughput: f64,
}

/// All partitions that more width could help, together.
struct Demand {
    wanted: usize,
    lag: Duration,
    service_time: Option<Duration>,
    cpu_share: f64,
    throughput: f64,
    busy: usize,
    partitions: usize,
}

impl Autoscaler {
    /// Between two steps up, so that the one before shows in what is measured.
    pub const STEP: Duration = Duration::from_secs(1);
    /// How long less must be wanted before there is less.
    pub const CALM: Duration = Duration::from_secs(15);
    /// A growth of width must bring so much more throughput of what it promises.
    const YIELD: f64 = 0.1;

    #[must_use]
    pub fn new(policy: ScalingPolicy, ordering: Ordering) -> Self {
        let width = policy.least();
        Self { policy, ordering, width, growth: None, saturated: None, calm: None }
    }

    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// A user sets another policy: what was learned stays.
    pub fn set_policy(&mut self, policy: ScalingPolicy, ordering: Ordering) {
        (self.policy, self.ordering) = (policy, ordering);
    }

    /// Decides on the width from now on. Asked again with the same, it answers the same.
    pub fn decide(&mut self, now: Timestamp, cores: f64, samples: &[PartitionSample]) -> Scaling {
        let demand = self.demand(samples);
        let from = self.width;
        self.learn(now, &demand);
        let (most, most_cap) = self.most(cores, &demand);
        let (mut width, mut cap) = (demand.wanted, None);
        if width > most {
            (width, cap) = (most, Some(most_cap));
        }
        let least = self.policy.least();
        if width < least {
            let is_asked = self.policy.concurrency_min > 0;
            (width, cap) = (least, is_asked.then_some(Cap::ConcurrencyMin));
        }
        if width > from {
            self.calm = None;
            (width, cap) = self.step_up(now, width, &demand).unwrap_or((width, cap));
        } else {
            (width, cap) = self.come_down(now, width).unwrap_or((width, cap));
        }
        self.width = width;
        let Demand { wanted, lag, service_time, .. } = demand;
        Scaling { wanted, from, width, lag, service_time, cap }
    }

    /// Steady work needs arrival rate × service time; what lies there shall be gone within the target.
    fn demand(&self, samples: &[PartitionSample]) -> Demand {
        let open: Vec<_> = samples.iter().filter(|sample| !sample.is_blocked).collect();
        let known: Vec<_> = open.iter().filter_map(|sample| sample.service_time).collect();
        let service_time = mean(&known);
        let target = self.policy.lag_target.as_secs_f64().max(0.001);
        let mut attempts = 0.0;
        for sample in &open {
            let service = sample.service_time.or(service_time).unwrap_or_default().as_secs_f64();
            let rate = finite(sample.arrival_rate) + sample.backlog as f64 / target;
            let needed = rate * service;
            // One key: a partition runs one attempt, however much lies there.
            attempts += if self.ordering == Ordering::Partition { needed.min(1.0) } else { needed };
        }
        let has_work = open.iter().any(|sample| sample.backlog > 0 || sample.busy > 0);
        let wanted = (attempts - 1e-9).ceil().clamp(0.0, 1e9) as usize;
        let busy: usize = open.iter().map(|sample| sample.busy).sum();
        let cpu = open.iter().map(|sample| finite(sample.cpu_share).min(1.0));
        let cpu_weight = open.iter().map(|sample| sample.busy.max(1) as f64);
        let (cpu, weight) = cpu
            .zip(cpu_weight)
            .fold((0.0, 0.0), |(sum, all), (cpu, weight)| (sum + cpu * weight, all + weight));
        Demand {
            wanted: wanted.max(usize::from(has_work)),
            lag: open.iter().map(|sample| sample.oldest).max().unwrap_or_default(),
            service_time,
            cpu_share: if weight > 0.0 { cpu / weight } else { 0.0 },
            throughput: open.iter().map(|sample| finite(sample.throughput)).sum(),
            busy,
            partitions: open.iter().filter(|sample| sample.backlog > 0 || sample.busy > 0).count(),
        }
    }

    /// Width grows only while throughput grows: service time rises with contention, and without this
    /// the loop would feed itself.
    fn learn(&mut self, now: Timestamp, demand: &Demand) {
        if let Some((width, throughput)) = self.saturated
            && (demand.wanted < width || is_apart(throughput, demand.throughput))
        {
            self.saturated = None;
        }
        let Some(growth) = self.growth.filter(|growth| growth.at.after(Self::STEP) <= now) else {
            return;
        };
        if demand.busy < self.width || growth.throughput <= 0.0 {
            // What is not used cannot show what it brings.
            return;
        }
        let promised = self.width as f64 / growth.from.max(1) as f64 - 1.0;
        let brought = demand.throughput / growth.throughput - 1.0;
        if brought < promised * Self::YIELD {
            self.saturated = Some((self.width, demand.throughput));
        }
        self.growth = None;
    }

    fn most(&self, cores: f64, demand: &Demand) -> (usize, Cap) {
        let mut most = (self.policy.concurrency_max, Cap::ConcurrencyMax);
        let cores = cpu_bound(cores, demand.cpu_share);
        if cores < most.0 {
            most = (cores, Cap::Cores);
        }
        if self.ordering == Ordering::Partition && demand.partitions < most.0 {
            most = (demand.partitions, Cap::Partitions);
        }
        most
    }

    /// At once, but not by more than doubling, and not while the last step has not paid.
    fn step_up(
        &mut self,
        now: Timestamp,
        to: usize,
        demand: &Demand,
    ) -> Option<(usize, Option<Cap>)> {
        let from = self.width;
        let least = self.policy.least();
        if from < least {
            // What is granted without any lag needs no steps.
            return Some((least, Some(Cap::ConcurrencyMin)));
        }
        if from > 0 && self.saturated.is_some() {
            return Some((from, Some(Cap::Throughput)));
        }
        if demand.busy * 2 < from {
            return Some((from, Some(Cap::Unused)));
        }
        if self.growth.is_some_and(|growth| now < growth.at.after(Self::STEP)) {
            return Some((from, Some(Cap::Step)));
        }
        self.growth = Some(Growth { at: now, from, throughput: demand.throughput });
        let step = (from * 2).max(1);
        (step < to).then_some((step, Some(Cap::Step)))
    }

    /// To the most that was wanted during the calm. A maximum that was lowered takes effect at once.
    fn come_down(&mut self, now: Timestamp, to: usize) -> Option<(usize, Option<Cap>)> {
        if self.policy.concurrency_max < self.width {
            self.calm = None;
            return Some((self.policy.concurrency_max, Some(Cap::ConcurrencyMax)));
        }
        if to == self.width {
            self.calm = None;
            return None;
        }
        let (since, peak) = self.calm.unwrap_or((now, to));
        let peak = peak.max(to);
        self.calm = Some((since, peak));
        if since.after(Self::CALM) <= now {
            self.calm = None;
            (self.growth, self.saturated) = (None, None);
            return Some((peak, None));
        }
        Some((self.width, Some(Cap::Calm)))
    }
}

/// More than a tenth.
fn is_apart(one: f64, other: f64) -> bool {
    (one - other).abs() > 0.1 * one.abs().max(other.abs())
}

/// A measurement gone wrong is none.
fn finite(number: f64) -> f64 {
    if number.is_finite() { number.max(0.0) } else { 0.0 }
}

fn mean(durations: &[Duration]) -> Option<Duration> {
    let count = u32::try_from(durations.len()).ok().filter(|count| *count > 0)?;
    let sum = durations.iter().fold(Duration::ZERO, |sum, one| sum.saturating_add(*one));
    Some(sum / count)
}

impl Cap {
    fn words(self) -> &'static str {
        match self {
            Self::ConcurrencyMin => "kept by concurrency_min",
            Self::ConcurrencyMax => "capped by concurrency_max",
            Self::Partitions => "one attempt per partition",
            Self::Cores => "capped by the cores",
            Self::Step => "one step at a time",
            Self::Throughput => "more width brought no more throughput",
            Self::Unused => "what there is, is not used",
            Self::Calm => "waits for calm",
        }
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lag {}", Shown(self.lag))?;
        if let Some(service_time) = self.service_time {
            write!(f, ", service {}", Shown(service_time))?;
        }
        match self.from == self.width {
            true => write!(f, ", {}", self.width)?,
            false => write!(f, ", {} -> {}", self.from, self.width)?,
        }
        match self.cap {
            Some(cap) => write!(f, ", {}", cap.words()),
            None => Ok(()),
        }
    }
}

/// Two or three digits and a unit.
struct Shown(Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            10.0.. => write!(f, "{seconds:.0} s"),
            1.0.. => write!(f, "{seconds:.1} s"),
            0.01.. => write!(f, "{:.0} ms", seconds * 1e3),
            0.001.. => write!(f, "{:.1} ms", seconds * 1e3),
            _ => write!(f, "{:.0} us", seconds * 1e6),
        }
    }
}
