//! State after recovery is the state that was; files and memory say the same.
use bytes::Bytes;
use log_contract::{Blobs, Documents, Expect, StateKey, StateWrite};

use super::*;
use crate::{OsDisk, recovery::recover, segment, state::State};

/// With the snapshot, if there is one, and without it.
fn recovered(dir: &Path) -> State {
    let journal = dir.join("journal");
    let state = || recover(&OsDisk, &journal).expect("whole").expect("there").state;
    let with = state();
    let snapshot = journal.join(segment::SNAPSHOT);
    if snapshot.exists() {
        let aside = journal.join("aside");
        std::fs::rename(&snapshot, &aside).expect("moved");
        assert_eq!(state(), with);
        std::fs::rename(&aside, &snapshot).expect("moved back");
    }
    with
}

fn state_of(log: &EmbeddedLog) -> State {
    log.shared.state().clone()
}

async fn step(log: &EmbeddedLog, seed: &mut Seed, topics: &mut Vec<TopicId>) {
    let pick =
        |seed: &mut Seed, topics: &[TopicId]| topics[seed.below(topics.len() as u64) as usize];
    match seed.below(10) {
        0 => topics.push(topic(log, &format!("t{}", seed.below(u64::MAX)), 3).await),
        1 if topics.len() > 2 => {
            let gone = topics.swap_remove(seed.below(topics.len() as u64) as usize);
            log.delete_topic(gone).await.expect("it is deleted");
        }
        2 => {
            let at = PartitionRef::new(pick(seed, topics), PartitionId(seed.below(3) as u32));
            let bounds = log.bounds(at).await.expect("there");
            let before = Offset(bounds.start.0 + seed.below(bounds.records + 1));
            log.trim(at, before).await.expect("trimmed");
        }
        3 => {
            let value = (seed.below(3) > 0).then(|| Bytes::from("value"));
            let key = format!("k{}", seed.below(4));
            log.put(&key, value, Expect::Anything).await.expect("it is put");
        }
        4..=6 => {
            let source = pick(seed, topics);
            let lease = lease(log, &format!("c{}", seed.below(3)), source).await;
            let mut settled = settlement(0, &[(pick(seed, topics), "out")]);
            settled.rewind = true;
            let end = log.bounds(PartitionRef::new(source, lease.partition)).await;
            settled.progress = vec![Progress::at(end.expect("there").end)];
            let at = StateKey { key: None, name: format!("n{}", seed.below(5)).into() };
            let value = (seed.below(4) > 0).then(|| Bytes::from(vec![7; 50]));
            settled.state.push(StateWrite { at, value });
            log.settle(&lease, settled).await.expect("it settles");
        }
        7 => {
            let cursors = log.cursors().await.expect("listed");
            if let Some(cursor) = cursors.first() {
                // Leases go back by themselves, by and by.
                let _ = log.delete_cursor(&cursor.name).await;
            }
        }
        _ => {
            let values: Vec<_> = (0..seed.below(30)).map(|nth| format!("{nth}")).collect();
            let values: Vec<_> = values.iter().map(|value| &**value).chain(["last"]).collect();
            append(log, pick(seed, topics), &values).await;
        }
    }
}

#[tokio::test]
async fn what_recovery_finds_is_what_was_there() {
    for round in 0..4 {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut seed, mut topics) = (Seed(round), Vec::new());
        for opening in 0..3 {
            let log = open(dir.path());
            if topics.is_empty() {
                topics.push(topic(&log, "first", 3).await);
            }
            for _ in 0..40 {
                step(&log, &mut seed, &mut topics).await;
            }
            if opening == 1 {
                log.close().await;
                let live = state_of(&log);
                assert!(live.cursors.values().all(|c| c.parts.values().all(|part| !part.is_held)));
                assert_eq!(recovered(dir.path()), live, "seed {round}");
                continue;
            }
            // Whoever drops a lease does not wait for it to be written down.
            append(&log, topics[0], &["last"]).await;
            let shared = log.shared.clone();
            drop(log);
            let live = shared.state().clone();
            assert_eq!(recovered(dir.path()), live, "seed {round}");
        }
    }
}

#[tokio::test]
async fn a_read_off_the_disk_gives_what_memory_gave() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    let source = topic(&log, "t", 2).await;
    for nth in 0..200 {
        let value = |at: u32| format!("{nth}/{at} {}", "x".repeat(nth % 90));
        append(&log, source, &[&value(0), &value(1), &value(2)]).await;
    }
    assert!(log.stats().segments > 2);
    let parts = [0, 1].map(|nth| PartitionRef::new(source, PartitionId(nth)));
    let memory = [values(&log, parts[0]).await, values(&log, parts[1]).await];
    drop(log);
    // Nothing is in memory after an opening.
    let log = open(dir.path());
    let disk = [values(&log, parts[0]).await, values(&log, parts[1]).await];
    assert_eq!(memory, disk);
    assert_eq!(memory.iter().map(Vec::len).sum::<usize>(), 600);
}

#[tokio::test]
async fn a_frame_larger_than_a_segment_gets_a_larger_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    let source = topic(&log, "t", 1).await;
    let large = "x".repeat(300_000);
    for _ in 0..3 {
        append(&log, source, &[&large, "small"]).await;
        append(&log, source, &["small"]).await;
    }
    drop(log);
    let log = open(dir.path());
    let found = values(&log, first_of(source)).await;
    assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), [300_000, 5, 5].repeat(3));
}

#[tokio::test]
async fn waste_of_an_earlier_process_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open(dir.path()));
    let waste = [
        "journal/next.tmp",
        "journal/reserve.tmp",
        "journal/index.tmp",
        "journal/snapshot.tmp",
        "artifacts/ab.1.tmp",
    ];
    for name in waste {
        std::fs::write(dir.path().join(name), b"half").expect("written");
    }
    let log = open(dir.path());
    assert_eq!(log.digests().await.expect("listed"), []);
    log.close().await;
    for name in waste {
        assert!(!dir.path().join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn an_opening_of_a_new_store_waits_for_no_large_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(ManualClock::at(Timestamp(1)));
    let disk = crate::RecordingDisk::new(Arc::new(OsDisk));
    let gate = Options { disk: Arc::new(disk.clone()), ..Options::new(clock) };
    let log = EmbeddedLog::open(dir.path(), gate).expect("it opens");
    assert_eq!(log.stats().journal_bytes, 1 << 20, "the first segment is small");
    assert_eq!(log.stats().frames, 1);
}
