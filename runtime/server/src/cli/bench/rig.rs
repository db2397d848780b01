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
    catalog::{FunctionRef, Guard, OnFailure, Scaling, Selector, Start, TriggerDefinition},
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
        self.app.stop(async {}).await;
        drop(self.app);
        std::fs::remove_dir_all(&self.folder)
            .with_context(|| format!("remove `{}`", self.folder.display()))
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

    /// Maps `source` to `output` through a function that is deployed.
    pub(super) async fn trigger(
        &self,
        name: &str,
        (source, output): (&Topic, &Topic),
        function: &str,
        (ordering, records_max): (Ordering, usize),
    ) -> Result<TriggerName> {
        let function =
            FunctionRef { name: FunctionName::parse(function)?, selector: Selector::Newest };
        let name = TriggerName::parse(name)?;
        let definition = TriggerDefinition {
            source: source.name.clone(),
            function,
            output: Some(output.name.clone()),
            outputs: Vec::new(),
            cursor: CursorName::parse(name.as_str())?,
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
        };
        self.app.catalog.put_trigger(&name, definition, Guard::Nothing).await?;
        Ok(name)
    }

    pub(super) async fn append(&self, topic: &Topic, batch: AppendBatch) -> Result<()> {
        let appended = self.log().append(topic.id, batch, AppendGuard::default()).await;
        appended.map(drop).with_context(|| format!("append to `{}`", topic.name))
    }

    /// What a topic ever took.
    pub(super) async fn count(&self, topic: &Topic) -> Result<u64> {
        let mut count = 0;
        for partition in 0..topic.partitions {
            count += self.log().bounds(topic.partition(partition)).await?.end.0;
        }
        Ok(count)
    }

    /// Waits until a topic has taken so many records, not one more, and gives when.
    pub(super) async fn reaches(&self, topic: &Topic, wanted: u64) -> Result<Instant> {
        let mut moved = (Instant::now(), 0);
        loop {
            let count = self.count(topic).await?;
            let now = Instant::now();
            if count >= wanted {
                return if count == wanted { Ok(now) } else { Err(too_many(topic, count, wanted)) };
            }
            if count > moved.1 {
                moved = (now, count);
            }
            if now - moved.0 > PATIENCE {
                bail!("`{}` has {count} of {wanted} records and no more come", topic.name);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn too_many(topic: &Topic, count: u64, wanted: u64) -> anyhow::Error {
    anyhow!("`{}` has {count} records and {wanted} are right: this is a bug", topic.name)
}

/// CPU time of this process so far, all threads.
pub(super) fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything, up to its `)`: the 12th and 13th field, in 100ths.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = rest.split_whitespace().skip(11).take(2);
    let hundredths: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(hundredths * 10)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_goes_on() {
        let before = cpu_time();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(60) {
            std::hint::black_box(cpu_time());
        }
        assert!(cpu_time() > before);
    }
}
