//! What a trigger's feeds go by: policies, topics and function, looked up once for many batches. Never
//! a feed's state.
use super::{
    reconcile::{Desired, Fingerprint, Identity},
    status::State,
};
use crate::{
    artifacts::Artifacts,
    catalog::{Catalog, OnFailure, Trigger, TriggerDefinition},
    config::Limits,
};
use log_contract::{
    Digest, FunctionName, LogLimits, Memo, Offset, PartitionId, TopicId, TopicName,
};
use sandbox::{Environment, Function, LoadError, OutputTopics};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::sync::OnceCell;
use trigger::{Bounds, TriggerSpec};

/// What feeds are told. They always go by the newest.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    /// Grows with each order, so that one can be waited for.
    pub(super) revision: u64,
    pub(super) mode: Mode,
    pub(super) plan: Arc<Plan>,
    /// Why there is no function: then every attempt is a fault of ours, and the feed holds.
    pub(super) binding: Result<Arc<Binding>, Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Run,
    Park(Park),
}

/// Why nothing is invoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Park {
    Paused,
    /// By its definition.
    Disabled,
    Halted(Arc<str>),
    /// Something it needs is gone.
    Broken(Arc<str>),
}

impl Park {
    /// What a status says of it.
    pub(super) fn shown(&self) -> (State, Option<Arc<str>>) {
        match self {
            Self::Paused => (State::Paused, None),
            Self::Disabled => (State::Paused, Some("`enabled` is false".into())),
            Self::Halted(reason) => (State::Halted, Some(Arc::clone(reason))),
            Self::Broken(reason) => (State::Held, Some(Arc::clone(reason))),
        }
    }
}

/// A feed is made anew when this changes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) spec: TriggerSpec,
    pub(super) outputs: Arc<OutputTopics>,
    pub(super) topic: Arc<str>,
    pub(super) starts: BTreeMap<PartitionId, Offset>,
    pub(super) concurrency_min: u32,
    pub(super) concurrency_max: u32,
    pub(super) lag_target: Duration,
    pub(super) halt_share: f64,
    /// Of the definition and the topics' ids.
    pub(super) fingerprint: u64,
}

/// Which code runs, and within which bounds. Taken anew for each invocation.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) function: FunctionName,
    /// The same, as what it puts out carries it.
    pub(super) name: Arc<str>,
    pub(super) version: u32,
    pub(super) digest: Digest,
    /// From the first invocation on: who holds it keeps it mapped.
    loaded: OnceCell<Arc<Function>>,
    pub(super) limits: sandbox::Limits,
    pub(super) environment: Arc<Environment>,
    pub(super) concurrency_max: Option<u32>,
}

impl Binding {
    /// The code, ready to run.
    pub(super) async fn function(&self, from: &Artifacts) -> Result<&Arc<Function>, LoadError> {
        self.loaded.get_or_try_init(|| from.load(self.digest)).await
    }
}

/// The pause after a fault that is ours.
const FAULT_PAUSE: Duration = Duration::from_secs(1);
/// One page of a fetch.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_RECORDS: usize = 10_000;
/// Records of one feed, beside their bytes: an index entry is 48 bytes.
const OPEN_RECORDS: usize = 100_000;
/// What a memo's bytes have room for.
const MEMO_ENTRIES: usize = Memo::LEN_MAX / 32;
const STATE_WRITES: usize = 10_000;
const STATE_BYTES: usize = 8 << 20;

pub(super) fn desired(catalog: &Catalog, trigger: &Trigger) -> Desired {
    let mut hasher = DefaultHasher::new();
    trigger.etag.hash(&mut hasher);
    trigger.flags.paused.is_some().hash(&mut hasher);
    trigger.flags.halted.is_some().hash(&mut hasher);
    match catalog.resolve(&trigger.definition.function) {
        Ok(found) => (found.version.version, found.function.etag).hash(&mut hasher),
        Err(error) => error.name.hash(&mut hasher),
    }
    topics_of(catalog, trigger).hash(&mut hasher);
    Desired { identity: identity(trigger), fingerprint: Fingerprint(hasher.finish()) }
}

pub(super) fn identity(trigger: &Trigger) -> Identity {
    Identity { source: trigger.source, cursor: trigger.definition.cursor.clone() }
}

/// Ids of all topics that it names, so that one that was made anew is noticed.
fn topics_of(catalog: &Catalog, trigger: &Trigger) -> Vec<Option<TopicId>> {
    let it = &trigger.definition;
    let id = |name: &TopicName| catalog.topics().get(name).map(|found| found.id);
    let mut ids = vec![id(&it.source), id(&it.dead_letter_topic(&trigger.name))];
    ids.extend(it.output.iter().chain(&it.outputs).map(id));
    ids
}

pub(super) fn orders(
    catalog: &Catalog,
    trigger: &Trigger,
    limits: &Limits,
    log: &LogLimits,
    revision: u64,
) -> Orders {
    let binding = bind(catalog, trigger, log);
    let (plan, broken) = plan(catalog, trigger, limits, log);
    let flags = &trigger.flags;
    let mode = if let Some(why) = broken {
        Mode::Park(Park::Broken(why))
    } else if let Some(halted) = &flags.halted {
        Mode::Park(Park::Halted(Arc::clone(&halted.reason)))
    } else if flags.paused.is_some() {
        Mode::Park(Park::Paused)
    } else if !trigger.definition.enabled {
        Mode::Park(Park::Disabled)
    } else {
        Mode::Run
    };
    Orders { revision, mode, plan: Arc::new(plan), binding }
}

fn plan(
    catalog: &Catalog,
    trigger: &Trigger,
    limits: &Limits,
    log: &LogLimits,
) -> (Plan, Option<Arc<str>>) {
    let it = &trigger.definition;
    let mut broken: Option<Arc<str>> = None;
    let mut id = |name: &TopicName| {
        let found = catalog.topics().get(name).map(|found| found.id);
        if found.is_none() {
            let why = format!("topic `{name}` was deleted: create it again, PUT /v1/topics/{name}");
            broken.get_or_insert(why.into());
        }
        found
    };
    let mut outputs =
        OutputTopics { default: it.output.as_ref().and_then(&mut id), ..Default::default() };
    for name in it.output.iter().chain(&it.outputs) {
        if let Some(id) = id(name) {
            outputs.named.insert(name.to_string(), id);
        }
    }
    let on_failure = match it.on_failure {
        // Without its topic the feed is parked, and nothing is written to the 0.
        OnFailure::DeadLetter => trigger::OnFailure::DeadLetter(
            id(&it.dead_letter_topic(&trigger.name)).unwrap_or(TopicId(0)),
        ),
        OnFailure::Hold => trigger::OnFailure::Hold,
        OnFailure::Drop => trigger::OnFailure::Drop,
    };
    if catalog.topics().by_id(trigger.source).is_none() {
        let why = format!(
            "source topic `{}` was deleted: create it again and put the trigger again",
            it.source
        );
        broken = Some(why.into());
    }
    let mut hasher = DefaultHasher::new();
    (trigger.etag, topics_of(catalog, trigger)).hash(&mut hasher);
    let plan = Plan {
        spec: spec(it, on_failure, limits, log),
        outputs: Arc::new(outputs),
        topic: it.source.as_str().into(),
        starts: trigger.starts.clone(),
        concurrency_min: it.scaling.concurrency_min,
        concurrency_max: it.scaling.concurrency_max,
        lag_target: it.scaling.lag_target,
        halt_share: it.halt_on_failure_share,
        fingerprint: hasher.finish(),
    };
    (plan, broken)
}

fn spec(
    it: &TriggerDefinition,
    on_failure: trigger::OnFailure,
    limits: &Limits,
    log: &LogLimits,
) -> TriggerSpec {
    let bounds = Bounds {
        open_records: OPEN_RECORDS,
        open_bytes: limits.feed_bytes_max,
        page_records: PAGE_RECORDS,
        page_bytes: PAGE_BYTES.max(it.batch.bytes_max).min(limits.feed_bytes_max),
        unsettled_pieces: limits.unsettled_batches_max,
        unsettled_bytes: limits.unsettled_bytes_max,
        settlement_bytes: log.settlement_bytes_max,
        ranges: log.progress_ranges_max,
        memo_entries: MEMO_ENTRIES,
        fault_pause: FAULT_PAUSE,
    };
    TriggerSpec { ordering: it.ordering, batch: it.batch, retry: it.retry, on_failure, bounds }
}

fn bind(catalog: &Catalog, trigger: &Trigger, log: &LogLimits) -> Result<Arc<Binding>, Arc<str>> {
    let found = catalog.resolve(&trigger.definition.function).map_err(|error| {
        let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!(": {hint}"));
        Arc::from(format!("{error}{hint}"))
    })?;
    let settings = &found.function.settings;
    Ok(Arc::new(Binding {
        function: found.function.name.clone(),
        name: found.function.name.as_str().into(),
        version: found.version.version,
        digest: found.version.digest,
        loaded: OnceCell::new(),
        limits: limits_of(settings, log),
        environment: settings.environment.clone().into_iter().collect(),
        concurrency_max: settings.limits.concurrency_max,
    }))
}

pub(super) fn limits_of(settings: &crate::catalog::Settings, log: &LogLimits) -> sandbox::Limits {
    let limits = &settings.limits;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    sandbox::Limits {
        timeout: limits.timeout,
        memory_bytes: size(limits.memory_bytes),
        output_bytes: size(limits.output_bytes_max),
        output_records: size(limits.output_records_max),
        record_bytes: log.record_bytes_max,
        log_bytes: size(limits.log_bytes_max),
        state_writes: STATE_WRITES,
        state_bytes: STATE_BYTES,
    }
}
