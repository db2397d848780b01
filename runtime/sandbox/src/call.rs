//! One invocation as the driver asks for it and gets it back. Plain data, no engine type.
use crate::{logs::Logs, turns::Share};
use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{Attributes, PartitionId, Span, StateKey, StateWrite, Timestamp, TopicId};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use trigger::{HostFault, Ordering, Outcome};

/// What to hand to a function, and within which bounds.
#[derive(Clone, Debug)]
pub struct Call {
    pub trigger: Arc<str>,
    /// Names this attempt in logs and dead letters.
    pub invocation: Arc<str>,
    /// 1 for the first time exactly these records are handed over.
    pub attempt: u32,
    /// The source topic's name.
    pub topic: Arc<str>,
    pub partition: PartitionId,
    pub window: Option<Window>,
    pub span: Span,
    /// Under `Ordering::Key` the partition's own state is closed.
    pub ordering: Ordering,
    pub outputs: Arc<OutputTopics>,
    pub limits: Limits,
    pub environment: Arc<Environment>,
    /// State that is decided and not durable yet: it wins over `state`, later entries over earlier.
    pub overlay: Vec<StateWrite>,
    /// Durable state.
    pub state: Arc<dyn StateReader>,
    /// With whom it shares the cores as one.
    pub share: Arc<Share>,
    /// What the outputs' batch says of its origin.
    pub attributes: Option<Arc<Attributes>>,
}

/// A tumbling window `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start: Timestamp,
    pub end: Timestamp,
    /// The last invocation of this window.
    pub is_final: bool,
    /// It was closed before its time.
    pub is_early: bool,
}

/// Environment variables of a function, in order.
pub type Environment = [(String, String)];

/// Where a trigger's outputs may go. Whoever declares them keeps `_…` topics out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputTopics {
    /// Where an output goes that names no topic.
    pub default: Option<TopicId>,
    /// By the name that the guest uses.
    pub named: BTreeMap<String, TopicId>,
}

/// What one invocation may use. Breaking one fails that invocation and touches no neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub timeout: Duration,
    /// Linear memories together; more than `SandboxConfig::memory_max` is cut down to it.
    pub memory_bytes: usize,
    /// Keys, values and headers of all outputs together; below 1 GiB.
    pub output_bytes: usize,
    pub output_records: usize,
    /// Key, value and headers of one output: what an append may have, so that a function that reads it
    /// can fail on it and its dead letter still finds room.
    pub record_bytes: usize,
    /// Log text that is kept; the rest is counted and forgotten.
    pub log_bytes: usize,
    pub state_writes: usize,
    /// Keys, names and values of all state writes together.
    pub state_bytes: usize,
}

/// Durable state of the partition that a span comes from. The driver answers it from its lease.
#[async_trait]
pub trait StateReader: Send + Sync + fmt::Debug {
    /// The value as settled last. A fault ends the invocation as a fault of the host.
    async fn read(&self, at: &StateKey) -> Result<Option<Bytes>, HostFault>;
}

/// What came of a [`Call`].
#[derive(Clone, Debug)]
pub struct Invoked {
    pub result: Result<Outcome, HostFault>,
    pub cost: Cost,
    pub logs: Logs,
}

/// What an invocation used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// From when it had its first turn to the end.
    pub wall: Duration,
    /// Time on a worker.
    pub cpu: Duration,
    /// Of `wall`, when it could go on and others had the cores.
    pub waited: Duration,
    /// Largest sum of its linear memories.
    pub memory_peak_bytes: usize,
}
