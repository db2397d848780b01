//! All figures, in a registry of our own. Each struct belongs to the part that counts; what is many is
//! read where it stands at the scrape. Names: `millstream_<noun>_<unit>[_total]`.
use prometheus::{
    Counter, Encoder as _, Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry,
    TextEncoder,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use sandbox::Sandbox;
use std::sync::Arc;

/// The registry.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    #[must_use]
    pub fn new() -> Self {
        Self { registry: Registry::new() }
    }

    /// Adds the figures of the sandbox, and the program's own.
    ///
    /// # Errors
    /// A name is wrong or taken: a bug.
    pub fn watch(&self, sandbox: &Arc<Sandbox>) -> prometheus::Result<()> {
        self.registry.register(Box::new(Guests::new(Arc::clone(sandbox))?))?;
        let opts = Opts::new("millstream_build_info", "The program's version.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(opts)?;
        build.set(1);
        self.registry.register(Box::new(build))
    }

    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Prometheus text, and its content type.
    #[must_use]
    pub fn render(&self) -> (String, &'static str) {
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        if let Err(error) = encoder.encode(&self.registry.gather(), &mut text) {
            tracing::error!(error = &error as &dyn std::error::Error, "metrics do not encode");
        }
        (String::from_utf8_lossy(&text).into_owned(), prometheus::TEXT_FORMAT)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// How long the log took.
#[derive(Debug)]
pub struct LogFigures {
    pub append_seconds: Histogram,
    pub fsync_seconds: Histogram,
}

const LOG_SECONDS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

impl LogFigures {
    /// # Errors
    /// A name is taken: a bug.
    pub fn register(registry: &Registry) -> prometheus::Result<Arc<Self>> {
        let histogram = |name: &str, help: &str| {
            let opts = HistogramOpts::new(format!("millstream_log_{name}_seconds"), help);
            let histogram = Histogram::with_opts(opts.buckets(LOG_SECONDS.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        Ok(Arc::new(Self {
            append_seconds: histogram("append", "From the call of an append to its answer.")?,
            fsync_seconds: histogram("fsync", "Syncs of the journal.")?,
        }))
    }

    /// # Errors
    /// A name is taken: a bug.
    pub fn register_journal(
        registry: &Registry,
        bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> prometheus::Result<()> {
        let help = "Size of the journal's files.";
        let gauge = IntGauge::new("millstream_log_journal_bytes", help)?;
        registry.register(Box::new(Journal { bytes, gauge }))
    }
}

struct Journal {
    bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    gauge: IntGauge,
}

impl Collector for Journal {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(i64::try_from((self.bytes)()).unwrap_or(i64::MAX));
        self.gauge.collect()
    }
}

/// What the sandbox counts itself.
#[derive(Debug)]
struct Guests {
    sandbox: Arc<Sandbox>,
    live: IntGauge,
    memory: IntGauge,
    functions: IntGauge,
    invocations: IntCounter,
    pooled: IntCounter,
    compiles: IntCounter,
    compile_seconds: Counter,
}

impl Guests {
    fn new(sandbox: Arc<Sandbox>) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| IntGauge::new(format!("millstream_{name}"), help);
        let counter = |name: &str, help: &str| IntCounter::new(format!("millstream_{name}"), help);
        Ok(Self {
            sandbox,
            live: gauge("guest_instances", "Invocations under way.")?,
            memory: gauge("guest_memory_bytes", "Linear memory of guests that run now.")?,
            functions: gauge("guest_functions_loaded", "Functions ready to run.")?,
            invocations: counter("guest_invocations_total", "Invocations of all functions.")?,
            pooled: counter(
                "guest_invocations_pooled_total",
                "Invocations that got a slot of the pool.",
            )?,
            compiles: counter("guest_compiles_total", "Components compiled.")?,
            compile_seconds: Counter::new(
                "millstream_guest_compile_seconds_total",
                "Time spent compiling components.",
            )?,
        })
    }

    fn parts(&self) -> [&dyn Collector; 7] {
        [
            &self.live,
            &self.memory,
            &self.functions,
            &self.invocations,
            &self.pooled,
            &self.compiles,
            &self.compile_seconds,
        ]
    }
}

impl Collector for Guests {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let stats = self.sandbox.stats();
        let size = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.live.set(size(stats.instances_live));
        self.memory.set(size(stats.guest_memory_bytes));
        self.functions.set(size(stats.functions_loaded));
        raise(&self.invocations, stats.invocations_total);
        raise(&self.pooled, stats.pooled_total);
        raise(&self.compiles, stats.compiles_total);
        let compiling = stats.compile_time_total.as_secs_f64() - self.compile_seconds.get();
        self.compile_seconds.inc_by(compiling.max(0.0));
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

/// Two scrapes at once must not count twice; one that loses is right at the next.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
