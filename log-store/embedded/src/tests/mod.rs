//! The log as a whole, seen from inside: what recovery makes of bytes, and in which order things happen.
mod damage;
pub(crate) mod faulty;
mod full;
mod history;
mod order;
mod power;
mod retention;
mod stored;
mod whole;

use std::{path::Path, sync::Arc};

use log_contract::{
    AppendBatch, AppendGuard, BatchBuilder, CursorName, Headers, Lease, Log, ManualClock,
    MembershipEvent, Memo, Offset, Output, PartitionId, PartitionRef, Progress, ReadBudget,
    Settlement, Timestamp, TopicId, TopicName, TopicSpec,
};

use crate::{EmbeddedLog, OpenError, Options};

/// A small generator: the same steps for the same seed.
struct Seed(u64);

impl Seed {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % n
    }
}

fn options() -> Options {
    let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
    Options {
        segment_bytes: 16 << 10,
        reserve_bytes: 16 << 10,
        snapshot_bytes: 30 << 10,
        ..Options::new(clock)
    }
}

fn open(dir: &Path) -> Arc<EmbeddedLog> {
    try_open(dir).expect("it opens")
}

fn try_open(dir: &Path) -> Result<Arc<EmbeddedLog>, OpenError> {
    EmbeddedLog::open(dir, options())
}

async fn topic(log: &EmbeddedLog, name: &str, partitions: u32) -> TopicId {
    let name = TopicName::parse(name).expect("a name");
    log.create_topic(TopicSpec::new(name, partitions)).await.expect("it is made")
}

fn batch(values: &[&str]) -> AppendBatch {
    let mut batch = BatchBuilder::default();
    for value in values {
        let value = value.as_bytes();
        batch.push_new(Timestamp(7), Some(value), Some(value), Headers::NONE);
    }
    batch.build().into()
}

async fn append(log: &EmbeddedLog, topic: TopicId, values: &[&str]) {
    log.append(topic, batch(values), AppendGuard::default()).await.expect("it is taken");
}

fn first_of(topic: TopicId) -> PartitionRef {
    PartitionRef::new(topic, PartitionId(0))
}

/// All values of a partition.
async fn values(log: &EmbeddedLog, at: PartitionRef) -> Vec<String> {
    let budget = ReadBudget {
        records_max: usize::MAX,
        bytes_max: usize::MAX,
        wait_max: std::time::Duration::ZERO,
    };
    let start = log.bounds(at).await.expect("it has bounds").start;
    let page = log.read(at, start, budget).await.expect("it can be read");
    let records = page.batches.iter().flat_map(|batch| batch.records());
    records
        .map(|record| String::from_utf8_lossy(record.value.unwrap_or(b"")).into_owned())
        .collect()
}

async fn lease(log: &EmbeddedLog, cursor: &str, topic: TopicId) -> Lease {
    let cursor = CursorName::parse(cursor).expect("a name");
    let mut member = log.join(&cursor, &[topic]).await.expect("it is joined");
    let Some(MembershipEvent::Gained(lease)) = member.next().await else { panic!("a lease comes") };
    lease
}

fn settlement(next: u64, outputs: &[(TopicId, &str)]) -> Settlement {
    let output = |(topic, value): &(TopicId, &str)| Output {
        topic: *topic,
        span: batch(&[value]).records.into(),
    };
    Settlement {
        outputs: outputs.iter().map(output).collect(),
        state: Vec::new(),
        progress: vec![Progress::at(Offset(next))],
        memo: Memo::default(),
        rewind: false,
    }
}
