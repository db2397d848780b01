//! What is the same for all peers: the backlog, and how what its consumers pass on is counted. Never a
//! client.
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use log_contract::Timestamp;

use crate::cli::bench::{
    load::Load,
    pipeline,
    usage::{cpu_time, cpu_time_of},
};

/// Of a backlog. Divides by consumers and batches.
pub(super) const RECORDS: u64 = 200_000;
pub(super) const BATCH: usize = pipeline::BATCH;
/// A batch of it, ours and theirs.
pub(super) const LOAD: Load = Load { bytes: 100, records: BATCH, keyed: false };
/// How many read at once, each a stream of its own: one, and as many as our pipeline has partitions.
pub(super) const CONSUMERS: [u32; 2] = [1, pipeline::PARTITIONS];
/// What one trial may take, with filling its backlog: many times what it takes on a slow machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// One way to do the work, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// Of its figure, behind the peer's.
    pub(super) key: String,
    pub(super) label: String,
    pub(super) per_second: f64,
    /// CPU time of server and consumers by wall time.
    pub(super) cores: f64,
}

/// Values to fill a backlog with, one batch of them.
pub(super) fn values() -> Vec<Bytes> {
    let batch = LOAD.batch(0, Timestamp(0));
    let values = batch.records.records().filter_map(|record| record.value);
    values.map(Bytes::copy_from_slice).collect()
}

/// How much of a backlog was passed on, by all consumers together. The rate is counted from the first
/// tenth on, as our own is.
#[derive(Debug)]
pub(super) struct Progress {
    records: u64,
    /// The process id of the server, whose CPU time counts.
    server: u32,
    done: AtomicU64,
    tenth: OnceLock<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    done: u64,
    cpu: Duration,
}

impl Progress {
    pub(super) fn new(records: u64, server: u32) -> Self {
        Self { records, server, done: AtomicU64::new(0), tenth: OnceLock::new() }
    }

    /// So many more were passed on and acknowledged.
    pub(super) fn add(&self, records: usize) {
        let done = self.done.fetch_add(records as u64, Relaxed) + records as u64;
        if done >= self.records / 10 {
            self.tenth.get_or_init(|| self.mark(done));
        }
    }

    /// When all is done: records a second, and the cores that it took.
    pub(super) fn rate(&self) -> (f64, f64) {
        let now = self.mark(self.done.load(Relaxed));
        let from = self.tenth.get().copied().unwrap_or(now);
        let time = (now.at - from.at).as_secs_f64();
        ((now.done - from.done) as f64 / time, (now.cpu - from.cpu).as_secs_f64() / time)
    }

    fn mark(&self, done: u64) -> Mark {
        Mark { at: Instant::now(), done, cpu: cpu_time() + cpu_time_of(self.server) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_counts_from_the_first_tenth_on() {
        let progress = Progress::new(1_000, std::process::id());
        progress.add(50);
        assert!(progress.tenth.get().is_none());
        progress.add(60);
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        progress.add(890);
        let (per_second, cores) = progress.rate();
        let most = 890.0 / 0.02;
        let least = 890.0 / (began.elapsed().as_secs_f64() + 1.0);
        assert!(per_second > least && per_second <= most, "{per_second}");
        assert!(cores >= 0.0, "{cores}");
    }

    #[test]
    fn a_backlog_divides_by_consumers_and_batches() {
        let is_whole = |count: &u32| RECORDS.is_multiple_of(u64::from(*count) * BATCH as u64);
        assert!(CONSUMERS.iter().all(is_whole));
        let values = values();
        assert!(values.len() == BATCH && values.iter().all(|value| value.len() == 100));
    }
}
