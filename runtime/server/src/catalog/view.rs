//! The catalogue itself: what is known by name, kept in step with the documents. Never a decision about
//! what a put may contain.
use super::{
    Etag, Flags, Function, Topics, Trigger,
    error::StoreError,
    stored::{
        self, FLAGS, FUNCTIONS, StoredFlags, StoredFunction, StoredTrigger, StoredVersion,
        TRIGGERS, Unreadable, VERSIONS,
    },
};
use crate::artifacts::Artifacts;
use bytes::Bytes;
use log_contract::{
    Clock, Document, Documents, Expect, FunctionName, Log, LogUnavailable, Timestamp, TopicName,
    TriggerName,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock, RwLockReadGuard},
};
use tokio::sync::watch;

/// Everything that is known by name.
#[derive(Debug)]
pub struct Catalog {
    pub(super) log: Arc<dyn Log>,
    documents: Arc<dyn Documents>,
    pub(super) artifacts: Arc<Artifacts>,
    pub(super) clock: Arc<dyn Clock>,
    topics: Topics,
    view: RwLock<View>,
    /// One change at a time; what it checks still holds when it writes.
    pub(super) writes: tokio::sync::Mutex<()>,
    /// Counts what changed in the view.
    revision: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct View {
    functions: BTreeMap<FunctionName, Arc<Function>>,
    triggers: BTreeMap<TriggerName, Arc<Trigger>>,
    /// The newest document that is in the view.
    seen: u64,
}

/// Why the catalogue does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the catalogue cannot be read")]
    Unavailable(#[source] LogUnavailable),
    #[error("the catalogue holds something else")]
    Unreadable(#[source] Unreadable),
}

const SANE: &str = "nothing panics while it holds the view";

impl Catalog {
    /// Reads all there is.
    ///
    /// # Errors
    /// The log, or a document that this program cannot read.
    pub async fn open(
        log: Arc<dyn Log>,
        documents: Arc<dyn Documents>,
        artifacts: Arc<Artifacts>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let topics = Topics::open(Arc::clone(&log)).await.map_err(OpenError::Unavailable)?;
        let catalog = Self {
            log,
            documents,
            artifacts,
            clock,
            topics,
            view: RwLock::default(),
            writes: tokio::sync::Mutex::default(),
            revision: watch::Sender::new(0),
        };
        catalog.refresh().await?;
        Ok(catalog)
    }

    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    #[must_use]
    pub fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    #[must_use]
    pub fn function(&self, name: &FunctionName) -> Option<Arc<Function>> {
        self.read().functions.get(name).cloned()
    }

    /// Sorted by name.
    #[must_use]
    pub fn functions(&self) -> Vec<Arc<Function>> {
        self.read().functions.values().cloned().collect()
    }

    #[must_use]
    pub fn trigger(&self, name: &TriggerName) -> Option<Arc<Trigger>> {
        self.read().triggers.get(name).cloned()
    }

    /// Sorted by name.
    #[must_use]
    pub fn triggers(&self) -> Vec<Arc<Trigger>> {
        self.read().triggers.values().cloned().collect()
    }

    /// The triggers for which `holds`, by name.
    #[must_use]
    pub fn triggers_with(&self, holds: impl Fn(&Trigger) -> bool) -> Vec<TriggerName> {
        let view = self.read();
        view.triggers
            .values()
            .filter(|found| holds(found))
            .map(|found| found.name.clone())
            .collect()
    }

    /// Those that read the topic, write to it, or send dead letters there.
    #[must_use]
    pub fn users_of_topic(&self, topic: &TopicName) -> Vec<TriggerName> {
        self.triggers_with(|trigger| {
            let it = &trigger.definition;
            it.source == *topic
                || it.output.as_ref() == Some(topic)
                || it.outputs.contains(topic)
                || it.dead_letter_topic(&trigger.name) == *topic
        })
    }

    #[must_use]
    pub fn users_of_function(&self, function: &FunctionName) -> Vec<TriggerName> {
        self.triggers_with(|trigger| trigger.definition.function.name == *function)
    }

    /// Told of every change of functions, triggers and flags.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Returns when a document was written that the view does not show yet, by another process.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn changed_elsewhere(&self) -> Result<(), LogUnavailable> {
        let mut seen = self.read().seen;
        loop {
            let newest = self.documents.changed(seen).await?;
            // A write of our own shows itself, a moment later.
            drop(self.writes.lock().await);
            let shown = self.read().seen;
            if shown < newest {
                return Ok(());
            }
            seen = shown.max(newest);
        }
    }

    /// Brings the view to what the documents say.
    ///
    /// # Errors
    /// The log, or a document that this program cannot read: then the view stays as it was.
    pub async fn refresh(&self) -> Result<(), OpenError> {
        let _turn = self.writes.lock().await;
        let functions = self.list(FUNCTIONS).await?;
        let versions = self.list(VERSIONS).await?;
        let triggers = self.list(TRIGGERS).await?;
        let flags = self.list(FLAGS).await?;
        let all = [&functions, &versions, &triggers, &flags];
        let newest = all.into_iter().flatten().map(|(_, document)| document.version).max();
        let functions = read_functions(functions, versions).map_err(OpenError::Unreadable)?;
        let triggers = read_triggers(triggers, flags).map_err(OpenError::Unreadable)?;
        let mut view = self.view.write().expect(SANE);
        let seen = view.seen.max(newest.unwrap_or(0));
        *view = View { functions, triggers, seen };
        drop(view);
        self.revision.send_modify(|revision| *revision += 1);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Document)>, OpenError> {
        self.documents.list(prefix).await.map_err(OpenError::Unavailable)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Puts or deletes a document; the caller holds `writes` and shows it then.
    pub(super) async fn write(
        &self,
        key: &str,
        value: Option<Bytes>,
        expect: Expect,
    ) -> Result<u64, StoreError> {
        let version = self.documents.put(key, value, expect).await?;
        let mut view = self.view.write().expect(SANE);
        view.seen = view.seen.max(version);
        Ok(version)
    }

    pub(super) fn show_function(&self, function: Arc<Function>) {
        self.view.write().expect(SANE).functions.insert(function.name.clone(), function);
        self.revision.send_modify(|revision| *revision += 1);
    }

    pub(super) fn hide_function(&self, name: &FunctionName) {
        self.view.write().expect(SANE).functions.remove(name);
        self.revision.send_modify(|revision| *revision += 1);
    }

    pub(super) fn show_trigger(&self, trigger: Arc<Trigger>) {
        self.view.write().expect(SANE).triggers.insert(trigger.name.clone(), trigger);
        self.revision.send_modify(|revision| *revision += 1);
    }

    pub(super) fn hide_trigger(&self, name: &TriggerName) {
        self.view.write().expect(SANE).triggers.remove(name);
        self.revision.send_modify(|revision| *revision += 1);
    }

    fn read(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().expect(SANE)
    }
}

/// A version whose function is gone was left behind by a crash in the middle of a delete: not shown.
fn read_functions(
    heads: Vec<(String, Document)>,
    versions: Vec<(String, Document)>,
) -> Result<BTreeMap<FunctionName, Arc<Function>>, Unreadable> {
    let mut by_name: HashMap<String, Vec<Arc<super::Version>>> = HashMap::new();
    for (key, document) in versions {
        let rest = key.strip_prefix(VERSIONS).unwrap_or(&key);
        let name = rest.split('/').next().unwrap_or(rest).to_owned();
        let stored: StoredVersion = stored::decode(&key, &document.value)?;
        by_name.entry(name).or_default().push(Arc::new(stored.read(&key)?));
    }
    let mut functions = BTreeMap::new();
    for (key, document) in heads {
        let text = key.strip_prefix(FUNCTIONS).unwrap_or(&key);
        let name =
            FunctionName::parse_internal(text).map_err(|error| stored::unreadable(&key, &error))?;
        let stored: StoredFunction = stored::decode(&key, &document.value)?;
        // The head is written after its version, and deleted before: what it does not count was left by a
        // crash in the middle of either, perhaps of an older function of the name.
        let mut versions = by_name.remove(text).unwrap_or_default();
        versions.retain(|version| version.version <= stored.versions);
        if versions.is_empty() {
            continue;
        }
        versions.sort_by_key(|version| version.version);
        let function = Function {
            name: name.clone(),
            etag: Etag(document.version),
            created_at: Timestamp(stored.created_at),
            versions,
            settings: stored.settings(),
        };
        functions.insert(name, Arc::new(function));
    }
    Ok(functions)
}

fn read_triggers(
    heads: Vec<(String, Document)>,
    flags: Vec<(String, Document)>,
) -> Result<BTreeMap<TriggerName, Arc<Trigger>>, Unreadable> {
    let mut by_name = HashMap::new();
    for (key, document) in flags {
        let name = key.strip_prefix(FLAGS).unwrap_or(&key).to_owned();
        let stored: StoredFlags = stored::decode(&key, &document.value)?;
        by_name.insert(name, Flags::from(stored));
    }
    let mut triggers = BTreeMap::new();
    for (key, document) in heads {
        let text = key.strip_prefix(TRIGGERS).unwrap_or(&key);
        let name =
            TriggerName::parse_internal(text).map_err(|error| stored::unreadable(&key, &error))?;
        let stored: StoredTrigger = stored::decode(&key, &document.value)?;
        let flags = by_name.remove(text).unwrap_or_default();
        let trigger = stored.read(&key, name.clone(), Etag(document.version), flags)?;
        triggers.insert(name, Arc::new(trigger));
    }
    Ok(triggers)
}
