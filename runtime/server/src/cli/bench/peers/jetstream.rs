//! NATS JetStream: streams in files, a durable pull consumer for each, its official client. A record is
//! acknowledged when the server has acknowledged its copy.
use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use async_nats::{
    Subject,
    jetstream::{
        self, Context,
        consumer::{AckPolicy, PullConsumer, pull},
        stream::{Config, StorageType},
    },
};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::{task::JoinSet, time::timeout};

use super::{
    server::{Program, Server},
    trial::{BATCH, CONSUMERS, PATIENCE, Progress, RECORDS, Trial, values},
};

/// Both ways to acknowledge: each record, or with the last of a batch all before it.
const POLICIES: [(AckPolicy, &str, &str); 2] = [
    (AckPolicy::Explicit, "ack_each", "each acknowledged"),
    (AckPolicy::All, "ack_all", "acknowledged by the batch"),
];
/// What a consumer may hold: the batch that it works on and those that are fetched ahead. The default
/// lets it wait.
const UNACKNOWLEDGED_MAX: i64 = 10 * BATCH as i64;

pub(super) async fn measure(program: &Program, folder: &Path) -> Result<Vec<Trial>> {
    let server = Server::start(program, folder.join("nats"), arguments).await?;
    let mut trials = Vec::new();
    for (policy, key, acknowledged) in POLICIES {
        for consumers in CONSUMERS {
            let ran = timeout(PATIENCE, trial(&server, consumers, policy)).await;
            let (per_second, cores) = ran.context("a trial does not end")??;
            let plural = if consumers == 1 { "" } else { "s" };
            let label = format!("{consumers} consumer{plural}, {acknowledged}");
            trials.push(Trial { key: format!("{consumers}_{key}"), label, per_second, cores });
        }
    }
    server.stop().await?;
    Ok(trials)
}

/// All else as it is by default. The folder is the one it runs in.
fn arguments(port: u16) -> Vec<String> {
    let port = port.to_string();
    let arguments = ["--addr", "127.0.0.1", "--port", &port, "--jetstream", "--store_dir", "store"];
    arguments.map(str::to_owned).to_vec()
}

/// On streams of its own, which are gone at the end.
async fn trial(server: &Server, consumers: u32, policy: AckPolicy) -> Result<(f64, f64)> {
    let records = RECORDS / u64::from(consumers);
    let mut lanes = Vec::new();
    for nth in 0..consumers {
        let lane = Lane::open(server, nth, records, policy).await?;
        lane.fill().await.context("fill the backlog")?;
        lanes.push(lane);
    }
    let progress = Arc::new(Progress::new(RECORDS, server.id()));
    // A consumer ends with its lane. Its failure, or panic, is told here; the others end with the set.
    let mut running = JoinSet::new();
    for lane in lanes {
        let progress = progress.clone();
        running.spawn(async move { lane.pass_on(&progress).await.map(|()| lane) });
    }
    let mut lanes = Vec::new();
    while let Some(ended) = running.join_next().await {
        lanes.push(ended??);
    }
    let rate = progress.rate();
    for lane in lanes {
        lane.close().await?;
    }
    Ok(rate)
}

/// A source, its one consumer, and where that one puts what it reads. A connection of its own.
struct Lane {
    context: Context,
    source: String,
    output: String,
    consumer: PullConsumer,
    policy: AckPolicy,
    records: u64,
}

impl Lane {
    async fn open(server: &Server, nth: u32, records: u64, policy: AckPolicy) -> Result<Self> {
        let client = async_nats::connect(server.address.to_string()).await?;
        let context = jetstream::new(client);
        let (source, output) = (format!("in-{nth}"), format!("out-{nth}"));
        let stream = |name: &str| Config {
            name: name.to_owned(),
            storage: StorageType::File,
            ..Config::default()
        };
        let from = context.create_stream(stream(&source)).await?;
        context.create_stream(stream(&output)).await?;
        let config = pull::Config {
            durable_name: Some("copy".to_owned()),
            ack_policy: policy,
            max_ack_pending: UNACKNOWLEDGED_MAX,
            ..pull::Config::default()
        };
        let consumer = from.create_consumer(config).await?;
        Ok(Self { context, source, output, consumer, policy, records })
    }

    async fn fill(&self) -> Result<()> {
        let values = values();
        let subject = Subject::from(self.source.as_str());
        for _ in 0..self.records / values.len() as u64 {
            let mut answers = Vec::with_capacity(values.len());
            for value in &values {
                answers.push(self.context.publish(subject.clone(), value.clone()).await?);
            }
            for answer in answers {
                answer.await?;
            }
        }
        Ok(())
    }

    /// Batch by batch; the client fetches ahead.
    async fn pass_on(&self, progress: &Progress) -> Result<()> {
        let builder = self.consumer.stream().max_messages_per_batch(BATCH);
        let mut messages = builder.messages().await?;
        let subject = Subject::from(self.output.as_str());
        for _ in 0..self.records / BATCH as u64 {
            let batch: Vec<_> = messages.by_ref().take(BATCH).try_collect().await?;
            ensure!(batch.len() == BATCH, "`{}` ended before its records did", self.source);
            let mut answers = Vec::with_capacity(BATCH);
            for message in &batch {
                let value = message.payload.clone();
                answers.push(self.context.publish(subject.clone(), value).await?);
            }
            for answer in answers {
                answer.await?;
            }
            let all = self.policy == AckPolicy::All;
            for message in &batch[if all { BATCH - 1 } else { 0 }..] {
                message.ack().await.map_err(anyhow::Error::from_boxed)?;
            }
            progress.add(BATCH);
        }
        Ok(self.context.client().flush().await?)
    }

    /// Each record must be in the output once and acknowledged.
    async fn close(self) -> Result<()> {
        let count = async |name: &str| -> Result<u64> {
            Ok(self.context.get_stream(name).await?.get_info().await?.state.messages)
        };
        let counts = (count(&self.source).await?, count(&self.output).await?);
        let expected = (self.records, self.records);
        ensure!(counts == expected, "in and out are {counts:?} records, {expected:?} are right");
        let left = self.consumer.get_info().await?;
        let left = (left.num_pending, left.num_ack_pending);
        ensure!(left == (0, 0), "{left:?} records are undelivered and unacknowledged");
        for name in [&self.source, &self.output] {
            self.context.delete_stream(name).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_listens_on_loopback_only_and_keeps_streams_in_its_folder() {
        assert_eq!(
            arguments(4_333).join(" "),
            "--addr 127.0.0.1 --port 4333 --jetstream --store_dir store"
        );
    }
}
