//! In which order things happen: nothing is acknowledged before the sync that covers it.
use std::{
    path::PathBuf,
    sync::{Mutex, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use log_contract::{
    AppendError, Blobs, Documents, Expect, LogUnavailable, SettleError, StateKey, StateWrite,
};

use super::{faulty::FaultyDisk, *};
use crate::{Call, OsDisk, RecordingDisk};

/// Whether what holds these bytes was written and then synced, so far.
fn is_durable(disk: &RecordingDisk, needle: &[u8]) -> bool {
    disk.look(|calls| {
        let is_it = |call: &Call| match call {
            Call::Write { bytes, .. } => bytes.windows(needle.len()).any(|piece| piece == needle),
            _ => false,
        };
        let Some(written) = calls.iter().position(is_it) else { return false };
        let Call::Write { path, .. } = &calls[written] else { return false };
        let after = &calls[written..];
        let begun = after.iter().position(|call| *call == Call::SyncBegun(path.clone()));
        begun.is_some_and(|begun| after[begun..].contains(&Call::Synced(path.clone())))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_before_the_sync_that_covers_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = RecordingDisk::new(Arc::new(OsDisk));
    let options = Options { disk: Arc::new(disk.clone()), ..options() };
    let log = EmbeddedLog::open(dir.path(), options).expect("it opens");
    let source = topic(&log, "source", 8).await;
    assert!(is_durable(&disk, b"source"));
    let cursor = CursorName::parse("c").expect("a name");
    let mut member = log.join(&cursor, &[source]).await.expect("it is joined");
    let mut tasks = Vec::new();
    for task in 0..8 {
        let Some(MembershipEvent::Gained(lease)) = member.next().await else { panic!("a lease") };
        let (log, disk) = (log.clone(), disk.clone());
        tasks.push(tokio::spawn(async move {
            for nth in 0..10 {
                let mark = |what: &str| format!("<{what} {task}/{nth}>");
                append(&log, source, &[&mark("record")]).await;
                assert!(is_durable(&disk, mark("record").as_bytes()));
                let output = mark("output");
                let mut settled = settlement(0, &[(source, &output)]);
                let value = Some(mark("state").into());
                let at = StateKey { key: None, name: "n".into() };
                settled.state.push(StateWrite { at, value });
                settled.memo = Memo(mark("memo").into());
                log.settle(&lease, settled).await.expect("it settles");
                for what in ["output", "state", "memo"] {
                    assert!(is_durable(&disk, mark(what).as_bytes()), "{what}");
                }
                let document = Bytes::from(mark("document"));
                let key = format!("{task}");
                log.put(&key, Some(document.clone()), Expect::Anything).await.expect("it is put");
                assert!(is_durable(&disk, &document));
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_blob_is_synced_then_named_then_its_name_is_synced() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = RecordingDisk::new(Arc::new(OsDisk));
    let options = Options { disk: Arc::new(disk.clone()), ..options() };
    let log = EmbeddedLog::open(dir.path(), options).expect("it opens");
    let before = disk.calls().len();
    let digest = log.keep(Bytes::from("a component")).await.expect("it is kept");
    let artifacts = dir.path().join("artifacts");
    let is_ours = |call: &&Call| match call {
        Call::Rename { to, .. } => to.starts_with(&artifacts),
        Call::Synced(path) | Call::DirSynced(path) => path.starts_with(&artifacts),
        _ => false,
    };
    let calls = disk.calls();
    let ours: Vec<_> = calls[before..].iter().filter(is_ours).collect();
    assert!(
        matches!(&ours[..], [Call::Synced(_), Call::Rename { to, .. }, Call::DirSynced(_)]
            if *to == artifacts.join(digest.hex())),
        "{ours:?}"
    );
}

/// A log on this disk, and what it says when nothing can be promised any more.
fn open_on(disk: &FaultyDisk, dir: &Path) -> (Arc<EmbeddedLog>, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let options = Options {
        disk: Arc::new(disk.clone()),
        on_fatal: Arc::new(move |fatal| {
            tell.lock().expect("no panic").push(format!("{fatal}: {}", fatal.error));
        }),
        ..options()
    };
    (EmbeddedLog::open(dir, options).expect("it opens"), told)
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_promised_and_the_log_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = FaultyDisk::default();
    let (log, told) = open_on(&disk, dir.path());
    let source = topic(&log, "t", 1).await;
    append(&log, source, &["promised"]).await;
    let lease = lease(&log, "c", source).await;
    disk.syncs_fail.store(true, Ordering::SeqCst);
    let refused = log.append(source, batch(&["not promised"]), AppendGuard::default()).await;
    assert_eq!(refused, Err(AppendError::Unknown));
    let refused = log.settle(&lease, settlement(1, &[])).await;
    assert!(
        matches!(
            refused,
            Err(SettleError::LeaseVoid
                | SettleError::NotApplied { why: LogUnavailable::Closed, .. })
        ),
        "{refused:?}"
    );
    tokio::time::timeout(Duration::from_secs(30), log.close()).await.expect("it has ended");
    assert_eq!(log.topics().await, Err(LogUnavailable::Closed));
    let told = told.lock().expect("no panic").clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("sync") && told[0].contains("the platter came off"), "{told:?}");
    drop(log);
    disk.syncs_fail.store(false, Ordering::SeqCst);
    assert_eq!(values(&open(dir.path()), first_of(source)).await[0], "promised");
}

/// A file system that copies what is written over has no room left for it: part of the frame is there.
#[tokio::test]
async fn after_half_a_frame_nothing_more_is_written_and_the_log_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = FaultyDisk::default();
    let (log, told) = open_on(&disk, dir.path());
    let source = topic(&log, "t", 1).await;
    append(&log, source, &["promised"]).await;
    disk.writes_tear.store(true, Ordering::SeqCst);
    let refused = log.append(source, batch(&[&"torn".repeat(500)]), AppendGuard::default()).await;
    assert_eq!(refused, Err(AppendError::Unknown));
    disk.writes_tear.store(false, Ordering::SeqCst);
    let refused = log.append(source, batch(&["later"]), AppendGuard::default()).await;
    assert_eq!(refused, Err(LogUnavailable::Closed.into()));
    tokio::time::timeout(Duration::from_secs(30), log.close()).await.expect("it has ended");
    let told = told.lock().expect("no panic").clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("write") && told[0].contains("free some space"), "{told:?}");
    drop(log);
    let log = open(dir.path());
    append(&log, source, &["later"]).await;
    assert_eq!(values(&log, first_of(source)).await, ["promised", "later"]);
}

#[tokio::test]
async fn a_directory_is_opened_by_one_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    let error = try_open(dir.path()).expect_err("it is in use");
    let OpenError::InUse { owner, .. } = &error else { panic!("{error}") };
    assert_eq!(*owner, Some(std::process::id()));
    assert!(error.to_string().contains(&std::process::id().to_string()));
    // The first one does not mind.
    topic(&log, "t", 1).await;
    log.close().await;
    drop(open(dir.path()));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(dir.path().join("journal")).expect("there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
    let _: PathBuf = dir.path().into();
}
