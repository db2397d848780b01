//! The memory log passes the suite that every log must pass. Never a test of its own.
use async_trait::async_trait;
use log_contract::{
    Clock,
    conformance::{Fixture, Stores},
};
use log_memory::MemoryLog;
use std::sync::{Arc, OnceLock};

#[derive(Default)]
struct InMemory(OnceLock<Arc<MemoryLog>>);

#[async_trait]
impl Fixture for InMemory {
    async fn open(&self, clock: Arc<dyn Clock>) -> Stores {
        let log = self.0.get_or_init(|| MemoryLog::new(clock)).clone();
        Stores { log: log.clone(), documents: log.clone(), blobs: log }
    }

    async fn fill_up(&self) {
        self.0.get().expect("it is open").set_bytes_max(0);
    }

    async fn free(&self) {
        self.0.get().expect("it is open").set_bytes_max(u64::MAX);
    }
}

log_contract::conformance!(InMemory::default());
log_contract::conformance_full!(InMemory::default());
