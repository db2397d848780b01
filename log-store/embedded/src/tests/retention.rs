//! Retention end to end, by seed, beside a plain model: what is gone, what is there, and whose files.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use log_contract::{Clock as _, CreateTopicError, Retention, SettleError};

use super::*;
use crate::segment;

const PARTITIONS: u32 = 3;
const HELD_MAX: u64 = 6_000;
const MINUTE: u64 = 60_000;

/// One append's records of a partition.
#[derive(Debug)]
struct Batch {
    base: u64,
    stamp: u64,
    values: Vec<String>,
}

#[derive(Debug, Default)]
struct Plain {
    start: u64,
    batches: Vec<Batch>,
    /// Of each cursor.
    read: BTreeMap<&'static str, u64>,
}

impl Plain {
    fn end(&self) -> u64 {
        self.batches.last().map_or(0, |last| last.base + last.values.len() as u64)
    }

    /// Of all records that ever were before this one.
    fn bytes_to(&self, offset: u64) -> u64 {
        let of = |batch: &Batch| -> u64 {
            let before = batch.values.iter().take(offset.saturating_sub(batch.base) as usize);
            before.map(|value| value.len() as u64).sum()
        };
        self.batches.iter().map(of).sum()
    }

    fn by_bytes(&self, bytes: u64) -> u64 {
        let ends = self.batches.iter().map(|batch| batch.base).chain([self.end()]);
        let last = ends.filter(|base| self.bytes_to(*base) <= bytes).max();
        last.unwrap_or_default().max(self.start)
    }

    fn retain(&mut self, retention: &Retention, now: u64) {
        let mut to = self.start;
        if let Some(age) = retention.age {
            let oldest = now.saturating_sub(age.as_millis() as u64);
            let first = self.batches.iter().find(|batch| batch.stamp >= oldest);
            to = to.max(first.map_or(self.end(), |batch| batch.base));
        }
        let all = self.bytes_to(self.end());
        if let Some(bytes) = retention.bytes
            && all - self.bytes_to(self.start) > bytes
        {
            to = to.max(self.by_bytes(all - bytes));
        }
        let unread = self.read.values().min().copied().filter(|_| retention.hold_for_triggers);
        if let Some(unread) = unread.filter(|unread| *unread < to) {
            let held = self.by_bytes(self.bytes_to(to).saturating_sub(HELD_MAX));
            to = unread.max(held);
        }
        self.start = self.start.max(to);
    }

    fn values(&self) -> Vec<&str> {
        let all = self.batches.iter().flat_map(|batch| (batch.base..).zip(&batch.values));
        all.filter(|(offset, _)| *offset >= self.start).map(|(_, value)| &**value).collect()
    }
}

struct World {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    log: Arc<EmbeddedLog>,
    topics: BTreeMap<TopicId, TopicSpec>,
    partitions: BTreeMap<PartitionRef, Plain>,
    seed: Seed,
    written: u64,
    /// Before this segment any may have been removed.
    covered: u64,
}

fn open_in(dir: &Path, clock: &Arc<ManualClock>) -> Arc<EmbeddedLog> {
    open_looking(dir, clock, Duration::from_millis(1))
}

fn open_looking(dir: &Path, clock: &Arc<ManualClock>, every: Duration) -> Arc<EmbeddedLog> {
    let options = Options {
        clock: clock.clone(),
        tail_bytes: 8 << 10,
        index_bytes: 2 << 10,
        held_bytes_max: HELD_MAX,
        retention_every: every,
        ..options()
    };
    EmbeddedLog::open(dir, options).expect("it opens")
}

impl World {
    async fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
        let log = open_in(dir.path(), &clock);
        let (topics, partitions) = (BTreeMap::new(), BTreeMap::new());
        let seed = Seed(seed);
        let mut world = Self { dir, clock, log, topics, partitions, seed, written: 0, covered: 0 };
        for name in ["a", "b", "c"] {
            world.create(name).await;
        }
        world
    }

    fn retention(&mut self) -> Retention {
        let minutes = 60 * (1 + self.seed.below(15));
        let age = (self.seed.below(2) == 0).then(|| Duration::from_secs(minutes));
        let bytes = (self.seed.below(2) == 0).then(|| self.seed.below(30_000));
        Retention { age, bytes, hold_for_triggers: self.seed.below(3) > 0 }
    }

    async fn create(&mut self, name: &str) {
        let name = TopicName::parse(name).expect("a name");
        let retention = self.retention();
        let spec = TopicSpec { retention, ..TopicSpec::new(name, PARTITIONS) };
        match self.log.create_topic(spec.clone()).await {
            Ok(id) => {
                self.topics.insert(id, spec);
                for nth in 0..PARTITIONS {
                    let at = PartitionRef::new(id, PartitionId(nth));
                    self.partitions.insert(at, Plain::default());
                }
            }
            Err(CreateTopicError::Exists { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }

    fn some_topic(&mut self) -> TopicId {
        let nth = self.seed.below(self.topics.len() as u64) as usize;
        *self.topics.keys().nth(nth).expect("there is one")
    }

    async fn step(&mut self) {
        match self.seed.below(20) {
            0..10 => self.append().await,
            10..14 => self.clock.advance(Duration::from_millis(self.seed.below(2 * MINUTE))),
            14..17 => self.settle().await,
            17 => {
                let (id, retention) = (self.some_topic(), self.retention());
                // By what was said before, this may go.
                self.check().await;
                let spec = self.topics.get_mut(&id).expect("it is there");
                spec.retention = retention;
                self.log.alter_topic(id, spec.clone()).await.expect("it is altered");
            }
            18 if self.seed.below(3) == 0 => {
                let id = self.some_topic();
                self.log.delete_topic(id).await.expect("it is deleted");
                let spec = self.topics.remove(&id).expect("it was there");
                self.partitions.retain(|at, _| at.topic != id);
                self.create(spec.name.as_str()).await;
            }
            18 => {}
            _ => self.reopen().await,
        }
    }

    async fn append(&mut self) {
        let id = self.some_topic();
        let values: Vec<String> = (0..1 + self.seed.below(6))
            .map(|_| {
                self.written += 1;
                let len = self.seed.below(1_500) as usize;
                format!("{}{}", self.written, "x".repeat(len))
            })
            .collect();
        let mut batch = BatchBuilder::default();
        for value in &values {
            batch.push_new(Timestamp(7), None, Some(value.as_bytes()), Headers::NONE);
        }
        let partition = PartitionId(self.seed.below(u64::from(PARTITIONS)) as u32);
        let records = batch.build();
        let partitions = vec![(0..records.len(), partition)];
        let batch = AppendBatch { records, partitions };
        let appended = self.log.append(id, batch, AppendGuard::default()).await.expect("taken");
        let plain = self.partitions.get_mut(&PartitionRef::new(id, partition)).expect("there");
        assert_eq!(appended.runs[0].offset.0, plain.end(), "offsets go on");
        let (base, stamp) = (plain.end(), appended.appended_at.0);
        plain.batches.push(Batch { base, stamp, values });
    }

    async fn settle(&mut self) {
        let (id, cursor) = (self.some_topic(), ["fast", "slow"][self.seed.below(2) as usize]);
        // What a position holds back is gone as soon as it moves.
        self.check().await;
        let name = CursorName::parse(cursor).expect("a name");
        let mut member = self.log.join(&name, &[id]).await.expect("it is joined");
        for _ in 0..PARTITIONS {
            let Some(MembershipEvent::Gained(lease)) = member.next().await else { panic!() };
            let plain = self.partitions.get_mut(&PartitionRef::new(id, lease.partition));
            let plain = plain.expect("there");
            let end = plain.end();
            let read = plain.read.entry(cursor).or_default();
            let next = *read + self.seed.below(end - *read + 1);
            match self.log.settle(&lease, settlement(next, &[])).await {
                Ok(_) => *read = next,
                Err(SettleError::LeaseVoid) => panic!("it is ours"),
                Err(other) => panic!("{other}"),
            }
        }
    }

    /// By a clean end or a crash, perhaps without the newest snapshot.
    async fn reopen(&mut self) {
        if self.seed.below(2) == 0 {
            self.log.close().await;
        }
        let nowhere = tempfile::tempdir().expect("a directory");
        let covered = self.log.shared.covered.clone();
        self.log = open_in(nowhere.path(), &self.clock);
        self.covered = self.covered.max(covered.load(Ordering::Acquire));
        let journal = self.dir.path().join("journal");
        let (newest, before) =
            (journal.join(segment::SNAPSHOT), journal.join(segment::SNAPSHOT_BEFORE));
        if before.exists() && self.seed.below(2) == 0 {
            fs::write(newest, "?").expect("written");
        }
        self.log = open_in(self.dir.path(), &self.clock);
    }

    /// Everything is as the model says, as soon as it was looked at.
    async fn check(&mut self) {
        let now = self.clock.now().0;
        let deadline = Instant::now() + Duration::from_secs(60);
        for (at, plain) in &mut self.partitions {
            plain.retain(&self.topics[&at.topic].retention, now);
            loop {
                let start = self.log.bounds(*at).await.expect("bounds").start.0;
                assert!(start <= plain.start, "{at}: {start} instead of {}", plain.start);
                if start == plain.start {
                    break;
                }
                assert!(Instant::now() < deadline, "{at}: {start} instead of {}", plain.start);
                tokio::task::yield_now().await;
            }
            assert_eq!(values(&self.log, *at).await, plain.values(), "{at}");
        }
        loop {
            let (wanted, there) = self.files();
            let covered = self.log.shared.covered.load(Ordering::Acquire);
            if wanted.range(..covered).eq(there.range(..covered)) {
                return;
            }
            assert!(Instant::now() < deadline, "{there:?} instead of {wanted:?}");
            tokio::task::yield_now().await;
        }
    }

    /// The segments that have records, or are wanted by an opening; and those that have a file.
    fn files(&mut self) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let state = self.log.shared.state();
        let partitions = state.topics.values().flat_map(|topic| &topic.partitions);
        let runs = partitions.flat_map(|partition| partition.runs()).map(|run| run.segment);
        let mut wanted: BTreeSet<u64> = runs.collect();
        assert!(wanted.iter().eq(state.in_sealed.keys()), "{wanted:?} {:?}", state.in_sealed);
        let names = fs::read_dir(self.dir.path().join("journal")).expect("it is there");
        let names = names.map(|entry| entry.expect("an entry").file_name());
        let ids = names.filter_map(|name| segment::parse_file_name(&name.to_string_lossy()));
        // The next one may be ready.
        let there: BTreeSet<u64> = ids.filter(|id| *id <= state.end.segment).collect();
        let covered = self.log.shared.covered.load(Ordering::Acquire);
        self.covered = self.covered.max(covered);
        wanted.extend(self.covered.max(1)..=state.end.segment);
        assert!(wanted.is_subset(&there), "{wanted:?} of {there:?}");
        (wanted, there)
    }
}

#[tokio::test]
async fn what_is_gone_is_gone_and_what_is_kept_is_there_over_crashes_and_lost_snapshots() {
    let mut removed = 0;
    for seed in 0..12 {
        let mut world = World::new(seed).await;
        for _ in 0..250 {
            world.step().await;
        }
        world.check().await;
        // Said after it was done; and a snapshot that is under way lets more go.
        let deadline = Instant::now() + Duration::from_secs(60);
        let there = loop {
            let there = world.files().1.len() as u64;
            if world.log.stats().segments == there {
                break there;
            }
            assert!(Instant::now() < deadline, "seed {seed}: {:?}, {there}", world.log.stats());
            tokio::task::yield_now().await;
        };
        removed += world.log.shared.state().end.segment - there;
        world.log.close().await;
    }
    assert!(removed > 100, "{removed} segments are too few to show anything");
}

/// What retention took is in no other place: without a snapshot there is nothing to go on from.
#[tokio::test]
async fn without_what_a_removed_segment_said_the_store_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
    let log = open_in(dir.path(), &clock);
    let name = TopicName::parse("t").expect("a name");
    let retention = Retention { age: None, bytes: Some(50_000), hold_for_triggers: true };
    let spec = TopicSpec { retention, ..TopicSpec::new(name, 1) };
    let topic = log.create_topic(spec).await.expect("it is made");
    let journal = dir.path().join("journal");
    let path = |id| journal.join(segment::file_name(id));
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut was_there = false;
    while !was_there || path(3).exists() {
        append(&log, topic, &[&"x".repeat(3_000)]).await;
        was_there |= path(3).exists();
        assert!(Instant::now() < deadline, "nothing is removed");
    }
    log.close().await;
    drop(log);
    let first = {
        let log = open_in(dir.path(), &clock);
        let first = log.shared.state().in_sealed.keys().next().copied();
        log.close().await;
        first.expect("some records lie in a segment that is written no more")
    };
    let aside = dir.path().join("aside");
    fs::rename(path(first), &aside).expect("moved");
    let error = try_open(dir.path()).expect_err("it is refused");
    assert!(matches!(&error, OpenError::Missing { file } if *file == path(first)), "{error}");
    fs::rename(&aside, path(first)).expect("moved");
    for name in [segment::SNAPSHOT, segment::SNAPSHOT_BEFORE] {
        fs::rename(journal.join(name), dir.path().join(name)).expect("moved");
    }
    let error = try_open(dir.path()).expect_err("it is refused");
    let is_told = matches!(&error, OpenError::NoSnapshot { oldest, .. } if *oldest > 3);
    assert!(is_told && error.to_string().contains(segment::SNAPSHOT), "{error}");
    // Either one is enough.
    for name in [segment::SNAPSHOT, segment::SNAPSHOT_BEFORE] {
        fs::copy(dir.path().join(name), journal.join(name)).expect("copied");
        // Nothing goes between a look at the bounds and a read.
        let log = open_looking(dir.path(), &clock, Duration::from_secs(3_600));
        // Each value is its key, too.
        assert!(values(&log, first_of(topic)).await.len() >= 50_000 / 6_000);
        drop(log);
        for name in [segment::SNAPSHOT, segment::SNAPSHOT_BEFORE] {
            let _ = fs::remove_file(journal.join(name));
        }
    }
}
