//! What lies in segments that are written no more: found by their indexes, wherever those come from, and
//! read without the frames that it lies in.
use std::{
    collections::BTreeMap, fs, os::unix::fs::FileExt, path::PathBuf, sync::atomic::Ordering,
    time::Duration,
};

use log_contract::ReadError;

use super::{faulty::FaultyDisk, *};
use crate::{recovery::recover, segment};

const PARTITIONS: u32 = 12;

/// A record that was stored: its value's length tells it from most others, its bytes from all.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    offset: u64,
    value: Vec<u8>,
    at: u64,
}

/// A store with a history, and what it should hold.
struct History {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    log: Arc<EmbeddedLog>,
    topic: TopicId,
    stored: BTreeMap<u32, Vec<Stored>>,
    starts: BTreeMap<u32, u64>,
    seed: Seed,
    written: u64,
}

fn options_of(clock: &Arc<ManualClock>) -> Options {
    Options {
        segment_bytes: 256 << 10,
        reserve_bytes: 16 << 10,
        // As good as nothing is in memory.
        tail_bytes: 16 << 10,
        cold_bytes: 512 << 10,
        index_bytes: 4 << 10,
        ..Options::new(clock.clone())
    }
}

impl History {
    async fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
        let log = EmbeddedLog::open(dir.path(), options_of(&clock)).expect("it opens");
        let topic = topic(&log, "t", PARTITIONS).await;
        let (stored, starts) = (BTreeMap::new(), BTreeMap::new());
        Self { dir, clock, log, topic, stored, starts, seed: Seed(seed), written: 0 }
    }

    fn at(&self, partition: u32) -> PartitionRef {
        PartitionRef::new(self.topic, PartitionId(partition))
    }

    /// Some appends at once, so that their frame holds records of many partitions.
    async fn write(&mut self) {
        if self.seed.below(4) == 0 {
            self.clock.advance(Duration::from_millis(1 + self.seed.below(500)));
        }
        let mut batches = Vec::new();
        for _ in 0..1 + self.seed.below(12) {
            let mut batch = BatchBuilder::default();
            let len_max = [30, 300, 9_000][self.seed.below(3) as usize];
            let mut values = Vec::new();
            for _ in 0..1 + self.seed.below(9) {
                let mut value = vec![b'x'; self.seed.below(len_max) as usize];
                value.extend_from_slice(&self.written.to_le_bytes());
                self.written += 1;
                batch.push_new(Timestamp(7), None, Some(&value), Headers::NONE);
                values.push(value);
            }
            batches.push((AppendBatch::from(batch.build()), values));
        }
        let mut calls = tokio::task::JoinSet::new();
        for (batch, values) in batches {
            let (log, topic) = (self.log.clone(), self.topic);
            calls.spawn(async move {
                let appended = log.append(topic, batch, AppendGuard::default()).await;
                (appended.expect("it is taken"), values)
            });
        }
        while let Some(done) = calls.join_next().await {
            let (appended, values) = done.expect("it ran");
            let mut values = values.into_iter();
            for run in &appended.runs {
                let list = self.stored.entry(run.partition.0).or_default();
                for (offset, value) in
                    (run.offset.0..).zip(values.by_ref().take(run.records as usize))
                {
                    list.push(Stored { offset, value, at: appended.appended_at.0 });
                }
            }
        }
        for list in self.stored.values_mut() {
            list.sort_by_key(|stored| stored.offset);
        }
    }

    async fn trim(&mut self) {
        let partition = self.seed.below(u64::from(PARTITIONS)) as u32;
        let end = self.stored.get(&partition).map_or(0, Vec::len) as u64;
        let start = self.starts.entry(partition).or_default();
        *start += self.seed.below((end - *start) / 2 + 1);
        let before = Offset(*start);
        self.log.trim(self.at(partition), before).await.expect("it is trimmed");
    }

    fn reopen(mut self, change: impl Fn(&[PathBuf])) -> Self {
        // By a crash, and with what the thread for that had time for.
        drop(self.log);
        let journal = self.dir.path().join("journal");
        let found = fs::read_dir(&journal).expect("it is there");
        let paths = found.map(|entry| entry.expect("an entry").path());
        let is_index = |path: &PathBuf| path.extension().is_some_and(|end| end == "idx");
        change(&paths.filter(is_index).collect::<Vec<_>>());
        self.log = EmbeddedLog::open(self.dir.path(), options_of(&self.clock)).expect("it opens");
        self
    }

    /// Reads from here and there, by offset and by time.
    async fn check(&mut self, of: &str) {
        for partition in 0..PARTITIONS {
            let at = self.at(partition);
            let list = self.stored.get(&partition).cloned().unwrap_or_default();
            let start = self.starts.get(&partition).copied().unwrap_or_default();
            let kept: Vec<_> = list.iter().filter(|stored| stored.offset >= start).collect();
            let bounds = self.log.bounds(at).await.expect("it has bounds");
            assert_eq!((bounds.start.0, bounds.end.0), (start, list.len() as u64), "{of}");
            let bytes: usize = kept.iter().map(|stored| stored.value.len()).sum();
            assert_eq!(bounds.bytes, bytes as u64, "{of}");
            for _ in 0..6 {
                let from = start + self.seed.below(bounds.records + 1);
                let budget = ReadBudget {
                    records_max: 1 + self.seed.below(200) as usize,
                    bytes_max: 1 << self.seed.below(22),
                    wait_max: Duration::ZERO,
                };
                let page = self.log.read(at, Offset(from), budget).await.expect("it is read");
                let records: Vec<_> = page.batches.iter().flat_map(|b| b.records()).collect();
                let expected = list.iter().skip(from as usize);
                assert!(records.len() <= budget.records_max);
                assert_eq!(page.next.0, from + records.len() as u64, "{of}");
                for (record, stored) in records.iter().zip(expected) {
                    assert_eq!(record.offset.0, stored.offset, "{of}");
                    assert_eq!(record.value, Some(&*stored.value), "{of}");
                    assert_eq!(record.appended_at.0, stored.at, "{of}");
                }
                // A page ends early for its budget alone.
                let bytes: usize =
                    records.iter().map(|record| record.value.map_or(0, <[u8]>::len)).sum();
                let next = list.get(page.next.0 as usize).map(|stored| stored.value.len());
                let is_full = records.len() == budget.records_max
                    || next.is_none_or(|next| bytes + next > budget.bytes_max);
                assert!(is_full || page.next == bounds.end, "{of}: {} records", records.len());
                let Some(stored) = list.get(from as usize) else { continue };
                for time in [stored.at, stored.at + 1] {
                    let expected = kept.iter().find(|stored| stored.at >= time);
                    let found = self.log.offset_at(at, Timestamp(time)).await.expect("asked");
                    let end = list.len() as u64;
                    assert_eq!(found.0, expected.map_or(end, |stored| stored.offset), "{of}");
                }
            }
        }
    }
}

#[tokio::test]
async fn history_is_found_wherever_its_indexes_come_from() {
    for seed in 0..6 {
        let mut history = History::new(seed).await;
        for _ in 0..60 {
            history.write().await;
            if history.seed.below(5) == 0 {
                history.trim().await;
            }
        }
        assert!(history.log.stats().segments > 5);
        history.check("while it is open").await;
        history = history.reopen(|indexes| assert!(indexes.len() > 3, "{indexes:?}"));
        history.check("by the files").await;
        history.write().await;
        history.trim().await;
        let remove = |path: &PathBuf| fs::remove_file(path).expect("removed");
        history = history.reopen(|indexes| indexes.iter().for_each(remove));
        history.check("by the segments").await;
        history.trim().await;
        history = history.reopen(|indexes| {
            for (nth, path) in indexes.iter().enumerate() {
                let mut bytes = fs::read(path).expect("read");
                match nth % 3 {
                    0 => bytes.truncate(bytes.len() / 2),
                    1 => bytes.clear(),
                    _ => bytes[60] ^= 4,
                }
                fs::write(path, bytes).expect("written");
            }
        });
        history.check("by the segments, as the files are damaged").await;
    }
}

#[tokio::test]
async fn an_index_made_again_is_the_one_that_was_written() {
    let mut history = History::new(77).await;
    for _ in 0..40 {
        history.write().await;
    }
    let indexes = |history: &History| {
        let journal = history.dir.path().join("journal");
        let count = recover(&crate::OsDisk, &journal).expect("whole").expect("there").segment.id;
        (1..count)
            .map(|id| fs::read(journal.join(segment::index_name(id))).ok())
            .collect::<Vec<_>>()
    };
    drop(std::mem::replace(&mut history.log, History::new(0).await.log));
    let written = indexes(&history);
    assert!(written.iter().filter(|index| index.is_some()).count() > 4);
    let shared = {
        let log = EmbeddedLog::open(history.dir.path(), options_of(&history.clock)).expect("open");
        for (id, file) in (1..).zip(&written).filter(|(_, file)| file.is_some()) {
            fs::remove_file(history.dir.path().join("journal").join(segment::index_name(id)))
                .expect("removed");
            let again = log.shared.indexes.load(&log.shared.files, id).expect("it is made");
            let salt = log.shared.files.get(id).expect("there").salt;
            assert_eq!(Some(again.encode(salt)), *file, "of segment {id}");
        }
        log.shared.clone()
    };
    drop(shared);
}

#[tokio::test]
async fn a_damaged_block_is_refused_and_its_neighbours_are_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(ManualClock::at(Timestamp(1)));
    let log = EmbeddedLog::open(dir.path(), options_of(&clock)).expect("it opens");
    let t = topic(&log, "t", PARTITIONS).await;
    log.close().await;
    drop(log);
    let disk = FaultyDisk::default();
    let gated = Options { disk: Arc::new(disk.clone()), ..options_of(&clock) };
    let log = EmbeddedLog::open(dir.path(), gated).expect("it opens");
    // One frame with an entry for each partition: they wait while another frame is synced.
    disk.is_shut.store(true, Ordering::SeqCst);
    let before = disk.at_gate.load(Ordering::SeqCst);
    let mut calls = tokio::task::JoinSet::new();
    for nth in 0..=PARTITIONS {
        let log = log.clone();
        calls.spawn(async move {
            let value = format!("{nth:05}").repeat(200);
            let partitions = vec![(0..1, PartitionId(nth % PARTITIONS))];
            let batch = AppendBatch { partitions, ..batch(&[&value]) };
            log.append(t, batch, AppendGuard::default()).await.expect("it is taken");
        });
        tokio::task::yield_now().await;
        while disk.at_gate.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
    }
    disk.is_shut.store(false, Ordering::SeqCst);
    while calls.join_next().await.is_some() {}
    assert_eq!(log.stats().frames, 3, "an opening, the first, all others");
    drop(log);
    let path = dir.path().join("journal").join(segment::file_name(1));
    let bytes = fs::read(&path).expect("read");
    let log = EmbeddedLog::open(dir.path(), options_of(&clock)).expect("it opens");
    let value = "00007".repeat(200);
    let places = bytes.windows(value.len()).enumerate();
    let place =
        places.filter(|(_, bytes)| *bytes == value.as_bytes()).map(|(at, _)| at).next_back();
    let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
    file.write_all_at(b"!", place.expect("it is stored") as u64 + 500).expect("written");
    let budget = ReadBudget { records_max: 100, bytes_max: 1 << 20, wait_max: Duration::ZERO };
    let mut refused = Vec::new();
    for nth in 0..PARTITIONS {
        match log.read(PartitionRef::new(t, PartitionId(nth)), Offset(0), budget).await {
            Ok(page) => assert!(page.next > Offset(0)),
            Err(ReadError::Damaged(why)) => {
                assert!(why.contains("0000000001.seg"), "{why}");
                refused.push(nth);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, [7]);
}

/// One that is made again from a damaged segment ends there: by time nothing is skipped in silence.
#[tokio::test]
async fn an_index_of_a_damaged_segment_is_not_taken_for_all_there_is() {
    let mut history = History::new(5).await;
    for _ in 0..40 {
        history.clock.advance(Duration::from_millis(10));
        history.write().await;
    }
    history.log.close().await;
    let journal = history.dir.path().join("journal");
    let path = journal.join(segment::file_name(4));
    history = history.reopen(|indexes| {
        for path in indexes {
            fs::remove_file(path).expect("removed");
        }
        let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
        // In its first frame, whose magic stays.
        file.write_all_at(b"?", segment::HEADER_LEN as u64 + 60).expect("written");
    });
    let mut refused = 0;
    for partition in 0..PARTITIONS {
        let list = history.stored.get(&partition).cloned().unwrap_or_default();
        for stored in &list {
            let at = Timestamp(stored.at);
            match history.log.offset_at(history.at(partition), at).await {
                Ok(found) => {
                    let first = list.iter().find(|other| other.at >= stored.at);
                    assert_eq!(Some(found.0), first.map(|first| first.offset));
                }
                Err(ReadError::Damaged(why)) => {
                    assert!(why.contains("0000000004.seg"), "{why}");
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(refused > 0, "some lie in the damaged segment");
}
