//! The real parts, started in process on a directory of their own. What is common to all measurements;
//! never a measurement.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use log_contract::{
    AppendBatch, AppendGuard, CursorName, FunctionName, Log, PartitionId, PartitionRef, Retention,
    TopicId, TopicName, TopicSpec, TriggerName,
};
use trigger::{BatchPolicy, ItemFailures, Ordering, RetryPolicy};

use crate::{
    app::App,
    catalog::{
        FunctionPatch, FunctionRef, Guard, OnFailure, Scaling, Selector, Start, TriggerDefinition,
    },
    config::{Config, Storage},
};

/// Puts out each record as it came.
pub(super) const IDENTITY: &[u8] = include_bytes!("../../../../../functions/built/identity.wasm");
/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Rig {
    pub(super) app: Arc<App>,
    folder: PathBuf,
}

/// A topic by name and id.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    pub(super) id: TopicId,
    pub(super) partitions: u32,
}

impl Topic {
    pub(super) fn partition(&self, partition: u32) -> PartitionRef {
        PartitionRef::new(self.id, PartitionId(partition))
    }
}

impl Rig {
    pub(super) async fn start(parent: &Path) -> Result<Self> {
        let folder = parent.join("data");
        let program = std::env::current_exe().context("find this program's own file")?;
        let app = App::start(Config::new(Storage::Directory(folder.clone()), program)).await?;
        Ok(Self { app, folder })
    }

    pub(super) async fn stop(self) -> Result<()> {
        remove(&self.leave().await)
    }

    /// Stops, and leaves what was written there.
    pub(super) async fn leave(self) -> PathBuf {
        self.app.stop(async {}).await;
        self.folder
    }

    pub(super) fn log(&self) -> &Arc<dyn Log> {
        &self.app.log
    }

    pub(super) async fn topic(&self, name: &str, partitions: u32) -> Result<Topic> {
        let name = TopicName::parse(name)?;
        let retention = Retention { age: None, bytes: None, hold_for_triggers: true };
        let spec = TopicSpec { name: name.clone(), partitions, retention, compacted: false };
        let put = self.app.catalog.topics().put(spec, Guard::Nothing).await?;
        Ok(Topic { name, id: put.topic.id, partitions })
    }

    /// Deploys a component and makes it ready to run.
    pub(super) async fn function(
        &self,
        name: &str,
        component: &'static [u8],
    ) -> Result<Arc<sandbox::Function>> {
        let name = FunctionName::parse(name)?;
        let put = self.app.catalog.put_version(&name, Bytes::from_static(component)).await?;
        Ok(self.app.catalog.artifacts().load(put.version.digest).await?)
    }

    /// Maps `source` to `output` through the newest version of a function that is deployed.
    pub(super) async fn trigger(
        &self,
        name: &str,
        topics: (&Topic, &Topic),
        function: &str,
        (ordering, records_max): (Ordering, usize),
    ) -> Result<TriggerName> {
        let function =
            FunctionRef { name: FunctionName::parse(function)?, selector: Selector::Newest };
        let definition = definition(name, topics, function, (ordering, records_max))?;
        self.put_trigger(name, definition).await
    }

    pub(super) async fn put_trigger(
        &self,
        name: &str,
        definition: TriggerDefinition,
    ) -> Result<TriggerName> {
        let name = TriggerName::parse(name)?;
        self.app.catalog.put_trigger(&name, definition, Guard::Nothing).await?;
        Ok(name)
    }

    /// When it returns nothing of the trigger runs any more.
    pub(super) async fn delete_trigger(&self, name: &TriggerName) -> Result<()> {
        let deleted = self.app.supervisor.delete(name, Guard::Any).await;
        deleted.with_context(|| format!("delete trigger `{name}`"))
    }

    pub(super) async fn patch_function(&self, name: &str, patch: FunctionPatch) -> Result<()> {
        let name = FunctionName::parse(name)?;
        let patched = self.app.catalog.patch_function(&name, patch, Guard::Any).await;
        patched.map(drop).with_context(|| format!("patch function `{name}`"))
    }

    /// A counter of one trigger as the metrics tell it, over all its other labels. 0 if it has none.
    pub(super) fn counter(&self, metric: &str, trigger: &TriggerName) -> f64 {
        let families = self.app.metrics.registry().gather();
        let series = families.iter().filter(|family| family.name() == metric);
        let is_its = |labels: &[prometheus::proto::LabelPair]| {
            labels.iter().any(|of| of.name() == "trigger" && of.value() == trigger.as_str())
        };
        let its = series.flat_map(|family| family.get_metric()).filter(|it| is_its(it.get_label()));
        its.map(|it| it.get_counter().get_value()).sum()
    }

    pub(super) async fn append(&self, topic: &Topic, batch: AppendBatch) -> Result<()> {
        let appended = self.log().append(topic.id, batch, AppendGuard::default()).await;
        appended.map(drop).with_context(|| format!("append to `{}`", topic.name))
    }

    /// What topics ever took.
    pub(super) async fn count(&self, topics: &[Topic]) -> Result<u64> {
        let mut count = 0;
        for topic in topics {
            for partition in 0..topic.partitions {
                count += self.log().bounds(topic.partition(partition)).await?.end.0;
            }
        }
        Ok(count)
    }

    /// Waits until topics have taken so many records, not one more, and gives when.
    pub(super) async fn reaches(&self, topics: &[Topic], wanted: u64) -> Result<Instant> {
        let mut moved = (Instant::now(), 0);
        loop {
            let count = self.count(topics).await?;
            let now = Instant::now();
            if count >= wanted {
                return if count == wanted {
                    Ok(now)
                } else {
                    Err(too_many(topics, count, wanted))
                };
            }
            if count > moved.1 {
                moved = (now, count);
            }
            if now - moved.0 > PATIENCE {
                bail!("{} has {count} of {wanted} records and no more come", names(topics));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

pub(super) fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).with_context(|| format!("remove `{}`", folder.display()))
}

/// With the rig's policies: every failed record is tried five times, then it is a dead letter; a
/// failure of half the records halts the trigger.
pub(super) fn definition(
    name: &str,
    (source, output): (&Topic, &Topic),
    function: FunctionRef,
    (ordering, records_max): (Ordering, usize),
) -> Result<TriggerDefinition> {
    Ok(TriggerDefinition {
        source: source.name.clone(),
        function,
        output: Some(output.name.clone()),
        outputs: Vec::new(),
        cursor: CursorName::parse(name)?,
        enabled: true,
        start: Start::Earliest,
        batch: BatchPolicy { records_max, bytes_max: 6 << 20, wait: Duration::ZERO },
        ordering,
        retry: RetryPolicy {
            attempts_max: Some(5),
            bisect: true,
            item_failures: ItemFailures::Each,
            record_age_max: None,
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(60),
        },
        on_failure: OnFailure::DeadLetter,
        dead_letters: None,
        halt_on_failure_share: 0.5,
        filter: None,
        window: None,
        scaling: Scaling {
            concurrency_min: 0,
            concurrency_max: 16,
            lag_target: Duration::from_secs(5),
        },
    })
}

fn too_many(topics: &[Topic], count: u64, wanted: u64) -> anyhow::Error {
    anyhow!("{} has {count} records and {wanted} are right: this is a bug", names(topics))
}

fn names(topics: &[Topic]) -> String {
    match topics {
        [one] => format!("`{}`", one.name),
        [first, .., last] => format!("`{}` to `{}`", first.name, last.name),
        [] => "no topic".into(),
    }
}

/// A temporary directory whose files are on a disk, if there is any.
pub(super) fn folder_on_disk() -> PathBuf {
    let folders = [std::env::temp_dir(), PathBuf::from("/var/tmp"), PathBuf::from(".")];
    let on_disk = folders.iter().find(|folder| folder.is_dir() && !is_in_memory(folder));
    on_disk.unwrap_or(&folders[0]).clone()
}

pub(super) fn is_in_memory(folder: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    rustix::fs::statfs(folder).is_ok_and(|stat| stat.f_type as u64 == TMPFS)
}
