//! Power cuts: of what was written only that is left which a sync covered.
use std::{fs, os::unix::fs::FileExt};

use super::*;
use crate::{Call, OsDisk, RecordingDisk, recovery::recover, segment};

/// Writes to `platter` what these calls made durable of the file at `path`, and nothing else.
fn replay_synced(calls: &[Call], path: &Path, platter: &fs::File) {
    for (nth, call) in calls.iter().enumerate() {
        let Call::Write { path: of, at, bytes } = call else { continue };
        let after = &calls[nth..];
        let begun = after.iter().position(|call| *call == Call::SyncBegun(path.into()));
        let is_synced =
            begun.is_some_and(|begun| after[begun..].contains(&Call::Synced(path.into())));
        if of == path && is_synced {
            platter.write_all_at(bytes, *at).expect("it can be written");
        }
    }
}

#[tokio::test]
async fn a_frame_that_was_never_synced_is_made_durable_before_it_is_served() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = {
        let log = open(dir.path());
        let source = topic(&log, "t", 1).await;
        append(&log, source, &["first"]).await;
        append(&log, source, &["last"]).await;
        source
    };
    let journal = dir.path().join("journal");
    let path = journal.join(segment::file_name(1));
    let found = recover(&OsDisk, &journal).expect("whole").expect("there");
    let [last] = &found.unsure[..] else { panic!("the last frame: {:?}", found.unsure) };
    let (begin, end) = (u64::from(last.at), found.at);
    assert_eq!(begin + u64::from(last.len), end);
    // The process ended before the sync: the whole frame is in memory only, half of it on the disk.
    for torn in [begin, begin + 20, begin + u64::from(last.len / 2), end - 8] {
        let memory = fs::read(&path).expect("the segment");
        let disk = RecordingDisk::new(Arc::new(OsDisk));
        let options = Options { disk: Arc::new(disk.clone()), ..options() };
        let log = EmbeddedLog::open(dir.path(), options).expect("it opens");
        assert_eq!(values(&log, first_of(source)).await, ["first", "last"]);
        drop(log);
        // Then the power goes.
        fs::write(&path, &memory).expect("written");
        let platter = fs::OpenOptions::new().write(true).open(&path).expect("there");
        let lost = vec![0xa5; (end - torn) as usize];
        platter.write_all_at(&lost, torn).expect("it can be written");
        replay_synced(&disk.calls(), &path, &platter);
        let log = open(dir.path());
        assert_eq!(values(&log, first_of(source)).await, ["first", "last"], "torn at {torn}");
        drop(log);
        fs::write(&path, &memory).expect("written");
    }
}

#[tokio::test]
async fn names_are_synced_before_an_opening_is_written() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open(dir.path()));
    let disk = RecordingDisk::new(Arc::new(OsDisk));
    let options = Options { disk: Arc::new(disk.clone()), ..options() };
    drop(EmbeddedLog::open(dir.path(), options).expect("it opens"));
    let (calls, journal) = (disk.calls(), dir.path().join("journal"));
    let path = journal.join(segment::file_name(1));
    let is_write = |call: &&Call| matches!(call, Call::Write { path: of, .. } if *of == path);
    let writes: Vec<_> = calls.iter().filter(is_write).collect();
    let [_again, opening] = &writes[..] else { panic!("{writes:?}") };
    let at = calls.iter().position(|call| call == *opening).expect("it is there");
    assert!(calls[..at].contains(&Call::Synced(path.clone())));
    assert!(calls[..at].contains(&Call::DirSynced(journal)));
}
