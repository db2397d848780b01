//! The thread that sees to what nobody needs any more: asks the writer to trim what retention takes, and
//! removes segments that have nothing left. Never a decision of its own, and never in anybody's way.
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use log_contract::{Clock, Offset, PartitionRef, ReadError, Timestamp};

use tokio::sync::oneshot;

use crate::{
    options::Options,
    queue::Job,
    reader,
    request::Request,
    retention::{self, Excess, Patience, Places},
    segment,
    shared::Shared,
};

/// See the module. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Housekeeper {
    shared: Arc<Shared>,
    end: Arc<End>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct End {
    is_over: Mutex<bool>,
    changed: Condvar,
}

struct Work {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    every: Duration,
    held_max: u64,
    patience: Patience,
    began: Instant,
    /// The segments that have files, up to the one that was written when it was looked last.
    there: BTreeSet<u64>,
    /// Removed when it was looked last.
    gone: Vec<u64>,
}

impl Housekeeper {
    /// `there`: the segments that have files; the last is the one that is being written.
    pub(crate) fn start(
        shared: Arc<Shared>,
        options: &Options,
        there: BTreeSet<u64>,
    ) -> io::Result<Self> {
        let newest = {
            let state = shared.state();
            let partitions = state.topics.values().flat_map(|topic| &topic.partitions);
            partitions.filter(|it| it.end > Offset(0)).map(|it| it.appended_at).max()
        };
        let mut work = Work {
            shared: shared.clone(),
            clock: options.clock.clone(),
            every: options.retention_every,
            held_max: options.held_bytes_max,
            patience: Patience::new(newest),
            began: Instant::now(),
            there,
            gone: Vec::new(),
        };
        let end = Arc::new(End::default());
        let until = end.clone();
        let thread = std::thread::Builder::new().name("log-retention".into()).spawn(move || {
            while !until.is_over(work.every) {
                work.look();
            }
        })?;
        Ok(Self { shared, end, thread: Some(thread) })
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        // Nobody answers any more.
        self.shared.queue.abandon();
        *self.end.lock() = true;
        self.end.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed; there is nobody to tell.
            let _ = thread.join();
        }
    }
}

impl End {
    fn lock(&self) -> std::sync::MutexGuard<'_, bool> {
        self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or until it is.
    fn is_over(&self, wait: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), wait, |is_over| !*is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Work {
    fn look(&mut self) {
        if self.shared.is_closed() {
            return;
        }
        self.trim();
        self.remove();
    }

    /// Asks for what retention takes. Whatever does not come of it is asked for again.
    fn trim(&mut self) {
        let now = self.clock.now();
        let is_believed = self.patience.is_over(now, self.began.elapsed()).unwrap_or_else(|by| {
            let by = format!("{:.1} h", by.as_secs_f64() / 3_600.0);
            tracing::warn!(
                %by,
                "the clock is far ahead of what was last seen: nothing is taken for its age for ten minutes"
            );
            false
        });
        let excess = retention::excess(&self.shared.state(), is_believed.then_some(now));
        let (mut cuts, mut failed) = (Vec::new(), None);
        for excess in excess {
            match excess.cut(&*self.shared, self.held_max) {
                Ok(cut) => cuts.extend(cut.map(|before| (excess, before))),
                Err(error) => failed = note(failed, excess.at, error),
            }
        }
        let mut asked = None;
        let cuts = retention::still_right(&self.shared.state(), cuts);
        for (Excess { at: partition, retention, .. }, before) in cuts {
            let bytes_before = match self.shared.bytes_before(partition, before) {
                Ok(bytes_before) => bytes_before,
                Err(error) => {
                    failed = note(failed, partition, error);
                    continue;
                }
            };
            let given = Some(retention);
            let request = Request::Trim { partition, before, bytes_before, given };
            let (reply, answer) = oneshot::channel();
            let job = Job { request, reply: Some(reply), _leave: None };
            // Closed: it will be asked for when it is opened again.
            asked = self.shared.queue.push(job).is_ok().then_some(answer).or(asked);
        }
        if let Some((at, error)) = failed.filter(|_| !self.shared.is_closed()) {
            tracing::warn!(%error, %at, "retention cannot take what it should");
        }
        // So that no more is asked for than is done. They are answered in order, or dropped.
        if let Some(last) = asked {
            let _ = last.blocking_recv();
        }
    }

    /// Removes the segments that have nothing left.
    fn remove(&mut self) {
        for id in std::mem::take(&mut self.gone) {
            // A reader may have opened one just before it went, and put it aside just after.
            self.forget(id);
        }
        let covered = self.shared.covered.load(Ordering::Acquire);
        let dead = {
            let state = self.shared.state();
            let seen = self.there.last().copied().unwrap_or_default();
            self.there.extend(seen + 1..=state.end.segment);
            retention::dead(&self.there, &state, covered)
        };
        for id in dead {
            match self.remove_segment(id) {
                Ok(bytes) => {
                    self.there.remove(&id);
                    self.gone.push(id);
                    self.shared.segments.fetch_sub(1, Ordering::Relaxed);
                    self.shared.journal_bytes.fetch_sub(bytes, Ordering::Relaxed);
                }
                // Tried again.
                Err(error) => tracing::warn!(%error, segment = id, "a segment cannot be removed"),
            }
        }
    }

    /// Gives the bytes that it had.
    fn remove_segment(&self, id: u64) -> io::Result<u64> {
        let files = &self.shared.files;
        let (disk, path) = (files.disk(), files.path(id));
        // Somebody else may have removed either.
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        let bytes = disk.open(&path).and_then(|file| file.len()).unwrap_or_default();
        gone(disk.remove(&files.dir().join(segment::index_name(id))))?;
        gone(disk.remove(&path))?;
        self.forget(id);
        Ok(bytes)
    }

    fn forget(&self, id: u64) {
        self.shared.files.forget(id);
        self.shared.indexes.forget(id);
    }
}

/// What went wrong last, but for partitions that are gone, or were trimmed by somebody else.
fn note(
    before: Option<(PartitionRef, ReadError)>,
    at: PartitionRef,
    error: ReadError,
) -> Option<(PartitionRef, ReadError)> {
    match error {
        ReadError::NoPartition(_) | ReadError::Trimmed { .. } => before,
        error => Some((at, error)),
    }
}

impl Places for Shared {
    type Error = ReadError;

    fn at_time(&self, partition: PartitionRef, at: Timestamp) -> Result<Offset, ReadError> {
        reader::offset_at(self, partition, at, true).map(Option::unwrap_or_default)
    }

    fn by_bytes(&self, partition: PartitionRef, bytes: u64) -> Result<Offset, ReadError> {
        reader::by_bytes(self, partition, bytes)
    }

    fn bytes_before(&self, partition: PartitionRef, before: Offset) -> Result<u64, ReadError> {
        reader::bytes_before(self, partition, before)
    }
}
