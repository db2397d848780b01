//! What every part of driving needs. Handed down, never looked up.
use super::{
    board::Board,
    events::{Events, Happened, Kind},
    figures::Figures,
    function_logs::FunctionLogs,
    permits::{Budget, FunctionGates, Gate},
};
use crate::{artifacts::Artifacts, catalog::Catalog, config::Limits};
use log_contract::{Clock, Log, PartitionId, Timestamp, TriggerName};
use sandbox::{Sandbox, Share};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[derive(Debug)]
pub(super) struct Context {
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) artifacts: Arc<Artifacts>,
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) limits: Limits,
    /// What CPU-bound triggers share: the cores, and the next in line.
    pub(super) cores: f64,
    pub(super) budget: Arc<Budget>,
    pub(super) gates: FunctionGates,
    /// Guests of all triggers at once: what the pool has room for.
    pub(super) guests: Arc<Gate>,
    /// The most of them that one trigger may have.
    pub(super) trigger_width_max: usize,
    pub(super) board: Arc<Board>,
    pub(super) figures: Arc<Figures>,
    pub(super) events: Arc<Events>,
    pub(super) logs: Arc<FunctionLogs>,
    /// Every task of driving: none is detached.
    pub(super) tasks: TaskTracker,
    /// The deadline of a drain has passed: let go of everything.
    pub(super) let_go: CancellationToken,
    pub(super) jitter: Jitter,
    /// What is invoked outside any topic shares the cores as one.
    pub(super) by_hand: Arc<Share>,
}

impl Context {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn tell(
        &self,
        kind: Kind,
        trigger: &TriggerName,
        partition: Option<PartitionId>,
        message: String,
    ) {
        let (at, trigger) = (self.now(), Some(trigger.clone()));
        self.events.tell(Happened { at, kind, trigger, partition, message });
    }
}

/// Draws that spread retries. Not for secrets.
#[derive(Debug)]
pub(super) struct Jitter(AtomicU64);

impl Jitter {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Parts per 1,000 that a backoff is stretched or shortened by: 800 to 1,200.
    pub(super) fn draw(&self) -> u16 {
        let step = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        // splitmix64
        let mut word = step;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^= word >> 31;
        800 + u16::try_from(word % 401).unwrap_or(0)
    }
}
