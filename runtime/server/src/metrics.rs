//! All figures, in a registry of our own. Each struct belongs to the part that counts; what is many is
//! read where it stands at the scrape. Names: `millstream_<noun>_<unit>[_total]`.
use prometheus::{
    Encoder as _, Gauge, IntCounter, IntGauge, Opts, Registry, TextEncoder,
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
    /// With the figures of the sandbox.
    ///
    /// # Errors
    /// A name is wrong or taken: a bug.
    pub fn new(sandbox: &Arc<Sandbox>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(Guests::new(Arc::clone(sandbox))?))?;
        let opts = Opts::new("millstream_build_info", "The program's version.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(opts)?;
        build.set(1);
        registry.register(Box::new(build))?;
        Ok(Self { registry })
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
    compile_seconds: Gauge,
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
            compile_seconds: Gauge::new(
                "millstream_guest_compile_seconds",
                "Time spent compiling components since the start.",
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
        self.compile_seconds.set(stats.compile_time_total.as_secs_f64());
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

/// Two scrapes at once must not count twice; one that loses is right at the next.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
