//! How wasmtime is set: what makes an invocation a pure function, what bounds a guest, what makes a fresh
//! instance cheap. The only place where an engine is made.
use crate::config::SandboxConfig;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

/// Per table. Python has the most, some 10,000.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 65_536;
/// Of one component, over all its core modules: language runtimes link a dozen.
pub(crate) const CORE_INSTANCES_MAX: usize = 64;
pub(crate) const TABLES_MAX: usize = 64;
pub(crate) const MEMORIES_MAX: usize = 4;
/// Bytes that a table keeps between invocations.
const TABLE_RESIDENT: usize = 64 << 10;
/// So many instances that are not in use keep their memory for the next of the same function. More would be
/// of functions that were replaced, and no use to anybody.
const WARM_SLOTS: u32 = 32;
/// What the engine keeps per instance beside its memory.
const INSTANCE_BYTES_MAX: usize = 4 << 20;

/// The pool, and what runs beyond it. Both run the same compiled files.
pub(crate) struct Engines {
    /// `None` if the machine has no room for a pool.
    pub(crate) pooled: Option<Engine>,
    pub(crate) on_demand: Engine,
}

impl Engines {
    /// Says why there is no pool, if there is none.
    pub(crate) fn new(config: &SandboxConfig) -> wasmtime::Result<Self> {
        let on_demand = Engine::new(&settings())?;
        let pooled = Engine::new(&pooled(config)).inspect_err(|error| {
            tracing::warn!(
                slots = config.slots,
                error = format!("{error:#}"),
                "no pool of instances: each invocation makes its own, at twice the cost"
            );
        });
        Ok(Self { pooled: pooled.ok(), on_demand })
    }

    /// Where a function is linked first.
    pub(crate) fn first(&self) -> &Engine {
        self.pooled.as_ref().unwrap_or(&self.on_demand)
    }

    /// Names what compiled files these engines take: version, target and settings.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.on_demand.precompile_compatibility_hash().hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// How many guests the pool has room for.
    pub(crate) fn slots(&self, configured: u32) -> u64 {
        if self.pooled.is_some() { u64::from(configured.max(1)) } else { 0 }
    }

    pub(crate) fn tick(&self) {
        self.pooled.iter().for_each(Engine::increment_epoch);
        self.on_demand.increment_epoch();
    }
}

/// What compiles and what runs must agree on. Without a pool, so that a process with a bound on its
/// address space can have it; compiled files do not depend on that.
pub(crate) fn settings() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
}

fn pooled(sandbox: &SandboxConfig) -> Config {
    let slots = sandbox.slots.max(1);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(8))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(8))
        .total_stacks(slots)
        .max_unused_warm_slots(WARM_SLOTS.min(slots))
        .max_memory_size(sandbox.memory_max)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .linear_memory_keep_resident(sandbox.memory_resident)
        .table_keep_resident(TABLE_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
