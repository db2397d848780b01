//! The catalogue's documents, byte for byte: own structs, own version field. Never the wire's shapes,
//! so that the API may change without the disk.
//!
//! Keys: `functions/<name>`, `versions/<name>/<version, ten digits>`, `triggers/<name>`,
//! `flags/<name>`.
use super::{
    Etag, Flags, FunctionLimits, Halted, OnFailure, Scaling, Settings, Start, Trigger,
    TriggerDefinition, Version, Window,
};
use bytes::Bytes;
use log_contract::{
    CursorName, FunctionName, Offset, PartitionId, Timestamp, TopicId, TopicName, TriggerName,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use trigger::{BatchPolicy, ItemFailures, Ordering, RetryPolicy};

pub(super) const FUNCTIONS: &str = "functions/";
pub(super) const VERSIONS: &str = "versions/";
pub(super) const TRIGGERS: &str = "triggers/";
pub(super) const FLAGS: &str = "flags/";

/// The only one so far. A later one is read by a newer program and refused by this one.
const FORMAT: u32 = 1;

pub(super) fn version_key(name: &FunctionName, version: u32) -> String {
    format!("{VERSIONS}{name}/{version:010}")
}

/// A document that this program cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("document `{key}` is unreadable: {why}")]
pub struct Unreadable {
    pub key: String,
    pub why: String,
}

#[derive(Serialize)]
struct Versioned<T> {
    format: u32,
    #[serde(flatten)]
    body: T,
}

/// Looked at first. A body is read by itself then: through `flatten` a map's numbers would not be.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

pub(super) fn encode<T: Serialize>(body: T) -> Bytes {
    let document = Versioned { format: FORMAT, body };
    serde_json::to_vec(&document).expect("our documents are plain JSON").into()
}

pub(super) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Unreadable> {
    let Format { format } =
        serde_json::from_slice(bytes).map_err(|error| unreadable(key, &error))?;
    if format != FORMAT {
        let why = format!("its format is {format}, this program knows {FORMAT}");
        return Err(Unreadable { key: key.into(), why });
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(key, &error))
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredFunction {
    pub(super) created_at: u64,
    /// Raised with each new version, so that the etag changes.
    pub(super) versions: u32,
    limits: StoredLimits,
    environment: BTreeMap<String, String>,
    aliases: BTreeMap<String, u32>,
    allowed_hosts: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredLimits {
    timeout_ms: u64,
    memory_bytes: u64,
    output_bytes_max: u64,
    output_records_max: u64,
    log_bytes_max: u64,
    concurrency_max: Option<u32>,
}

impl StoredFunction {
    pub(super) fn new(created_at: Timestamp, versions: u32, settings: &Settings) -> Self {
        let limits = &settings.limits;
        Self {
            created_at: created_at.0,
            versions,
            limits: StoredLimits {
                timeout_ms: millis(limits.timeout),
                memory_bytes: limits.memory_bytes,
                output_bytes_max: limits.output_bytes_max,
                output_records_max: limits.output_records_max,
                log_bytes_max: limits.log_bytes_max,
                concurrency_max: limits.concurrency_max,
            },
            environment: settings.environment.clone(),
            aliases: settings.aliases.clone(),
            allowed_hosts: settings.allowed_hosts.clone(),
        }
    }

    pub(super) fn settings(self) -> Settings {
        let limits = self.limits;
        Settings {
            limits: FunctionLimits {
                timeout: Duration::from_millis(limits.timeout_ms),
                memory_bytes: limits.memory_bytes,
                output_bytes_max: limits.output_bytes_max,
                output_records_max: limits.output_records_max,
                log_bytes_max: limits.log_bytes_max,
                concurrency_max: limits.concurrency_max,
            },
            environment: self.environment,
            aliases: self.aliases,
            allowed_hosts: self.allowed_hosts,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredVersion {
    version: u32,
    digest: String,
    world: String,
    bytes: u64,
    compile_ms: u64,
    imports: Vec<String>,
    created_at: u64,
}

impl From<&Version> for StoredVersion {
    fn from(version: &Version) -> Self {
        Self {
            version: version.version,
            digest: version.digest.to_string(),
            world: version.world.clone(),
            bytes: version.bytes,
            compile_ms: version.compile_ms,
            imports: version.imports.clone(),
            created_at: version.created_at.0,
        }
    }
}

impl StoredVersion {
    pub(super) fn read(self, key: &str) -> Result<Version, Unreadable> {
        let digest = self.digest.parse().map_err(|error| unreadable(key, &error))?;
        Ok(Version {
            version: self.version,
            digest,
            world: self.world,
            bytes: self.bytes,
            compile_ms: self.compile_ms,
            imports: self.imports,
            created_at: Timestamp(self.created_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredTrigger {
    created_at: u64,
    source_id: u64,
    starts: BTreeMap<u32, u64>,
    source: String,
    function: String,
    output: Option<String>,
    outputs: Vec<String>,
    cursor: String,
    enabled: bool,
    start: StoredStart,
    batch_records_max: usize,
    batch_bytes_max: usize,
    batch_wait_ms: u64,
    ordering: StoredOrdering,
    item_failures: StoredItemFailures,
    attempts_max: Option<u32>,
    bisect: bool,
    record_age_max_ms: Option<u64>,
    backoff_min_ms: u64,
    backoff_max_ms: u64,
    on_failure: StoredOnFailure,
    dead_letters: Option<String>,
    halt_on_failure_share: f64,
    filter: Option<serde_json::Value>,
    window_ms: Option<u64>,
    concurrency_min: u32,
    concurrency_max: u32,
    lag_target_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredStart {
    Earliest,
    Latest,
    At(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredOrdering {
    Partition,
    Key,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredItemFailures {
    Each,
    Lowest,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredOnFailure {
    DeadLetter,
    Hold,
    Drop,
}

impl From<&Trigger> for StoredTrigger {
    fn from(trigger: &Trigger) -> Self {
        let it = &trigger.definition;
        let text = |name: &Option<TopicName>| name.as_ref().map(ToString::to_string);
        Self {
            created_at: trigger.created_at.0,
            source_id: trigger.source.0,
            starts: trigger.starts.iter().map(|(at, offset)| (at.0, offset.0)).collect(),
            source: it.source.to_string(),
            function: it.function.to_string(),
            output: text(&it.output),
            outputs: it.outputs.iter().map(ToString::to_string).collect(),
            cursor: it.cursor.to_string(),
            enabled: it.enabled,
            start: match it.start {
                Start::Earliest => StoredStart::Earliest,
                Start::Latest => StoredStart::Latest,
                Start::At(at) => StoredStart::At(at.0),
            },
            batch_records_max: it.batch.records_max,
            batch_bytes_max: it.batch.bytes_max,
            batch_wait_ms: millis(it.batch.wait),
            ordering: match it.ordering {
                Ordering::Partition => StoredOrdering::Partition,
                Ordering::Key => StoredOrdering::Key,
            },
            item_failures: match it.retry.item_failures {
                ItemFailures::Each => StoredItemFailures::Each,
                ItemFailures::Lowest => StoredItemFailures::Lowest,
            },
            attempts_max: it.retry.attempts_max,
            bisect: it.retry.bisect,
            record_age_max_ms: it.retry.record_age_max.map(millis),
            backoff_min_ms: millis(it.retry.backoff_min),
            backoff_max_ms: millis(it.retry.backoff_max),
            on_failure: match it.on_failure {
                OnFailure::DeadLetter => StoredOnFailure::DeadLetter,
                OnFailure::Hold => StoredOnFailure::Hold,
                OnFailure::Drop => StoredOnFailure::Drop,
            },
            dead_letters: text(&it.dead_letters),
            halt_on_failure_share: it.halt_on_failure_share,
            filter: it.filter.clone(),
            window_ms: it.window.map(|window| millis(window.length)),
            concurrency_min: it.scaling.concurrency_min,
            concurrency_max: it.scaling.concurrency_max,
            lag_target_ms: millis(it.scaling.lag_target),
        }
    }
}

impl StoredTrigger {
    pub(super) fn read(
        self,
        key: &str,
        name: TriggerName,
        etag: Etag,
        flags: Flags,
    ) -> Result<Trigger, Unreadable> {
        let starts = self.starts.iter().map(|(at, offset)| (PartitionId(*at), Offset(*offset)));
        Ok(Trigger {
            name,
            etag,
            source: TopicId(self.source_id),
            starts: starts.collect(),
            created_at: Timestamp(self.created_at),
            flags,
            definition: self.definition(key)?,
        })
    }

    fn definition(self, key: &str) -> Result<TriggerDefinition, Unreadable> {
        let topic =
            |text: &str| TopicName::parse_internal(text).map_err(|error| unreadable(key, &error));
        Ok(TriggerDefinition {
            source: topic(&self.source)?,
            function: self.function.parse().map_err(|error| unreadable(key, &error))?,
            output: self.output.as_deref().map(topic).transpose()?,
            outputs: self.outputs.iter().map(|text| topic(text)).collect::<Result<_, _>>()?,
            cursor: CursorName::parse_internal(&self.cursor)
                .map_err(|error| unreadable(key, &error))?,
            enabled: self.enabled,
            start: match self.start {
                StoredStart::Earliest => Start::Earliest,
                StoredStart::Latest => Start::Latest,
                StoredStart::At(at) => Start::At(Timestamp(at)),
            },
            batch: BatchPolicy {
                records_max: self.batch_records_max,
                bytes_max: self.batch_bytes_max,
                wait: Duration::from_millis(self.batch_wait_ms),
            },
            ordering: match self.ordering {
                StoredOrdering::Partition => Ordering::Partition,
                StoredOrdering::Key => Ordering::Key,
            },
            retry: RetryPolicy {
                attempts_max: self.attempts_max,
                bisect: self.bisect,
                item_failures: match self.item_failures {
                    StoredItemFailures::Each => ItemFailures::Each,
                    StoredItemFailures::Lowest => ItemFailures::Lowest,
                },
                record_age_max: self.record_age_max_ms.map(Duration::from_millis),
                backoff_min: Duration::from_millis(self.backoff_min_ms),
                backoff_max: Duration::from_millis(self.backoff_max_ms),
            },
            on_failure: match self.on_failure {
                StoredOnFailure::DeadLetter => OnFailure::DeadLetter,
                StoredOnFailure::Hold => OnFailure::Hold,
                StoredOnFailure::Drop => OnFailure::Drop,
            },
            dead_letters: self.dead_letters.as_deref().map(topic).transpose()?,
            halt_on_failure_share: self.halt_on_failure_share,
            filter: self.filter,
            window: self.window_ms.map(|ms| Window { length: Duration::from_millis(ms) }),
            scaling: Scaling {
                concurrency_min: self.concurrency_min,
                concurrency_max: self.concurrency_max,
                lag_target: Duration::from_millis(self.lag_target_ms),
            },
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredFlags {
    paused: Option<u64>,
    halted: Option<StoredHalted>,
}

#[derive(Serialize, Deserialize)]
struct StoredHalted {
    since: u64,
    reason: String,
}

impl From<&Flags> for StoredFlags {
    fn from(flags: &Flags) -> Self {
        Self {
            paused: flags.paused.map(|since| since.0),
            halted: flags.halted.as_ref().map(|halted| StoredHalted {
                since: halted.since.0,
                reason: halted.reason.to_string(),
            }),
        }
    }
}

impl From<StoredFlags> for Flags {
    fn from(stored: StoredFlags) -> Self {
        Self {
            paused: stored.paused.map(Timestamp),
            halted: stored.halted.map(|halted| Halted {
                since: Timestamp(halted.since),
                reason: Arc::from(halted.reason),
            }),
        }
    }
}

pub(super) fn unreadable(key: &str, error: &dyn std::error::Error) -> Unreadable {
    Unreadable { key: key.into(), why: error.to_string() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
