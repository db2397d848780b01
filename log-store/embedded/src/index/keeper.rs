//! The thread that writes indexes and snapshots to their files. What it cannot write is made again when it
//! is wanted: it never holds up who hands it something.
use std::{
    io,
    sync::{
        Arc,
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
    /// The bytes of its file.
    Snapshot(Vec<u8>),
}

impl Keeper {
    pub(crate) fn start(files: Arc<SegmentFiles>) -> io::Result<Self> {
        let (waiting, wanted) = sync_channel(WAITING_MAX);
        let work = move || work(&files, &wanted);
        let thread = std::thread::Builder::new().name("log-index".into()).spawn(work)?;
        Ok(Self { waiting: Some(waiting), thread: Some(thread) })
    }

    pub(crate) fn keep(&self, index: Arc<SegmentIndex>) {
        self.hand_over(Wanted::Index(index));
    }

    pub(crate) fn keep_snapshot(&self, file: Vec<u8>) {
        self.hand_over(Wanted::Snapshot(file));
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

fn work(files: &SegmentFiles, wanted: &Receiver<Wanted>) {
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
            Wanted::Snapshot(bytes) => {
                if let Err(error) = snapshot::write(disk, dir, &bytes) {
                    let _ = disk.remove(&dir.join(segment::SNAPSHOT_UNFINISHED));
                    tracing::debug!(%error, "a snapshot is not written");
                }
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
