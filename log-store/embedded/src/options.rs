//! What whoever opens a log may set, and why an opening is refused.
use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use log_contract::{Clock, Retention};

use crate::disk::{Disk, OsDisk};

/// Settings of a log, with their defaults.
#[derive(Clone)]
pub struct Options {
    /// The only time there is for what is stored.
    pub clock: Arc<dyn Clock>,
    /// The only door to files.
    pub disk: Arc<dyn Disk>,
    /// Of one file of the journal: 64 MiB. A larger frame gets a larger file.
    pub segment_bytes: u64,
    /// Kept for progress, trims and deletes when the disk is full: 64 MiB. 0: none is made. One that is
    /// there stays as large as it was made, until it is used.
    pub reserve_bytes: u64,
    /// The newest frames in memory, and the buffers of the next ones: 128 MiB.
    pub tail_bytes: usize,
    /// Older frames that were read last, in memory: 32 MiB.
    pub cold_bytes: usize,
    /// Indexes of the segments that were read last, in memory: 16 MiB.
    pub index_bytes: usize,
    /// After so many bytes of the journal what the log knows is written to a file of its own, so that an
    /// opening need not read what came before: 256 MiB.
    pub snapshot_bytes: u64,
    /// How often it is looked for what retention takes: 10 s.
    pub retention_every: Duration,
    /// Of one partition: what retention would take and no trigger has read is kept up to so many bytes:
    /// 1 GiB.
    pub held_bytes_max: u64,
    /// Requests that wait for the writer: 64 MiB. Whoever comes then waits before it is taken.
    pub queue_bytes: usize,
    /// A frame takes no further request beyond so many bytes: 1 MiB. Whoever reads one partition's
    /// records reads and checks the frame that holds them.
    pub group_bytes: usize,
    /// All function state together, as it lies in memory: 1 GiB. Beyond, settlements that add to it
    /// are not applied.
    pub state_bytes_max: u64,
    /// Called when nothing can be promised any more, before the log ends. The default says why and
    /// ends the process; another one must end it soon, too.
    pub on_fatal: Arc<dyn Fn(&Fatal) + Send + Sync>,
    /// Is told how long things took.
    pub observer: Arc<dyn Observer>,
}

impl Options {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            disk: Arc::new(OsDisk),
            segment_bytes: 64 << 20,
            reserve_bytes: 64 << 20,
            tail_bytes: 128 << 20,
            cold_bytes: 32 << 20,
            index_bytes: 16 << 20,
            snapshot_bytes: 256 << 20,
            retention_every: Duration::from_secs(10),
            held_bytes_max: Retention::HELD_BYTES_MAX,
            queue_bytes: 64 << 20,
            group_bytes: 1 << 20,
            state_bytes_max: 1 << 30,
            on_fatal: Arc::new(end_process),
            observer: Arc::new(Unobserved),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("disk", &self.disk)
            .field("segment_bytes", &self.segment_bytes)
            .field("reserve_bytes", &self.reserve_bytes)
            .field("tail_bytes", &self.tail_bytes)
            .field("cold_bytes", &self.cold_bytes)
            .finish_non_exhaustive()
    }
}

/// Why nothing can be promised any more.
#[derive(Debug, thiserror::Error)]
#[error("{what} the journal in `{}`: what is durable is unknown, so the process must end", dir.display())]
pub struct Fatal {
    pub what: &'static str,
    pub dir: PathBuf,
    #[source]
    pub error: io::Error,
}

fn end_process(fatal: &Fatal) {
    eprintln!("fatal: {fatal}: {}", fatal.error);
    std::process::abort();
}

/// Is told how long things took, for metrics. Called from the thread that writes: must return at once.
pub trait Observer: Send + Sync {
    /// From the call of an append to its answer.
    fn appended(&self, took: Duration);
    /// One sync, and the bytes of the frame that it made durable.
    fn synced(&self, took: Duration, bytes: usize);
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn appended(&self, _took: Duration) {}
    fn synced(&self, _took: Duration, _bytes: usize) {}
}

/// What a log holds right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Of all segments that have frames, as files.
    pub journal_bytes: u64,
    /// Those files.
    pub segments: u64,
    /// Frames written since it was opened.
    pub frames: u64,
    /// Frames in memory.
    pub tail_bytes: usize,
    /// Function state in memory.
    pub state_bytes: u64,
}

/// Why a directory cannot be opened as a log. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("`{}` is in use by another process{}: one process per directory", dir.display(), shown(.owner))]
    InUse {
        dir: PathBuf,
        /// The other's process id, if it is known.
        owner: Option<u32>,
    },
    /// Bytes are not what was written, and what was acknowledged may be among them.
    #[error(
        "`{}` is damaged at {at}: {why}; restore the directory from a backup, or move it away to start empty",
        file.display()
    )]
    Damaged { file: PathBuf, at: u64, why: String },
    #[error("segment `{}` is missing: bring the file back, or restore the directory from a backup", file.display())]
    Missing { file: PathBuf },
    /// Retention took segments, and what they said beside records is in a snapshot.
    #[error(
        "`{}` begins with segment {oldest}, and neither `{}` nor `{}` is there and whole to say what was \
         before: bring one back, or restore the directory from a backup",
        dir.display(), crate::segment::SNAPSHOT, crate::segment::SNAPSHOT_BEFORE
    )]
    NoSnapshot { dir: PathBuf, oldest: u64 },
    #[error("no room to open `{}`: free some space on its disk", dir.display())]
    Full { dir: PathBuf },
    #[error("{act} `{}`", path.display())]
    Io {
        act: &'static str,
        path: PathBuf,
        #[source]
        error: io::Error,
    },
}

fn shown(owner: &Option<u32>) -> String {
    owner.map(|owner| format!(" ({owner})")).unwrap_or_default()
}
