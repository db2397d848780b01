//! What the operator sets of the program as a whole, with documented defaults. Never how it is read
//! from flags, files or the environment: `cli` does that.
use std::{path::PathBuf, time::Duration};

/// Everything that [`crate::app::App::start`] needs.
#[derive(Clone, Debug)]
pub struct Config {
    pub storage: Storage,
    /// The program that compiles components: `<it> compile IN OUT`. Our own binary.
    pub compile_command: PathBuf,
    /// Workers that run guests. Default: one per core.
    pub guest_threads: usize,
    /// Instances that the pool has room for. More run too, at twice the cost.
    pub guest_slots: u32,
    pub limits: Limits,
    /// How long feeds may take to finish what they have out when the program ends.
    pub drain_deadline: Duration,
}

/// Where records, the catalogue and components are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Durable, in this directory.
    Directory(PathBuf),
    /// In memory: gone with the process.
    Ephemeral,
}

/// Bounds of the whole program. Each breach is a typed error that names its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub request_bytes_max: usize,
    pub append_records_max: usize,
    /// Bytes of request bodies that are being admitted, all requests together.
    pub admission_bytes_max: usize,
    /// Fetched and not settled: one feed.
    pub feed_bytes_max: usize,
    /// The same, all feeds together.
    pub feeds_bytes_max: usize,
    /// Decided and not durable: one feed.
    pub unsettled_bytes_max: usize,
    pub unsettled_batches_max: usize,
    pub component_bytes_max: usize,
    /// Most memory that a function may be given.
    pub guest_memory_bytes_max: usize,
    pub compile_cpu: Duration,
    pub compile_memory_bytes: u64,
    pub connections_max: usize,
    pub followers_max: usize,
    /// How many functions data may pass: against loops.
    pub hops_max: u32,
    /// Lines that are kept of each function's log.
    pub function_log_lines: usize,
    /// Above so many partitions a trigger's metrics have no partition label.
    pub metric_partitions_max: usize,
}

impl Limits {
    pub const DEFAULT: Self = Self {
        request_bytes_max: 16 << 20,
        append_records_max: 10_000,
        admission_bytes_max: 64 << 20,
        feed_bytes_max: 16 << 20,
        feeds_bytes_max: 256 << 20,
        unsettled_bytes_max: 8 << 20,
        unsettled_batches_max: 32,
        component_bytes_max: 64 << 20,
        guest_memory_bytes_max: 1 << 30,
        compile_cpu: Duration::from_secs(60),
        compile_memory_bytes: 2 << 30,
        connections_max: 4_096,
        followers_max: 1_024,
        hops_max: 32,
        function_log_lines: 1_000,
        metric_partitions_max: 1_000,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Config {
    /// With the defaults.
    #[must_use]
    pub fn new(storage: Storage, compile_command: PathBuf) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            storage,
            compile_command,
            guest_threads: cores,
            guest_slots: 256,
            limits: Limits::DEFAULT,
            drain_deadline: Duration::from_secs(25),
        }
    }
}
