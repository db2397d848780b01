//! The thread that writes indexes to their files. What it cannot write is made again when it is wanted:
//! it syncs nothing, and never holds up who hands it something.
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
    segment,
};

/// So many may wait.
const WAITING_MAX: usize = 64;

/// See the module. Dropping it ends the thread, once it has written what waits.
#[derive(Debug)]
pub(crate) struct Keeper {
    waiting: Option<SyncSender<Arc<SegmentIndex>>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn start(files: Arc<SegmentFiles>) -> io::Result<Self> {
        let (waiting, wanted) = sync_channel(WAITING_MAX);
        let work = move || work(&files, &wanted);
        let thread = std::thread::Builder::new().name("log-index".into()).spawn(work)?;
        Ok(Self { waiting: Some(waiting), thread: Some(thread) })
    }

    pub(crate) fn keep(&self, index: Arc<SegmentIndex>) {
        // Too many wait, or the thread is gone: made again when it is wanted.
        let _ = self.waiting.as_ref().map(|waiting| waiting.try_send(index));
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

fn work(files: &SegmentFiles, wanted: &Receiver<Arc<SegmentIndex>>) {
    for index in wanted {
        if let Err(error) = write(files, &index) {
            // At worst it takes room until the next opening.
            let _ = files.disk().remove(&files.dir().join(segment::INDEX_UNFINISHED));
            tracing::debug!(%error, segment = index.segment, "an index is not written");
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
