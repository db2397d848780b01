//! The figures of triggers: counters that drivers raise, and a collector that reads the rest from the
//! statuses at the scrape. Series go with their trigger. Never a figure that no metric page shows.
use super::board::Board;
use log_contract::{Clock, PartitionId, TriggerName};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use std::{collections::HashMap, sync::Arc};
use trigger::Counts;

/// All series of all triggers.
#[derive(Debug)]
pub(super) struct Figures {
    records_in: IntCounterVec,
    records_out: IntCounterVec,
    records_handled: IntCounterVec,
    records_retried: IntCounterVec,
    records_dead_lettered: IntCounterVec,
    records_dropped: IntCounterVec,
    records_lost: IntCounterVec,
    batches: IntCounterVec,
    invocations: IntCounterVec,
    bisects: IntCounterVec,
    invocation_seconds: HistogramVec,
    cpu_seconds: prometheus::CounterVec,
    width_wanted: IntGaugeVec,
    width_allowed: IntGaugeVec,
}

/// The series of one trigger. Removed with it.
#[derive(Debug)]
pub(super) struct TriggerFigures {
    all: Arc<Figures>,
    trigger: TriggerName,
    records_in: IntCounter,
    records_out: IntCounter,
    records_handled: IntCounter,
    records_retried: IntCounter,
    records_dead_lettered: IntCounter,
    records_dropped: IntCounter,
    records_lost: IntCounter,
    batches: IntCounter,
    bisects: IntCounter,
    pub(super) invocation_seconds: prometheus::Histogram,
    pub(super) cpu_seconds: prometheus::Counter,
    pub(super) width_wanted: prometheus::IntGauge,
    pub(super) width_allowed: prometheus::IntGauge,
}

const TRIGGER: &[&str] = &["trigger"];
const SECONDS: &[f64] =
    &[0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

impl Figures {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Arc<Self>> {
        let register = |collector: Box<dyn Collector>| registry.register(collector);
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let opts = Opts::new(format!("millstream_trigger_{name}_total"), help);
            let counter = IntCounterVec::new(opts, labels)?;
            register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let opts = Opts::new(format!("millstream_trigger_{name}"), help);
            let gauge = IntGaugeVec::new(opts, TRIGGER)?;
            register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let seconds = HistogramOpts::new(
            "millstream_trigger_invocation_seconds",
            "Wall time of invocations.",
        );
        let invocation_seconds = HistogramVec::new(seconds.buckets(SECONDS.to_vec()), TRIGGER)?;
        register(Box::new(invocation_seconds.clone()))?;
        let cpu = Opts::new(
            "millstream_trigger_invocation_cpu_seconds_total",
            "CPU time of invocations.",
        );
        let cpu_seconds = prometheus::CounterVec::new(cpu, TRIGGER)?;
        register(Box::new(cpu_seconds.clone()))?;
        Ok(Arc::new(Self {
            records_in: counter("records_in", "Records read from the source.", TRIGGER)?,
            records_out: counter("records_out", "Output records that became visible.", TRIGGER)?,
            records_handled: counter("records_handled", "Records handled.", TRIGGER)?,
            records_retried: counter("records_retried", "Records handed out again.", TRIGGER)?,
            records_dead_lettered: counter(
                "records_dead_lettered",
                "Records written to the dead-letter topic.",
                TRIGGER,
            )?,
            records_dropped: counter(
                "records_dropped",
                "Records that ended without a dead letter, as the trigger says.",
                TRIGGER,
            )?,
            records_lost: counter("records_lost", "Offsets that retention took unread.", TRIGGER)?,
            batches: counter("batches", "Batches handed out for the first time.", TRIGGER)?,
            invocations: counter("invocations", "Answers by outcome.", &["trigger", "outcome"])?,
            bisects: counter("bisects", "Batches cut into halves.", TRIGGER)?,
            invocation_seconds,
            cpu_seconds,
            width_wanted: gauge("width_wanted", "Attempts at once that the lag asks for.")?,
            width_allowed: gauge("width_allowed", "Attempts at once that may run.")?,
        }))
    }

    pub(super) fn of(self: &Arc<Self>, trigger: &TriggerName) -> TriggerFigures {
        let label = &[trigger.as_str()];
        TriggerFigures {
            all: Arc::clone(self),
            trigger: trigger.clone(),
            records_in: self.records_in.with_label_values(label),
            records_out: self.records_out.with_label_values(label),
            records_handled: self.records_handled.with_label_values(label),
            records_retried: self.records_retried.with_label_values(label),
            records_dead_lettered: self.records_dead_lettered.with_label_values(label),
            records_dropped: self.records_dropped.with_label_values(label),
            records_lost: self.records_lost.with_label_values(label),
            batches: self.batches.with_label_values(label),
            bisects: self.bisects.with_label_values(label),
            invocation_seconds: self.invocation_seconds.with_label_values(label),
            cpu_seconds: self.cpu_seconds.with_label_values(label),
            width_wanted: self.width_wanted.with_label_values(label),
            width_allowed: self.width_allowed.with_label_values(label),
        }
    }
}

impl TriggerFigures {
    /// Adds what a feed did between two looks at its counts.
    pub(super) fn add(&self, before: &Counts, now: &Counts) {
        self.records_in.inc_by(now.records_in - before.records_in);
        self.records_out.inc_by(now.records_out - before.records_out);
        self.records_handled.inc_by(now.records_handled - before.records_handled);
        self.records_retried.inc_by(now.records_retried - before.records_retried);
        self.records_dead_lettered.inc_by(now.dead_lettered.total() - before.dead_lettered.total());
        self.records_dropped.inc_by(now.dropped.total() - before.dropped.total());
        self.records_lost.inc_by(now.records_lost - before.records_lost);
        self.batches.inc_by(now.batches - before.batches);
        self.bisects.inc_by(now.bisects - before.bisects);
        if now.invocations == before.invocations {
            return;
        }
        let pairs = now.invocations.by_outcome().zip(before.invocations.by_outcome());
        for ((outcome, now), (_, before)) in pairs.filter(|((_, now), (_, before))| now != before) {
            let labels = &[self.trigger.as_str(), outcome];
            self.all.invocations.with_label_values(labels).inc_by(now - before);
        }
    }

    /// The series go with the trigger, before another of its name may begin.
    pub(super) fn remove(&self) {
        let label = &[self.trigger.as_str()];
        let all = &self.all;
        let counters = [
            &all.records_in,
            &all.records_out,
            &all.records_handled,
            &all.records_retried,
            &all.records_dead_lettered,
            &all.records_dropped,
            &all.records_lost,
            &all.batches,
            &all.bisects,
        ];
        // Removing a series that is not there is no fault.
        for counter in counters {
            drop(counter.remove_label_values(label));
        }
        for (outcome, _) in Counts::default().invocations.by_outcome() {
            drop(all.invocations.remove_label_values(&[self.trigger.as_str(), outcome]));
        }
        drop(all.invocation_seconds.remove_label_values(label));
        drop(all.cpu_seconds.remove_label_values(label));
        drop(all.width_wanted.remove_label_values(label));
        drop(all.width_allowed.remove_label_values(label));
    }
}

/// Lag and busy attempts, read when they are asked for.
#[derive(Debug)]
pub(super) struct Gauges {
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    partitions_max: usize,
    lag_records: IntGaugeVec,
    lag_seconds: prometheus::GaugeVec,
    busy: IntGaugeVec,
    open_bytes: IntGaugeVec,
}

impl Gauges {
    pub(super) fn register(
        registry: &Registry,
        board: Arc<Board>,
        clock: Arc<dyn Clock>,
        partitions_max: usize,
    ) -> prometheus::Result<()> {
        let opts = |name: &str, help: &str| Opts::new(format!("millstream_trigger_{name}"), help);
        let by_partition = &["trigger", "topic", "partition"];
        let lag = "Records between the first that is not done and the end.";
        let age = "Age of the oldest record that is not done.";
        let gauges = Self {
            board,
            clock,
            partitions_max,
            lag_records: IntGaugeVec::new(opts("lag_records", lag), by_partition)?,
            lag_seconds: prometheus::GaugeVec::new(opts("lag_seconds", age), by_partition)?,
            busy: IntGaugeVec::new(opts("width_busy", "Attempts that run now."), TRIGGER)?,
            open_bytes: IntGaugeVec::new(
                opts("open_bytes", "Bytes fetched and not settled."),
                TRIGGER,
            )?,
        };
        registry.register(Box::new(gauges))
    }

    fn read(&self) {
        self.lag_records.reset();
        self.lag_seconds.reset();
        self.busy.reset();
        self.open_bytes.reset();
        let now = self.clock.now();
        let mut by_trigger: HashMap<TriggerName, Vec<_>> = HashMap::new();
        self.board.each(|cell| {
            by_trigger.entry(cell.trigger.clone()).or_default().push((
                Arc::clone(&cell.topic),
                cell.partition,
                cell.look(now),
            ));
        });
        for (trigger, feeds) in by_trigger {
            let has_partitions = feeds.len() <= self.partitions_max;
            for (topic, partition, seen) in feeds {
                let number = partition_label(partition, has_partitions);
                let labels = &[trigger.as_str(), topic.as_ref(), number.as_str()];
                let lag = i64::try_from(seen.lag_records).unwrap_or(i64::MAX);
                self.lag_records.with_label_values(labels).add(lag);
                let age = self.lag_seconds.with_label_values(labels);
                age.set(age.get().max(seen.lag_seconds));
                let label = &[trigger.as_str()];
                self.busy.with_label_values(label).add(i64::from(seen.busy));
                let open = i64::try_from(seen.open_bytes).unwrap_or(i64::MAX);
                self.open_bytes.with_label_values(label).add(open);
            }
        }
    }
}

fn partition_label(partition: PartitionId, is_shown: bool) -> String {
    if is_shown { partition.to_string() } else { "all".into() }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.lag_records.desc();
        all.extend(self.lag_seconds.desc());
        all.extend(self.busy.desc());
        all.extend(self.open_bytes.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        let mut all = self.lag_records.collect();
        all.extend(self.lag_seconds.collect());
        all.extend(self.busy.collect());
        all.extend(self.open_bytes.collect());
        all
    }
}
