//! The thread that writes indexes and snapshots to their files. What it cannot write is made again when it
//! is wanted: it never holds up who hands it something.
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use super::SegmentIndex;
use crate::{
    options::OpenError,
    recovery::{SegmentFiles, at},
    segment, snapshot,
};

/// So many may wait.
const WAITING_MAX: usize = 64;

/// See the module. Dropping it ends the thread, once it has written what waits.
#[derive(Debug)]
pub(crate) struct Keeper {
    waiting: Option<SyncSender<Wanted>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Wanted {
    Index(Arc<SegmentIndex>),
    /// The segment in which the journal went on behind it, and the bytes of its file.
    Snapshot(u64, Vec<u8>),
}

impl Keeper {
    /// `covered` is told before which segment no opening reads any.
    pub(crate) fn start(
        files: Arc<SegmentFiles>,
        snapshots: snapshot::Kept,
        covered: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let (waiting, wanted) = sync_channel(WAITING_MAX);
        let work = move || work(&files, &wanted, snapshots, &covered);
        let thread = std::thread::Builder::new().name("log-index".into()).spawn(work)?;
        Ok(Self { waiting: Some(waiting), thread: Some(thread) })
    }

    pub(crate) fn keep(&self, index: Arc<SegmentIndex>) {
        self.hand_over(Wanted::Index(index));
    }

    pub(crate) fn keep_snapshot(&self, segment: u64, file: Vec<u8>) {
        self.hand_over(Wanted::Snapshot(segment, file));
    }

    fn hand_over(&self, wanted: Wanted) {
        // Too many wait, or the thread is gone: made again when it is wanted.
        let _ = self.waiting.as_ref().map(|waiting| waiting.try_send(wanted));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.waiting = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was printed; there is nobody to tell.
            let _ = thread.join();
        }
    }
}

fn work(
    files: &SegmentFiles,
    wanted: &Receiver<Wanted>,
    mut snapshots: snapshot::Kept,
    covered: &AtomicU64,
) {
    let (disk, dir) = (files.disk(), files.dir());
    for wanted in wanted {
        // At worst what was begun takes room until the next opening.
        match wanted {
            Wanted::Index(index) => {
                if let Err(error) = write(files, &index) {
                    let _ = disk.remove(&dir.join(segment::INDEX_UNFINISHED));
                    tracing::debug!(%error, segment = index.segment, "an index is not written");
                }
            }
            Wanted::Snapshot(segment, bytes) => {
                if let Err(error) = snapshots.write(disk, dir, segment, &bytes) {
                    let _ = disk.remove(&dir.join(segment::SNAPSHOT_UNFINISHED));
                    tracing::warn!(%error, "a snapshot is not written: segments stay until the next one");
                }
                covered.store(snapshots.covered(), Ordering::Release);
            }
        }
    }
}

fn write(files: &SegmentFiles, index: &SegmentIndex) -> Result<(), OpenError> {
    let unfinished = files.dir().join(segment::INDEX_UNFINISHED);
    let path = files.dir().join(segment::index_name(index.segment));
    let bytes = index.encode(files.get(index.segment)?.salt);
    let disk = files.disk();
    let written = disk.create(&unfinished).and_then(|file| file.write_at(0, &bytes));
    written.map_err(at("write", &unfinished))?;
    disk.rename(&unfinished, &path).map_err(at("rename", &path))
}
