//! One test's store, and the steps that tests share. Never a judgement, save that pages are well-formed.
use super::{
    fixture::{Fixture, Stores, TestClock},
    records::{Fact, Found, batch_of},
};
use crate::{
    AppendBatch, AppendError, AppendGuard, Appended, CursorName, DeleteCursorError, Lease, Log,
    Membership, MembershipEvent, Memo, Offset, Output, PartitionId, PartitionRef, Progress,
    ReadBudget, ReadError, ReadPage, SettleError, Settled, Settlement, StateKey, StateWrite,
    TopicId, TopicName, TopicSpec,
};
use bytes::Bytes;
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

/// No single step of a test takes this long, on the slowest machine.
const STEP_MAX: Duration = Duration::from_secs(30);
const TEST_MAX: Duration = Duration::from_secs(120);
/// How long to look on before it is believed that something waits.
const GLANCE: Duration = Duration::from_millis(25);

/// A store that a test is trying.
pub struct Trial {
    pub(super) stores: Stores,
    pub(super) clock: Arc<TestClock>,
    pub(super) fixture: Box<dyn Fixture>,
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("stores", &self.stores).finish_non_exhaustive()
    }
}

/// Opens a store and tries `test` on it.
pub async fn run<Test, Done>(fixture: impl Fixture, test: Test)
where
    Test: FnOnce(Trial) -> Done,
    Done: Future<Output = ()>,
{
    let clock = Arc::new(TestClock::start());
    let stores = fixture.open(clock.clone()).await;
    let trial = Trial { stores, clock, fixture: Box::new(fixture) };
    let done = tokio::time::timeout(TEST_MAX, Box::pin(test(trial))).await;
    assert!(done.is_ok(), "the test did not end within {TEST_MAX:?}");
}

/// Waits for what must come soon.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(STEP_MAX, future).await;
    done.unwrap_or_else(|_| panic!("{what}: not within {STEP_MAX:?}"))
}

/// Asks again until `ask` gives something.
pub(super) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Looks on for a moment; the future is not lost.
pub(super) async fn is_waiting<F: Future + Unpin>(future: &mut F) -> bool {
    tokio::time::timeout(GLANCE, future).await.is_err()
}

/// Waits, without sleeping, until another task has come to `round`; then a moment that differs from
/// round to round, so that over many rounds the two meet at every point.
pub(super) async fn meet(other: &AtomicU64, round: u64) {
    let has_come = async || (round <= other.load(Ordering::SeqCst)).then_some(());
    eventually("the other task has come so far", has_come).await;
    for _ in 0..round % 50 * 8 {
        std::hint::spin_loop();
    }
}

/// A call that was made: polled once, so that it comes before every later call.
pub(super) enum Begun<F: Future> {
    Done(F::Output),
    Running(Pin<Box<F>>),
}

pub(super) async fn begun<F: Future>(future: F) -> Begun<F> {
    let mut future = Box::pin(future);
    let mut found = None;
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            found = Some(output);
        }
        Poll::Ready(())
    })
    .await;
    found.map_or(Begun::Running(future), Begun::Done)
}

impl<F: Future> Begun<F> {
    pub(super) async fn end(self) -> F::Output {
        match self {
            Self::Done(output) => output,
            Self::Running(future) => soon("a call that was made", future).await,
        }
    }
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName::parse(name).expect("a test's topic name is fine")
}

pub(super) fn cursor_name(name: &str) -> CursorName {
    CursorName::parse(name).expect("a test's cursor name is fine")
}

pub(super) fn first_of(topic: TopicId) -> PartitionRef {
    PartitionRef::new(topic, PartitionId(0))
}

/// All that is there, at once.
pub(super) const ALL: ReadBudget =
    ReadBudget { records_max: usize::MAX, bytes_max: usize::MAX, wait_max: Duration::ZERO };

/// The same, with a poll so long that no step outlasts it: only what it waits for can end it.
pub(super) const WAIT: ReadBudget = ReadBudget {
    records_max: usize::MAX,
    bytes_max: usize::MAX,
    wait_max: Duration::from_secs(3_600),
};

/// Panics unless the page is what a page must be.
pub(super) fn assert_wellformed(page: &ReadPage, from: Offset, budget: ReadBudget) {
    let offsets = page.batches.iter().flat_map(|batch| batch.entries()).map(|entry| entry.offset);
    let offsets: Vec<_> = offsets.collect();
    let bytes: usize = page.batches.iter().map(|batch| batch.bytes(0..batch.len())).sum();
    assert!(page.batches.iter().all(|batch| !batch.is_empty()), "an empty batch in a page");
    assert!(offsets.is_sorted_by(|a, b| a < b), "offsets of a page do not grow: {offsets:?}");
    assert!(offsets.first().is_none_or(|first| from <= *first), "a record before {from}");
    assert!(offsets.last().is_none_or(|last| *last < page.next), "`next` is not after the page");
    assert!(from <= page.next, "`next` {} is before the asked {from}", page.next);
    assert!(page.next <= page.end.max(from), "`next` {} is after the end {}", page.next, page.end);
    assert!(offsets.len() <= budget.records_max, "{} records are too many", offsets.len());
    assert!(bytes <= budget.bytes_max || offsets.len() == 1, "{bytes} bytes are too many");
}

/// How a store came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Closed,
    Crashed,
    /// The test has crashed it itself.
    CrashedBefore,
}

impl Trial {
    /// Ends the store, then drops what was held of it, then opens it again.
    pub(super) async fn reopened(self, ended: Ended, held: impl Send) -> Self {
        let Self { stores, clock, fixture } = self;
        match ended {
            Ended::Closed => soon("close", stores.log.close()).await,
            Ended::Crashed => soon("crash", fixture.crash()).await,
            Ended::CrashedBefore => {}
        }
        drop(held);
        drop(stores);
        let stores = soon("open", fixture.open(clock.clone())).await;
        Self { stores, clock, fixture }
    }

    pub(super) fn log(&self) -> &dyn Log {
        &*self.stores.log
    }

    pub(super) async fn topic(&self, name: &str, partitions: u32) -> TopicId {
        let spec = TopicSpec::new(topic_name(name), partitions);
        soon("create a topic", self.log().create_topic(spec)).await.expect("a topic is made")
    }

    pub(super) async fn try_append(
        &self,
        topic: TopicId,
        batch: impl Into<AppendBatch>,
    ) -> Result<Appended, AppendError> {
        soon("append", self.log().append(topic, batch.into(), AppendGuard::default())).await
    }

    pub(super) async fn append(&self, topic: TopicId, facts: &[Fact]) -> Appended {
        self.try_append(topic, batch_of(facts)).await.expect("an append is taken")
    }

    /// Appends to one partition; the offsets that the records got.
    pub(super) async fn fill(&self, at: PartitionRef, facts: &[Fact]) -> Vec<Offset> {
        let end = self.end(at).await;
        let records = batch_of(facts);
        let partitions = vec![(0..facts.len(), at.partition)];
        let batch = AppendBatch { records, partitions };
        self.try_append(at.topic, batch).await.expect("an append is taken");
        let found = self.read_from(at, end).await;
        found.into_iter().map(|found| found.offset).collect()
    }

    pub(super) async fn end(&self, at: PartitionRef) -> Offset {
        self.log().bounds(at).await.expect("a partition has bounds").end
    }

    pub(super) async fn try_read(
        &self,
        at: PartitionRef,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadPage, ReadError> {
        let page = soon("read", self.log().read(at, from, budget)).await?;
        assert_wellformed(&page, from, budget);
        Ok(page)
    }

    pub(super) async fn read(
        &self,
        at: PartitionRef,
        from: Offset,
        budget: ReadBudget,
    ) -> ReadPage {
        self.try_read(at, from, budget).await.expect("a read answers")
    }

    /// Page by page up to the end.
    pub(super) async fn read_from(&self, at: PartitionRef, mut from: Offset) -> Vec<Found> {
        let mut found = Vec::new();
        loop {
            let page = self.read(at, from, ALL).await;
            found.extend(page.batches.iter().flat_map(Found::all_of));
            if page.next >= page.end {
                return found;
            }
            assert!(from < page.next, "a read before the end goes on");
            from = page.next;
        }
    }

    pub(super) async fn read_all(&self, at: PartitionRef) -> Vec<Found> {
        let start = self.log().bounds(at).await.expect("a partition has bounds").start;
        self.read_from(at, start).await
    }

    pub(super) async fn join(&self, cursor: &str, topic: TopicId) -> Box<dyn Membership> {
        let (cursor, inputs) = (cursor_name(cursor), [topic]);
        soon("join", self.log().join(&cursor, &inputs)).await.expect("a cursor is joined")
    }

    /// Joins, gains one lease and leaves: a lease outlives its member.
    pub(super) async fn lease(&self, cursor: &str, topic: TopicId) -> Lease {
        gained(&mut *self.join(cursor, topic).await).await
    }

    pub(super) async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
    ) -> Result<Settled, SettleError> {
        soon("settle", self.log().settle(lease, settlement)).await
    }

    /// Once nobody uses it any more: leases give themselves back in their own time.
    pub(super) async fn delete_cursor(&self, cursor: &str) {
        let name = cursor_name(cursor);
        eventually("delete a cursor", async || match self.log().delete_cursor(&name).await {
            Ok(()) => Some(()),
            Err(DeleteCursorError::InUse(_)) => None,
            Err(other) => panic!("{other}"),
        })
        .await;
    }

    /// The values of the partition's own state under these names.
    pub(super) async fn state(&self, lease: &Lease, names: &[&str]) -> Vec<Option<Bytes>> {
        let keys: Vec<_> = names.iter().map(|name| own_state(name)).collect();
        soon("state", self.log().state(lease, &keys)).await.expect("a lease has state")
    }

    /// The position of a cursor in a partition, as an operator sees it.
    pub(super) async fn position(&self, cursor: &str, at: PartitionRef) -> Option<Progress> {
        let cursors = self.log().cursors().await.expect("cursors are listed");
        let info = cursors.into_iter().find(|info| info.name == cursor_name(cursor))?;
        let is_here = |position: &crate::CursorPosition| {
            position.topic == at.topic && position.partition == at.partition
        };
        info.positions.into_iter().find(is_here).map(|position| position.progress)
    }
}

/// The next lease that a member gains.
pub(super) async fn gained(member: &mut dyn Membership) -> Lease {
    loop {
        match soon("gain a lease", member.next()).await {
            Some(MembershipEvent::Gained(lease)) => return lease,
            Some(MembershipEvent::Restoring { .. }) => {}
            other => panic!("a lease should come, not {other:?}"),
        }
    }
}

/// So many leases, sorted by partition.
pub(super) async fn gained_all(member: &mut dyn Membership, count: usize) -> Vec<Lease> {
    let mut leases = Vec::new();
    while leases.len() < count {
        leases.push(gained(member).await);
    }
    leases.sort_by_key(|lease| lease.partition);
    leases
}

/// The partition's own.
pub(super) fn own_state(name: &str) -> StateKey {
    StateKey { key: None, name: name.into() }
}

/// A settlement of progress alone; the rest is added.
pub(super) fn to(next: Offset) -> Settlement {
    to_progress(Progress::at(next))
}

pub(super) fn to_progress(progress: Progress) -> Settlement {
    Settlement {
        outputs: Vec::new(),
        state: Vec::new(),
        progress: vec![progress],
        memo: Memo::default(),
        rewind: false,
    }
}

impl Settlement {
    pub(super) fn with_output(mut self, topic: TopicId, facts: &[Fact]) -> Self {
        self.outputs.push(Output { topic, span: batch_of(facts).into() });
        self
    }

    /// Of the partition's own state.
    pub(super) fn with_state(mut self, name: &str, value: Option<&str>) -> Self {
        let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        self.state.push(StateWrite { at: own_state(name), value });
        self
    }

    pub(super) fn with_memo(mut self, memo: &str) -> Self {
        self.memo = Memo(Bytes::copy_from_slice(memo.as_bytes()));
        self
    }

    pub(super) fn with_rewind(mut self) -> Self {
        self.rewind = true;
        self
    }
}
