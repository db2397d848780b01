//! The figures of triggers: plain numbers that drivers raise, and collectors that show them at the scrape,
//! with what the statuses say. A trigger that rests costs a few hundred bytes here, so that there may be many.
//! Series go with their trigger. Never a figure that no metric page shows.
use super::board::Board;
use dashmap::DashMap;
use log_contract::{Clock, PartitionId, TriggerName};
use prometheus::{
    Opts, Registry,
    core::{Collector, Desc, Describer as _},
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use trigger::Counts;

/// A name, a help text, and how the number is read off a feed's counts.
type Counted = (&'static str, &'static str, fn(&Counts) -> u64);

/// What is counted of each trigger.
const COUNTERS: [Counted; 9] = [
    ("records_in_total", "Records read from the source.", |it| it.records_in),
    ("records_out_total", "Output records that became visible.", |it| it.records_out),
    ("records_handled_total", "Records handled.", |it| it.records_handled),
    ("records_retried_total", "Records handed out again.", |it| it.records_retried),
    ("records_dead_lettered_total", "Records written to the dead-letter topic.", |it| {
        it.dead_lettered.total()
    }),
    (
        "records_dropped_total",
        "Records that ended without a dead letter, as the trigger says.",
        |it| it.dropped.total(),
    ),
    ("records_lost_total", "Offsets that retention took unread.", |it| it.records_lost),
    ("batches_total", "Batches handed out for the first time.", |it| it.batches),
    ("bisects_total", "Batches cut into halves.", |it| it.bisects),
];
const OUTCOMES: usize = 10;
const INVOCATIONS: (&str, &str) = ("invocations_total", "Answers by outcome.");
const CPU: (&str, &str) = ("invocation_cpu_seconds_total", "CPU time of invocations.");
const FEED: (&str, &str) =
    ("feed_seconds_total", "Time on a thread that feeds took beside their guests.");
const WALL: (&str, &str) = ("invocation_seconds", "Wall time of invocations.");
const WANTED: (&str, &str) = ("width_wanted", "Attempts at once that the lag asks for.");
const ALLOWED: (&str, &str) = ("width_allowed", "Attempts at once that may run.");
const SECONDS: [f64; 14] =
    [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// All numbers of all triggers.
#[derive(Debug, Default)]
pub(super) struct Figures(DashMap<TriggerName, Arc<Numbers>>);

#[derive(Debug, Default)]
struct Numbers {
    counters: [AtomicU64; COUNTERS.len()],
    by_outcome: [AtomicU64; OUTCOMES],
    cpu_nanos: AtomicU64,
    feed_nanos: AtomicU64,
    wall_nanos: AtomicU64,
    /// Invocations by wall time; the last is beyond all bounds.
    by_wall: [AtomicU64; SECONDS.len() + 1],
    wanted: AtomicU64,
    allowed: AtomicU64,
}

/// The numbers of one trigger. Removed with it.
#[derive(Debug)]
pub(super) struct TriggerFigures {
    all: Arc<Figures>,
    trigger: TriggerName,
    numbers: Arc<Numbers>,
}

impl Figures {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Arc<Self>> {
        let figures = Arc::<Self>::default();
        registry.register(Box::new(Shown::of(Arc::clone(&figures))?))?;
        Ok(figures)
    }

    pub(super) fn of(self: &Arc<Self>, trigger: &TriggerName) -> TriggerFigures {
        let numbers = Arc::clone(&self.0.entry(trigger.clone()).or_default());
        TriggerFigures { all: Arc::clone(self), trigger: trigger.clone(), numbers }
    }
}

impl TriggerFigures {
    /// Adds what a feed did between two looks at its counts.
    pub(super) fn add(&self, before: &Counts, now: &Counts) {
        for ((_, _, read), counter) in COUNTERS.iter().zip(&self.numbers.counters) {
            raise(counter, read(now) - read(before));
        }
        if now.invocations == before.invocations {
            return;
        }
        let pairs = now.invocations.by_outcome().zip(before.invocations.by_outcome());
        for (((_, now), (_, before)), counter) in pairs.zip(&self.numbers.by_outcome) {
            raise(counter, now - before);
        }
    }

    /// One invocation is over.
    pub(super) fn spent(&self, wall: Duration, cpu: Duration) {
        raise(&self.numbers.cpu_nanos, nanos(cpu));
        raise(&self.numbers.wall_nanos, nanos(wall));
        let bucket = SECONDS.partition_point(|bound| *bound < wall.as_secs_f64());
        raise(&self.numbers.by_wall[bucket], 1);
    }

    /// A feed had a thread for so long.
    pub(super) fn fed(&self, time: Duration) {
        raise(&self.numbers.feed_nanos, nanos(time));
    }

    pub(super) fn set_width(&self, wanted: usize, allowed: usize) {
        self.numbers.wanted.store(wanted as u64, Ordering::Relaxed);
        self.numbers.allowed.store(allowed as u64, Ordering::Relaxed);
    }

    /// The series go with the trigger, before another of its name may begin.
    pub(super) fn remove(&self) {
        self.all.0.remove(&self.trigger);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn raise(counter: &AtomicU64, by: u64) {
    if by > 0 {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

fn read(counter: &AtomicU64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "prometheus has no other numbers")]
    let value = counter.load(Ordering::Relaxed) as f64;
    value
}

/// All of it, as a metric page has it.
struct Shown {
    figures: Arc<Figures>,
    descs: Vec<Desc>,
}

impl Shown {
    fn of(figures: Arc<Figures>) -> prometheus::Result<Self> {
        let all = COUNTERS.iter().map(|(name, help, _)| (*name, *help, TRIGGER));
        let others = [CPU, FEED, WALL, WANTED, ALLOWED].map(|(name, help)| (name, help, TRIGGER));
        let by_outcome: &[&str] = &["trigger", "outcome"];
        let all = all.chain(others).chain([(INVOCATIONS.0, INVOCATIONS.1, by_outcome)]);
        let descs = all.map(|(name, help, labels)| describe(name, help, labels));
        Ok(Self { figures, descs: descs.collect::<prometheus::Result<_>>()? })
    }
}

impl Collector for Shown {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // By name, so that a page is the same each time.
        let all: BTreeMap<TriggerName, Arc<Numbers>> =
            self.figures.0.iter().map(|it| (it.key().clone(), Arc::clone(it.value()))).collect();
        let each = |show: &dyn Fn(&Numbers) -> Metric| -> Vec<Metric> {
            let show = |(trigger, numbers): (&TriggerName, &Arc<Numbers>)| {
                let mut metric = show(numbers);
                metric.set_label(vec![label("trigger", trigger.as_str())]);
                metric
            };
            all.iter().map(show).collect()
        };
        let mut pages: Vec<MetricFamily> = COUNTERS
            .iter()
            .enumerate()
            .map(|(nth, (name, help, _))| {
                let metrics = each(&|it| counter(read(&it.counters[nth])));
                family(name, help, MetricType::COUNTER, metrics)
            })
            .collect();
        let outcomes: Vec<&str> =
            Counts::default().invocations.by_outcome().map(|(outcome, _)| outcome).collect();
        let invocations = all.iter().flat_map(|(trigger, numbers)| {
            let counted = outcomes.iter().zip(&numbers.by_outcome);
            let counted = counted.map(|(outcome, number)| (outcome, read(number)));
            counted.filter(|(_, number)| *number > 0.0).map(|(outcome, number)| {
                let mut metric = counter(number);
                metric
                    .set_label(vec![label("outcome", outcome), label("trigger", trigger.as_str())]);
                metric
            })
        });
        let (counters, gauges) = (MetricType::COUNTER, MetricType::GAUGE);
        pages.push(family(INVOCATIONS.0, INVOCATIONS.1, counters, invocations.collect()));
        let cpu = each(&|it| counter(read(&it.cpu_nanos) / 1e9));
        pages.push(family(CPU.0, CPU.1, counters, cpu));
        let feed = each(&|it| counter(read(&it.feed_nanos) / 1e9));
        pages.push(family(FEED.0, FEED.1, counters, feed));
        pages.push(family(WALL.0, WALL.1, MetricType::HISTOGRAM, each(&histogram)));
        let wanted = each(&|it| gauge(read(&it.wanted)));
        pages.push(family(WANTED.0, WANTED.1, gauges, wanted));
        let allowed = each(&|it| gauge(read(&it.allowed)));
        pages.push(family(ALLOWED.0, ALLOWED.1, gauges, allowed));
        pages
    }
}

fn histogram(of: &Numbers) -> Metric {
    let mut sum = 0;
    let mut buckets = Vec::with_capacity(SECONDS.len());
    for (bound, count) in SECONDS.iter().zip(&of.by_wall) {
        sum += count.load(Ordering::Relaxed);
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(sum);
        buckets.push(bucket);
    }
    let beyond = of.by_wall[SECONDS.len()].load(Ordering::Relaxed);
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(sum + beyond);
    histogram.set_sample_sum(read(&of.wall_nanos) / 1e9);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

fn counter(value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn gauge(value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    metric
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.into());
    label.set_value(value.into());
    label
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(full(name));
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn describe(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Desc> {
    let opts = Opts::new(full(name), help);
    opts.variable_labels(labels.iter().map(|label| (*label).into()).collect()).describe()
}

fn full(name: &str) -> String {
    format!("millstream_trigger_{name}")
}

const TRIGGER: &[&str] = &["trigger"];
const BY_PARTITION: &[&str] = &["trigger", "topic", "partition"];
const LAG: (&str, &str) =
    ("lag_records", "Records between the first that is not done and the end.");
const AGE: (&str, &str) = ("lag_seconds", "Age of the oldest record that is not done.");
const BUSY: (&str, &str) = ("width_busy", "Attempts that run now.");
const OPEN: (&str, &str) = ("open_bytes", "Bytes fetched and not settled.");

/// Lag and busy attempts, read when they are asked for.
pub(super) struct Gauges {
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    partitions_max: usize,
    descs: [Desc; 4],
}

/// Of a trigger's partitions that have one label.
#[derive(Default)]
struct Lag {
    records: u64,
    seconds: f64,
}

impl Gauges {
    pub(super) fn register(
        registry: &Registry,
        board: Arc<Board>,
        clock: Arc<dyn Clock>,
        partitions_max: usize,
    ) -> prometheus::Result<()> {
        let descs = [
            describe(LAG.0, LAG.1, BY_PARTITION)?,
            describe(AGE.0, AGE.1, BY_PARTITION)?,
            describe(BUSY.0, BUSY.1, TRIGGER)?,
            describe(OPEN.0, OPEN.1, TRIGGER)?,
        ];
        registry.register(Box::new(Self { board, clock, partitions_max, descs }))
    }

    fn read(&self) -> [Vec<Metric>; 4] {
        let now = self.clock.now();
        let mut by_trigger: BTreeMap<TriggerName, Vec<_>> = BTreeMap::new();
        self.board.each(|cell| {
            by_trigger.entry(cell.trigger.clone()).or_default().push((
                Arc::clone(&cell.topic),
                cell.partition,
                cell.look(now),
            ));
        });
        let [mut lags, mut ages, mut busys, mut opens] = <[Vec<Metric>; 4]>::default();
        for (trigger, feeds) in by_trigger {
            let has_partitions = feeds.len() <= self.partitions_max;
            let (mut busy, mut open) = (0, 0);
            let mut lag: HashMap<(Arc<str>, String), Lag> = HashMap::new();
            for (topic, partition, seen) in feeds {
                let number = partition_label(partition, has_partitions);
                let lag = lag.entry((topic, number)).or_default();
                lag.records += seen.lag_records;
                lag.seconds = lag.seconds.max(seen.lag_seconds);
                busy += u64::from(seen.busy);
                open += seen.open_bytes as u64;
            }
            for ((topic, partition), lag) in lag {
                // In the order in which pages have them.
                let labels = || {
                    vec![
                        label("partition", &partition),
                        label("topic", &topic),
                        label("trigger", trigger.as_str()),
                    ]
                };
                lags.push(labelled(lag.records as f64, labels()));
                ages.push(labelled(lag.seconds, labels()));
            }
            let labels = || vec![label("trigger", trigger.as_str())];
            busys.push(labelled(busy as f64, labels()));
            opens.push(labelled(open as f64, labels()));
        }
        [lags, ages, busys, opens]
    }
}

fn labelled(value: f64, labels: Vec<LabelPair>) -> Metric {
    let mut metric = gauge(value);
    metric.set_label(labels);
    metric
}

fn partition_label(partition: PartitionId, is_shown: bool) -> String {
    if is_shown { partition.to_string() } else { "all".into() }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let pages = [LAG, AGE, BUSY, OPEN].into_iter().zip(self.read());
        let page = |((name, help), metrics)| family(name, help, MetricType::GAUGE, metrics);
        pages.map(page).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(registry: &Registry) -> String {
        let families = registry.gather();
        prometheus::TextEncoder::new().encode_to_string(&families).expect("it is text")
    }

    #[test]
    fn a_page_has_what_was_counted_and_nothing_of_who_has_gone() {
        let registry = Registry::new();
        let figures = Figures::register(&registry).expect("it registers");
        let name = |text| TriggerName::parse(text).expect("a name");
        let (one, two) = (figures.of(&name("one")), figures.of(&name("two")));
        let mut now = Counts { records_in: 7, ..Counts::default() };
        now.invocations.handled = 2;
        one.add(&Counts::default(), &now);
        for millis in [0, 3, 60_000] {
            one.spent(Duration::from_millis(millis), Duration::from_millis(millis / 2));
        }
        one.set_width(3, 2);
        one.fed(Duration::from_millis(1_500));
        one.fed(Duration::from_millis(250));
        let text = page(&registry);
        for line in [
            "# TYPE millstream_trigger_records_in_total counter",
            "millstream_trigger_records_in_total{trigger=\"one\"} 7",
            "millstream_trigger_records_in_total{trigger=\"two\"} 0",
            "millstream_trigger_invocations_total{outcome=\"handled\",trigger=\"one\"} 2",
            "millstream_trigger_invocation_seconds_bucket{trigger=\"one\",le=\"0.0001\"} 1",
            "millstream_trigger_invocation_seconds_bucket{trigger=\"one\",le=\"30\"} 2",
            "millstream_trigger_invocation_seconds_bucket{trigger=\"one\",le=\"+Inf\"} 3",
            "millstream_trigger_invocation_seconds_sum{trigger=\"one\"} 60.003",
            "millstream_trigger_invocation_cpu_seconds_total{trigger=\"one\"} 30.001",
            "millstream_trigger_feed_seconds_total{trigger=\"one\"} 1.75",
            "millstream_trigger_width_wanted{trigger=\"one\"} 3",
            "millstream_trigger_width_allowed{trigger=\"one\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("outcome=\"handled\",trigger=\"two\""));
        one.remove();
        drop(two);
        let text = page(&registry);
        assert!(!text.contains("one") && text.contains("{trigger=\"two\"} 0"), "{text}");
    }

    #[test]
    fn each_outcome_has_its_place() {
        assert_eq!(Counts::default().invocations.by_outcome().count(), OUTCOMES);
    }
}
