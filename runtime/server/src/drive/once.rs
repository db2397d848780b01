//! Runs a function outside any topic, for whoever wants to see what it does. Nothing of it is kept.
use log_contract::{RecordBatch, TopicName};
use sandbox::{Cost, Logs};
use std::sync::Arc;
use trigger::{HostFault, Outcome};

/// What came of it.
#[derive(Clone, Debug)]
pub struct Once {
    pub version: u32,
    pub invocation: Arc<str>,
    /// `Handled` has its outputs in `outputs`, too, with their topics by name.
    pub result: Result<Outcome, HostFault>,
    pub outputs: Vec<OnceOutput>,
    pub logs: Logs,
    pub cost: Cost,
}

/// One output.
#[derive(Clone, Debug)]
pub struct OnceOutput {
    /// `None`: the trigger's default output.
    pub topic: Option<TopicName>,
    /// The record lies at this index of the batch.
    pub batch: RecordBatch,
    pub index: usize,
}

/// Why it was not run.
#[derive(Debug, thiserror::Error)]
pub enum InvokeOnceError {
    #[error(transparent)]
    NotFound(#[from] crate::catalog::NotFound),
    #[error("an invocation takes at least one record")]
    Empty,
    #[error("the function cannot be loaded")]
    Load(#[source] sandbox::LoadError),
}
