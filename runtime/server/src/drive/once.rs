//! Runs a function outside any topic, for whoever wants to see what it does. Nothing of it is kept.
use super::{function_logs::Origin, plan, supervisor::Supervisor};
use crate::catalog::{FunctionRef, NotFound};
use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{PartitionId, RecordBatch, StateKey, TopicId, TopicName};
use sandbox::{Call, Cost, LoadError, Logs, OutputTopics, StateReader};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use trigger::{HostFault, Ordering as RecordOrdering, Outcome, Response, Targets};

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
    NotFound(#[from] NotFound),
    #[error("an invocation takes at least one record")]
    Empty,
    #[error("the function cannot be loaded")]
    Load(#[source] LoadError),
}

/// Stands for the output topic of a trigger that is not there. No log gives it away.
const DEFAULT_OUTPUT: TopicId = TopicId(u64::MAX);

static COUNT: AtomicU64 = AtomicU64::new(1);

impl Supervisor {
    /// Runs a function outside any topic: its outputs go nowhere, its state is empty.
    ///
    /// # Errors
    /// It is not there, or does not load.
    pub async fn invoke_once(
        &self,
        function: &FunctionRef,
        records: RecordBatch,
    ) -> Result<Once, InvokeOnceError> {
        let context = &self.context;
        if records.is_empty() {
            return Err(InvokeOnceError::Empty);
        }
        let found = context.catalog.resolve(function)?;
        let loaded = context.artifacts.load(found.version.digest).await;
        let loaded = loaded.map_err(InvokeOnceError::Load)?;
        let settings = &found.function.settings;
        let limit = settings.limits.concurrency_max;
        let _turn = match context.gates.gate(&function.name, limit) {
            Some(gate) => Some(gate.pass().await),
            None => None,
        };
        let _guest = context.guests.pass().await;
        let topics = context.catalog.topics().list();
        let named = topics.iter().filter(|topic| !topic.spec.name.is_internal());
        let named = named.map(|topic| (topic.spec.name.to_string(), topic.id)).collect();
        let invocation: Arc<str> =
            format!("by-hand:{}", COUNT.fetch_add(1, Ordering::Relaxed)).into();
        let call = Call {
            trigger: "".into(),
            invocation: Arc::clone(&invocation),
            attempt: 1,
            topic: "".into(),
            partition: PartitionId(0),
            window: None,
            span: records.into(),
            ordering: RecordOrdering::Partition,
            outputs: Arc::new(OutputTopics { default: Some(DEFAULT_OUTPUT), named }),
            limits: plan::limits_of(settings, &context.log.limits()),
            environment: settings.environment.clone().into_iter().collect(),
            overlay: Vec::new(),
            state: Arc::new(NoState),
            share: Arc::clone(&context.by_hand),
            attributes: None,
        };
        let invoked = context.sandbox.invoke(&loaded, call).await;
        let version = found.version.version;
        let origin =
            Origin { function: &function.name, version, trigger: None, invocation: &invocation };
        context.logs.keep(context.now(), &origin, &invoked.logs);
        let outputs = match &invoked.result {
            Ok(Outcome::Handled(response)) => self.named(response),
            Ok(_) | Err(_) => Vec::new(),
        };
        let sandbox::Invoked { result, cost, logs } = invoked;
        Ok(Once { version, invocation, result, outputs, logs, cost })
    }

    fn named(&self, response: &Response) -> Vec<OnceOutput> {
        let topics = self.context.catalog.topics();
        let output = |index: usize| {
            let topic = match &response.targets {
                Targets::All(topic) => Some(*topic),
                Targets::Each(topics) => topics.get(index).copied(),
            };
            let topic = topic.filter(|topic| *topic != DEFAULT_OUTPUT);
            let topic = topic.and_then(|topic| topics.by_id(topic));
            OnceOutput {
                topic: topic.map(|topic| topic.spec.name.clone()),
                batch: response.outputs.clone(),
                index,
            }
        };
        (0..response.outputs.len()).map(output).collect()
    }
}

/// Of a function that runs outside any topic.
#[derive(Debug)]
struct NoState;

#[async_trait]
impl StateReader for NoState {
    async fn read(&self, _: &StateKey) -> Result<Option<Bytes>, HostFault> {
        Ok(None)
    }
}
