//! The composition root: builds all parts, and stops them in their order. The only place that knows
//! which log there is.
use crate::{
    artifacts::Artifacts,
    catalog::Catalog,
    config::{Config, Limits, Storage},
    drive::{Parts, Supervisor},
    metrics::{LogFigures, Metrics},
};
use anyhow::Context as _;
use log_contract::{Blobs, Clock, Documents, Log, SystemClock};
use log_embedded::{EmbeddedLog, Observer, Options};
use log_memory::MemoryLog;
use sandbox::{CompileLimits, Sandbox, SandboxConfig};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio_util::task::TaskTracker;

/// All parts of a running program, for whoever serves it.
#[derive(Debug)]
pub struct App {
    pub log: Arc<dyn Log>,
    pub documents: Arc<dyn Documents>,
    pub blobs: Arc<dyn Blobs>,
    pub clock: Arc<dyn Clock>,
    pub sandbox: Arc<Sandbox>,
    pub catalog: Arc<Catalog>,
    pub supervisor: Arc<Supervisor>,
    pub metrics: Arc<Metrics>,
    pub config: Config,
    /// Calls that change something: they end though their callers hang up.
    pub changes: TaskTracker,
    /// Compiled components of an ephemeral program; gone with it.
    _scratch: Option<Scratch>,
}

/// The three faces of one store.
#[derive(Debug)]
struct Store {
    log: Arc<dyn Log>,
    documents: Arc<dyn Documents>,
    blobs: Arc<dyn Blobs>,
}

impl Store {
    fn of<T: Log + Documents + Blobs + 'static>(store: &Arc<T>) -> Self {
        Self {
            log: Arc::<T>::clone(store),
            documents: Arc::<T>::clone(store),
            blobs: Arc::<T>::clone(store),
        }
    }
}

impl App {
    /// Opens the log, reads the catalogue, and starts the feeds. Serving is the caller's.
    ///
    /// # Errors
    /// What does not open, and why.
    pub async fn start(config: Config) -> anyhow::Result<Arc<Self>> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        Self::start_at(config, clock).await
    }

    /// The same, with a clock of the caller's.
    ///
    /// # Errors
    /// What does not open, and why.
    pub async fn start_at(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<Self>> {
        let metrics = Metrics::new();
        let store = open(&config.storage, &clock, &metrics).await?;
        let (directory, scratch) = directory(&config.storage)?;
        let sandbox = Sandbox::new(sandbox_config(&config, directory.join("compiled")))
            .context("start the sandbox")?;
        let artifacts = Arc::new(Artifacts::new(Arc::clone(&store.blobs), Arc::clone(&sandbox)));
        let catalog = Catalog::open(
            Arc::clone(&store.log),
            Arc::clone(&store.documents),
            Arc::clone(&artifacts),
            Arc::clone(&clock),
        )
        .await
        .context("open the catalogue")?;
        let catalog = Arc::new(catalog);
        let kept = catalog.digests();
        let collected = catalog.artifacts().collect(|digest| kept.contains(&digest)).await;
        collected.context("remove components that no version has")?;
        metrics.watch(&sandbox).context("register the sandbox's metrics")?;
        let parts = Parts {
            log: Arc::clone(&store.log),
            clock: Arc::clone(&clock),
            catalog: Arc::clone(&catalog),
            artifacts,
            sandbox: Arc::clone(&sandbox),
            limits: config.limits.clone(),
            cores: config.guest_threads,
            guests: config.guest_slots as usize,
        };
        let supervisor =
            Supervisor::new(parts, metrics.registry()).context("register the triggers' metrics")?;
        supervisor.start();
        let Store { log, documents, blobs } = store;
        let metrics = Arc::new(metrics);
        Ok(Arc::new(Self {
            log,
            documents,
            blobs,
            clock,
            sandbox,
            catalog,
            supervisor,
            metrics,
            config,
            changes: TaskTracker::new(),
            _scratch: scratch,
        }))
    }

    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// The end, after the listener has stopped: drains the feeds within the deadline while requests that
    /// are under way finish, then closes the log. Says whether the feeds came to rest in time.
    pub async fn stop(&self, requests: impl Future<Output = ()>) -> bool {
        let deadline = self.config.drain_deadline;
        let drained = self.supervisor.drain(deadline);
        let changes = async {
            requests.await;
            // What is left is of callers that have hung up.
            self.changes.close();
            self.changes.wait().await;
        };
        let changes = tokio::time::timeout(deadline, changes);
        let (is_at_rest, changes) = tokio::join!(drained, changes);
        if changes.is_err() {
            tracing::warn!("some calls did not end in time");
        }
        self.log.close().await;
        is_at_rest
    }
}

async fn open(
    storage: &Storage,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> anyhow::Result<Store> {
    match storage {
        Storage::Ephemeral => Ok(Store::of(&MemoryLog::new(Arc::clone(clock)))),
        Storage::Directory(path) => {
            let figures = LogFigures::register(metrics.registry())?;
            let mut options = Options::new(Arc::clone(clock));
            options.observer = Arc::new(Timed(Arc::clone(&figures)));
            let path = path.clone();
            let opening = move || EmbeddedLog::open(path, options);
            let log = tokio::task::spawn_blocking(opening).await.context("open the log")??;
            let journal = Arc::downgrade(&log);
            let bytes = move || journal.upgrade().map_or(0, |log| log.stats().journal_bytes);
            LogFigures::register_journal(metrics.registry(), Box::new(bytes))?;
            Ok(Store::of(&log))
        }
    }
}

/// Carries the log's times to the metrics.
struct Timed(Arc<LogFigures>);

impl Observer for Timed {
    fn appended(&self, took: Duration) {
        self.0.append_seconds.observe(took.as_secs_f64());
    }

    fn synced(&self, took: Duration, _bytes: usize) {
        self.0.fsync_seconds.observe(took.as_secs_f64());
    }
}

/// A directory under the system's own for temporary files, removed at the end.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "the scratch directory stays");
        }
    }
}

fn directory(storage: &Storage) -> anyhow::Result<(PathBuf, Option<Scratch>)> {
    match storage {
        Storage::Directory(path) => Ok((path.clone(), None)),
        Storage::Ephemeral => {
            use std::sync::atomic::{AtomicU64, Ordering};
            static COUNT: AtomicU64 = AtomicU64::new(0);
            let nth = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("millstream-{}-{nth}", std::process::id());
            let path = std::env::temp_dir().join(name);
            make_private(&path)
                .with_context(|| format!("make the scratch directory `{}`", path.display()))?;
            Ok((path.clone(), Some(Scratch(path))))
        }
    }
}

/// Refuses one that is there already: somebody else may have made it.
fn make_private(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

fn sandbox_config(config: &Config, artifacts_dir: PathBuf) -> SandboxConfig {
    let limits = &config.limits;
    SandboxConfig {
        artifacts_dir,
        compile_command: config.compile_command.clone(),
        slots: config.guest_slots,
        guest_threads: config.guest_threads,
        memory_max: limits.guest_memory_bytes_max,
        memory_resident: 1 << 20,
        component_bytes_max: limits.component_bytes_max,
        compile: CompileLimits {
            cpu: limits.compile_cpu,
            memory_bytes: limits.compile_memory_bytes,
            wall: limits.compile_cpu.saturating_mul(5).max(Duration::from_secs(30)),
        },
    }
}
