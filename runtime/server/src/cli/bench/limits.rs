//! What this machine can do at best, measured with nothing of ours in the way. The other figures stand
//! beside these. Never through the log.
use std::{
    fs::File,
    hint::black_box,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::report::{Section, Unit};

/// What the others are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) cores: usize,
    /// Append 4 KiB to a growing file, then fdatasync.
    pub(super) sync_p50_us: f64,
    pub(super) sync_p99_us: f64,
    /// Sequential write with an fdatasync per MiB.
    pub(super) sequential_mb: f64,
    /// One thread, between buffers that no cache holds.
    pub(super) memcpy_gb: f64,
}

const BLOCK: usize = 4 << 10;
const MIB: usize = 1 << 20;
/// Of each measurement: enough for a p99, short enough for a person.
const SYNCS: usize = 2_000;
const SYNC_TIME: Duration = Duration::from_secs(4);
const SEQUENTIAL_MIB: usize = 384;

/// Writes into `folder`, which must lie on the file system that the data will.
pub(super) fn measure(folder: &Path) -> Result<Limits> {
    let syncs = syncs(&folder.join("sync")).context("measure the sync of an append")?;
    let sequential_mb =
        sequential(&folder.join("sequential")).context("measure a sequential write")?;
    Ok(Limits {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        sync_p50_us: syncs.value_at_quantile(0.50) as f64 / 1e3,
        sync_p99_us: syncs.value_at_quantile(0.99) as f64 / 1e3,
        sequential_mb,
        memcpy_gb: memcpy(),
    })
}

impl Limits {
    pub(super) fn section(&self) -> Section {
        let about = format!("this machine, {} cores, nothing of ours in the way", self.cores);
        let mut section = Section::new("limits", about);
        section.add("cores", "cores", self.cores as f64, Unit::Count);
        section.add("sync_4k_p50", "append 4 KiB + fdatasync, p50", self.sync_p50_us, Unit::Micros);
        section.add("sync_4k_p99", "append 4 KiB + fdatasync, p99", self.sync_p99_us, Unit::Micros);
        if self.sync_p99_us > 10.0 * self.sync_p50_us {
            section.beside("far from p50: the machine is busy");
        }
        section.add(
            "sequential",
            "sequential write, fdatasync per MiB",
            self.sequential_mb,
            Unit::MegabytesPerSecond,
        );
        section.add("memcpy", "memcpy, one thread", self.memcpy_gb, Unit::GigabytesPerSecond);
        section
    }
}

/// Nanoseconds of each append with its sync.
fn syncs(path: &Path) -> io::Result<Histogram<u64>> {
    let mut file = File::create(path)?;
    let block = [0x5A; BLOCK];
    let mut times = histogram();
    let began = Instant::now();
    for nth in 0..SYNCS + SYNCS / 10 {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        // The first ones find caches cold.
        if nth >= SYNCS / 10 {
            times.saturating_record(nanos(start.elapsed()));
        }
        if began.elapsed() > SYNC_TIME && times.len() >= 100 {
            break;
        }
    }
    Ok(times)
}

/// MB/s. The first MiB are slower, as the page cache grows: they are not counted.
fn sequential(path: &Path) -> io::Result<f64> {
    let mut file = File::create(path)?;
    let block = vec![0xA5; MIB];
    let mut began = Instant::now();
    for nth in 0..SEQUENTIAL_MIB {
        if nth == SEQUENTIAL_MIB / 6 {
            began = Instant::now();
        }
        file.write_all(&block)?;
        file.sync_data()?;
    }
    let counted = SEQUENTIAL_MIB - SEQUENTIAL_MIB / 6;
    Ok((counted * MIB) as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// GB/s, the best of a few.
fn memcpy() -> f64 {
    let from = vec![1_u8; 128 * MIB];
    let mut to = vec![0_u8; 128 * MIB];
    let best = (0..5).map(|_| {
        let start = Instant::now();
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        from.len() as f64 / 1e9 / start.elapsed().as_secs_f64()
    });
    best.fold(0.0, f64::max)
}

/// For nanoseconds up to a minute.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 3).expect("three digits up to a minute")
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_limits() {
        let folder = tempfile::tempdir().unwrap();
        let limits = measure(folder.path()).unwrap();
        assert!(limits.sync_p50_us > 0.0 && limits.sync_p50_us <= limits.sync_p99_us);
        assert!(limits.sequential_mb > 0.0 && limits.memcpy_gb > 0.0);
        let keys: Vec<_> = limits.section().figures.into_iter().map(|one| one.key).collect();
        assert_eq!(
            keys,
            [
                "cores",
                "sync_4k_p50_us",
                "sync_4k_p99_us",
                "sequential_mb_per_second",
                "memcpy_gb_per_second"
            ]
        );
    }
}
