//! The sandbox's face: admits components, loads functions, runs calls. What each does is elsewhere.
use crate::{
    admit::{self, AdmitError, Admitted, HostTrouble, WORLD},
    artifacts::Artifacts,
    call::{Call, Invoked},
    config::SandboxConfig,
    engine::Engines,
    function::{Function, LoadError},
    guest_runtime::GuestRuntime,
    invoke::{Runner, not_run},
    stats::Stats,
    ticker::Ticker,
    turns::Turns,
};
use bytes::Bytes;
use dashmap::DashMap;
use log_contract::{Blobs, Digest};
use std::{
    fmt,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

/// Runs functions. One per process. Guests have threads of their own, so that whoever calls is never held
/// up by one that burns.
pub struct Sandbox {
    component_bytes_max: usize,
    memory_max: usize,
    engines: Arc<Engines>,
    artifacts: Artifacts,
    /// Whoever runs a function holds it; here it is only found again.
    functions: DashMap<Digest, Weak<Function>>,
    runner: Arc<Runner>,
    ticker: Ticker,
    guests: GuestRuntime,
}

impl Sandbox {
    /// Opens the cache of compiled components, throws out what another version left there, starts the
    /// guests' threads.
    ///
    /// # Errors
    /// If the directory, the engine or the threads cannot be made.
    pub fn new(config: SandboxConfig) -> Result<Arc<Self>, HostTrouble> {
        let engines = Engines::new(&config)
            .map_err(|error| HostTrouble::new("make the engine".into(), &format!("{error:#}")))?;
        let engines = Arc::new(engines);
        let threads = |error| HostTrouble::new("start the guests' threads".into(), &error);
        let ticker = Ticker::start(Arc::clone(&engines)).map_err(threads)?;
        let guests = GuestRuntime::start(config.guest_threads).map_err(threads)?;
        let ticked = Arc::clone(&engines);
        let runner = Runner::new(
            engines.slots(config.slots),
            config.memory_max,
            Turns::new(config.guest_threads, move || ticked.tick()),
        );
        let artifacts = Artifacts::open(
            config.artifacts_dir,
            config.compile_command,
            config.compile,
            engines.fingerprint(),
        )?;
        Ok(Arc::new(Self {
            component_bytes_max: config.component_bytes_max,
            memory_max: config.memory_max,
            engines,
            artifacts,
            functions: DashMap::new(),
            runner: Arc::new(runner),
            ticker,
            guests,
        }))
    }

    /// Checks an upload and compiles it, one at a time, in a bounded process.
    ///
    /// # Errors
    /// What is wrong with the component and what to do, or trouble of the host.
    pub async fn admit(&self, component: Bytes) -> Result<Admitted, AdmitError> {
        admit::check_form(&component, self.component_bytes_max)?;
        let digest = Digest::of(&component);
        let took = self.artifacts.compile(digest, &component).await?;
        let function = self.open(digest).inspect_err(|_| self.artifacts.remove(digest))?;
        Ok(Admitted {
            digest,
            imports: function.imports().to_vec(),
            world: WORLD.into(),
            compile_ms: millis(took),
            bytes: component.len(),
        })
    }

    /// Makes a function that was admitted once ready to run. Compiles again, from `blobs`, only if this
    /// engine has not compiled it yet. The same function twice is the same `Arc`.
    ///
    /// # Errors
    /// If the component is gone, not fit for this version, or the host is in trouble.
    pub async fn load(
        &self,
        digest: Digest,
        blobs: &dyn Blobs,
    ) -> Result<Arc<Function>, LoadError> {
        let known = self.functions.get(&digest).and_then(|known| known.upgrade());
        if let Some(function) = known {
            return Ok(function);
        }
        if self.artifacts.has(digest) {
            match self.open(digest) {
                Ok(function) => return Ok(function),
                // A damaged file, perhaps: what it was made of tells.
                Err(error) => {
                    tracing::warn!(%digest, %error, "a compiled component is compiled again");
                    self.artifacts.remove(digest);
                }
            }
        }
        let component = blobs.fetch(digest).await.map_err(|error| {
            LoadError::Host(HostTrouble::new(format!("fetch component `{digest}`"), &error))
        })?;
        let component = component.ok_or(LoadError::Missing(digest))?;
        let sort = |error| match error {
            AdmitError::Host(trouble) => LoadError::Host(trouble),
            source => LoadError::Refused { digest, source },
        };
        self.artifacts.compile(digest, &component).await.map_err(sort)?;
        self.open(digest).map_err(sort)
    }

    /// Throws the compiled form of a component away, when no version has it any more.
    pub fn forget(&self, digest: Digest) {
        self.artifacts.remove(digest);
    }

    /// Runs one call in a fresh instance on the guests' threads. Dropping the future ends the guest.
    pub async fn invoke(self: &Arc<Self>, function: &Arc<Function>, call: Call) -> Invoked {
        let (sandbox, function) = (Arc::clone(self), Arc::clone(function));
        let work = async move {
            let _live = sandbox.ticker.live();
            sandbox.runner.run(&function, call).await
        };
        let ran = self.guests.run(work).await;
        ran.unwrap_or_else(|| not_run("the host broke down while it ran a guest"))
    }

    /// The guests' threads, for whoever waits for guests and does little else: it must give way often, and
    /// waits itself while a guest that burns has the core.
    #[must_use]
    pub fn threads(&self) -> &tokio::runtime::Handle {
        self.guests.handle()
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        let (compiles_total, compile_time_total) = self.artifacts.compiles();
        let count = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        let is_loaded = |known: &Weak<Function>| known.strong_count() > 0;
        Stats {
            instances_live: self.ticker.count(),
            guest_memory_bytes: self.runner.gauge.bytes(),
            functions_loaded: self.functions.iter().filter(|known| is_loaded(known)).count() as u64,
            invocations_total: count(&self.runner.invocations),
            pooled_total: count(&self.runner.pooled),
            on_demand_total: count(&self.runner.on_demand),
            compiles_total,
            compile_time_total,
        }
    }

    /// Maps what is compiled. If two do it at once, one of them is the one that is found later.
    fn open(&self, digest: Digest) -> Result<Arc<Function>, AdmitError> {
        let engines = Arc::clone(&self.engines);
        let file = self.artifacts.file(digest);
        let function = Arc::new(Function::open(digest, file, engines, self.memory_max)?);
        self.functions.retain(|_, known| known.strong_count() > 0);
        self.functions.insert(digest, Arc::downgrade(&function));
        Ok(function)
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
