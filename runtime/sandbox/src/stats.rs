//! Figures for the metrics page. Read at a scrape, counted where things happen.
use std::time::Duration;

/// How the sandbox stands. Fields that end in `total` only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Invocations under way.
    pub instances_live: u64,
    /// Linear memory of guests that run now.
    pub guest_memory_bytes: u64,
    pub functions_loaded: u64,
    pub invocations_total: u64,
    /// Invocations that got a slot of the pool.
    pub pooled_total: u64,
    /// Invocations beyond the pool.
    pub on_demand_total: u64,
    pub compiles_total: u64,
    pub compile_time_total: Duration,
}
