//! The bound on a guest's memory and the count of what it used. Never an allocation of its own.
use crate::engine::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use wasmtime::ResourceLimiter;

/// Linear memory of all guests that run.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryGauge(Arc<AtomicU64>);

impl MemoryGauge {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Of one guest, over all its memories.
pub(crate) struct GuestMemory {
    most: usize,
    now: usize,
    pub(crate) peak: usize,
    /// It asked for more than it may have. If it traps later, that is why; if it copes, all is well.
    pub(crate) was_refused: bool,
    gauge: MemoryGauge,
}

impl GuestMemory {
    pub(crate) fn new(most: usize, gauge: &MemoryGauge) -> Self {
        let gauge = gauge.clone();
        Self { most, now: 0, peak: 0, was_refused: false, gauge }
    }
}

impl ResourceLimiter for GuestMemory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let growth = desired.saturating_sub(current);
        let wanted = self.now.saturating_add(growth);
        if wanted > self.most {
            self.was_refused = true;
            return Ok(false);
        }
        self.now = wanted;
        self.peak = self.peak.max(wanted);
        self.gauge.0.fetch_add(growth as u64, Ordering::Relaxed);
        Ok(true)
    }

    /// What was granted above did not come about: rare, and counted as used until the guest ends.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.was_refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(self.now as u64, Ordering::Relaxed);
    }
}
