//! The face: opens a directory and answers the contract. Async here and nowhere below. Never writes.
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{
    AlterTopicError, AppendBatch, AppendError, AppendGuard, Appended, CreateTopicError, CursorInfo,
    CursorName, DeleteCursorError, DeleteTopicError, JoinError, Lease, Log, LogLimits,
    LogUnavailable, Membership, MembershipEvent, Offset, OffsetBounds, PartitionRef, ReadBudget,
    ReadError, ReadPage, SettleError, Settled, Settlement, StateError, StateKey, Timestamp,
    TopicId, TopicInfo, TopicSpec, TrimError, check,
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
};

use crate::{
    leases::{Inbox, right_of},
    options::{OpenError, Options, Stats},
    queue::Job,
    reader::{self, Look},
    request::{Outcome, Request},
    shared::Shared,
};

/// A log in a directory. See the crate.
#[derive(Debug)]
pub struct EmbeddedLog {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Options,
    /// Component files.
    pub(crate) artifacts: PathBuf,
    pub(crate) temporary: AtomicU64,
    /// Bytes that may wait for the writer, in KiB.
    leave: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Where it was opened: files are read there.
    home: Option<Handle>,
}

/// One unit of [`EmbeddedLog::leave`].
const LEAVE_UNIT: usize = 1 << 10;

impl EmbeddedLog {
    /// Opens the log in `dir`, which is made if it is not there. Blocks while it reads what is there.
    /// Dropped without [`Log::close`] it ends as by a crash.
    ///
    /// # Errors
    /// Why not, and what to do; nothing was changed.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Arc<Self>, OpenError> {
        crate::open::open(dir.as_ref(), options)
    }

    pub(crate) fn of(
        shared: Arc<Shared>,
        options: Options,
        artifacts: PathBuf,
        thread: JoinHandle<()>,
    ) -> Arc<Self> {
        let leave = Arc::new(Semaphore::new(leave_for(options.queue_bytes) as usize));
        let (thread, temporary) = (Mutex::new(Some(thread)), AtomicU64::new(0));
        let home = Handle::try_current().ok();
        Arc::new(Self { shared, options, artifacts, temporary, leave, thread, home })
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        let Shared { frames, segments, journal_bytes, tail, .. } = &*self.shared;
        Stats {
            journal_bytes: journal_bytes.load(Ordering::Relaxed),
            segments: segments.load(Ordering::Relaxed),
            frames: frames.load(Ordering::Relaxed),
            tail_bytes: tail.bytes(),
            state_bytes: self.shared.state().state_bytes,
        }
    }

    /// Asks the writer, and waits for the answer. `None`: it ended before it answered.
    pub(crate) async fn ask(&self, request: Request) -> Option<Outcome> {
        let most = leave_for(self.options.queue_bytes);
        let leave = leave_for(request.weight()).min(most);
        let Ok(leave) = self.leave.clone().acquire_many_owned(leave).await else {
            return Some(request.unavailable(LogUnavailable::Closed));
        };
        let (reply, answer) = oneshot::channel();
        let job = Job { request, reply: Some(reply), _leave: Some(leave) };
        match self.shared.queue.push(job) {
            Ok(()) => answer.await.ok(),
            Err(job) => Some(job.request.unavailable(LogUnavailable::Closed)),
        }
    }

    async fn gather(&self, mut there: reader::There) -> Result<ReadPage, ReadError> {
        if let Some(page) = there.in_memory(&self.shared)? {
            return Ok(page);
        }
        let shared = self.shared.clone();
        self.blocking(move || there.read(&shared)).await?
    }

    /// Bytes of all records that the partition ever had before `before`.
    async fn bytes_before(
        &self,
        partition: PartitionRef,
        before: Offset,
    ) -> Result<u64, TrimError> {
        {
            let state = self.shared.open()?;
            let there = state.partition(partition).ok_or(TrimError::NoPartition(partition))?;
            if before > there.end {
                // Here already: what comes meanwhile would lie before it uncounted.
                return Err(TrimError::BeyondEnd { before, end: there.end });
            }
            if before <= there.start {
                return Ok(0);
            }
            if let Some(bytes) = there.bytes_before(before) {
                return Ok(bytes);
            }
        }
        let shared = self.shared.clone();
        let bytes = self.blocking(move || reader::bytes_before(&shared, partition, before)).await?;
        bytes.map_err(|error| match error {
            ReadError::Unavailable(why) => TrimError::Unavailable(why),
            ReadError::NoPartition(partition) => TrimError::NoPartition(partition),
            other => TrimError::Unavailable(away(&other.to_string())),
        })
    }

    /// Reads and writes of files, away from the threads that drive everything else, and where the log was
    /// opened: whoever asks may have threads that must wait for others.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LogUnavailable> {
        let done = match &self.home {
            Some(home) => home.spawn_blocking(work),
            None => tokio::task::spawn_blocking(work),
        };
        done.await.map_err(|error| away(&error.to_string()))
    }
}

fn away(why: &str) -> LogUnavailable {
    LogUnavailable::Away { why: why.into(), retry_after: crate::plan::RETRY_AFTER }
}

fn leave_for(bytes: usize) -> u32 {
    u32::try_from(bytes / LEAVE_UNIT).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 4)
}

/// The outcome of one kind; anything else (the writer ended) is `$lost`.
macro_rules! answer {
    ($self:ident, $request:expr, $kind:ident, $lost:expr) => {
        match $self.ask($request).await {
            Some(Outcome::$kind(result)) => result,
            _ => Err($lost),
        }
    };
}
pub(crate) use answer;

#[async_trait]
impl Log for EmbeddedLog {
    fn limits(&self) -> LogLimits {
        LogLimits::OURS
    }

    async fn create_topic(&self, spec: TopicSpec) -> Result<TopicId, CreateTopicError> {
        answer!(self, Request::CreateTopic(spec), CreateTopic, LogUnavailable::Closed.into())
    }

    async fn alter_topic(&self, topic: TopicId, spec: TopicSpec) -> Result<(), AlterTopicError> {
        let request = Request::AlterTopic { topic, spec };
        answer!(self, request, AlterTopic, LogUnavailable::Closed.into())
    }

    async fn delete_topic(&self, topic: TopicId) -> Result<(), DeleteTopicError> {
        answer!(self, Request::DeleteTopic(topic), DeleteTopic, LogUnavailable::Closed.into())
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, LogUnavailable> {
        Ok(self.shared.open()?.topic_infos())
    }

    async fn append(
        &self,
        topic: TopicId,
        batch: AppendBatch,
        guard: AppendGuard,
    ) -> Result<Appended, AppendError> {
        let begun = Instant::now();
        {
            // What cannot be is not queued. The plan looks again: the topic may be gone by then.
            let state = self.shared.open()?;
            let there = state.topics.get(&topic).ok_or(AppendError::NoTopic(topic))?;
            check::append(topic, there.spec.partitions, &batch, &LogLimits::OURS)?;
        }
        let request = Request::Append { topic, batch, guard };
        let appended = answer!(self, request, Append, AppendError::Unknown);
        self.options.observer.appended(begun.elapsed());
        appended
    }

    async fn read(
        &self,
        partition: PartitionRef,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadPage, ReadError> {
        let look = || reader::look(&*self.shared.open()?, partition, from, budget);
        let idle = |end| Ok(ReadPage { batches: Vec::new(), next: from, end });
        let deadline = match look()? {
            Look::There(there) => return self.gather(there).await,
            Look::Idle { end } if budget.wait_max.is_zero() => return idle(end),
            Look::Idle { .. } => tokio::time::Instant::now().checked_add(budget.wait_max),
        };
        loop {
            let view = self.shared.view(partition);
            let notified = view.notified();
            tokio::pin!(notified);
            // From here on no record is missed: so look again.
            notified.as_mut().enable();
            match look() {
                Ok(Look::There(there)) => return self.gather(there).await,
                Ok(Look::Idle { .. }) => {}
                Err(error) => {
                    // Others may wait at a partition that is there.
                    if matches!(error, ReadError::NoPartition(_)) {
                        self.shared.forget_view(partition);
                    }
                    return Err(error);
                }
            }
            let is_late = match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline, notified).await.is_err(),
                None => {
                    notified.await;
                    false
                }
            };
            if is_late {
                return match look()? {
                    Look::There(there) => self.gather(there).await,
                    Look::Idle { end } => idle(end),
                };
            }
        }
    }

    async fn trim(&self, partition: PartitionRef, before: Offset) -> Result<(), TrimError> {
        let bytes_before = self.bytes_before(partition, before).await?;
        let request = Request::Trim { partition, before, bytes_before, given: None };
        answer!(self, request, Trim, LogUnavailable::Closed.into())
    }

    async fn bounds(&self, partition: PartitionRef) -> Result<OffsetBounds, ReadError> {
        let state = self.shared.open()?;
        let there = state.partition(partition).ok_or(ReadError::NoPartition(partition))?;
        Ok(there.bounds())
    }

    async fn offset_at(&self, partition: PartitionRef, at: Timestamp) -> Result<Offset, ReadError> {
        if let Some(offset) = reader::offset_at(&self.shared, partition, at, false)? {
            return Ok(offset);
        }
        let shared = self.shared.clone();
        let offset = self.blocking(move || reader::offset_at(&shared, partition, at, true)).await?;
        offset.map(Option::unwrap_or_default)
    }

    async fn join(
        &self,
        cursor: &CursorName,
        inputs: &[TopicId],
    ) -> Result<Box<dyn Membership>, JoinError> {
        let state = self.shared.open()?;
        if inputs.is_empty() {
            return Err(JoinError::NoInput);
        }
        if let Some(gone) = inputs.iter().find(|topic| !state.topics.contains_key(topic)) {
            return Err(JoinError::NoTopic(*gone));
        }
        // Under the state's lock: nothing is deleted in between.
        let (id, inbox) = self.shared.leases.join(&state, cursor, inputs)?;
        Ok(Box::new(Member { id, inbox, shared: self.shared.clone() }))
    }

    async fn settle(&self, lease: &Lease, settlement: Settlement) -> Result<Settled, SettleError> {
        let Some(right) = right_of(lease) else { return Err(SettleError::LeaseVoid) };
        let request = Request::Settle { right, settlement };
        answer!(self, request, Settle, SettleError::LeaseVoid)
    }

    async fn state(
        &self,
        lease: &Lease,
        keys: &[StateKey],
    ) -> Result<Vec<Option<Bytes>>, StateError> {
        let state = self.shared.open()?;
        let right = right_of(lease).ok_or(StateError::LeaseVoid)?;
        if !self.shared.leases.is_current(&right) {
            return Err(StateError::LeaseVoid);
        }
        let part = state.part(&right.seat);
        Ok(keys.iter().map(|key| part?.state(key).cloned()).collect())
    }

    async fn cursors(&self) -> Result<Vec<CursorInfo>, LogUnavailable> {
        let state = self.shared.open()?;
        Ok(state.cursor_infos(|cursor| self.shared.leases.is_in_use(cursor)))
    }

    async fn delete_cursor(&self, cursor: &CursorName) -> Result<(), DeleteCursorError> {
        let request = Request::DeleteCursor(cursor.clone());
        answer!(self, request, DeleteCursor, LogUnavailable::Closed.into())
    }

    async fn close(&self) {
        // Closed already, perhaps by a call that is still running: wait for the same end.
        let _ = self.ask(Request::Close).await;
        let mut ended = self.shared.ended.subscribe();
        // The sender lives as long as we.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.shared.queue.abandon();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there was reported as fatal.
            let _ = thread.join();
        }
    }
}

/// Takes part in sharing out a cursor's partitions.
struct Member {
    id: u64,
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
}

#[async_trait]
impl Membership for Member {
    async fn next(&mut self) -> Option<MembershipEvent> {
        self.inbox.next().await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.leases.leave(self.id);
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("id", &self.id).finish_non_exhaustive()
    }
}
