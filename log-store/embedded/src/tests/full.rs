//! Full disks, to the last byte: what goes on, and that a log is opened all the same.
use std::{sync::atomic::Ordering, time::Duration};

use log_contract::{AppendError, LogUnavailable, SettleError};

use super::{faulty::FaultyDisk, *};

fn options_on(disk: &FaultyDisk, reserve_bytes: u64) -> Options {
    Options { disk: Arc::new(disk.clone()), reserve_bytes, ..options() }
}

/// Appends until nothing fits any more.
async fn fill_up(log: &EmbeddedLog, topic: TopicId, disk: &FaultyDisk) {
    disk.is_full.store(true, Ordering::SeqCst);
    for bytes in [1_000, 100, 1] {
        while log.append(topic, batch(&[&"x".repeat(bytes)]), AppendGuard::default()).await.is_ok()
        {
        }
    }
}

/// Settles until not even progress fits.
async fn exhaust(log: &EmbeddedLog, lease: &Lease) {
    loop {
        match log.settle(lease, settlement(0, &[])).await {
            Ok(_) => {}
            Err(SettleError::NotApplied { why: LogUnavailable::StorageFull { .. }, .. }) => return,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_store_that_has_used_up_everything_is_opened_and_closed_again() {
    for (reserve_bytes, closes) in [(0, false), (0, true), (16 << 10, false), (16 << 10, true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = FaultyDisk::default();
        let open = || EmbeddedLog::open(dir.path(), options_on(&disk, reserve_bytes));
        let log = open().expect("it opens");
        let source = topic(&log, "t", 1).await;
        append(&log, source, &["first"]).await;
        let held = lease(&log, "c", source).await;
        fill_up(&log, source, &disk).await;
        exhaust(&log, &held).await;
        drop((log, held));
        for nth in 0..20 {
            let log = open().unwrap_or_else(|error| panic!("opening {nth}: {error}"));
            let refused = log.append(source, batch(&["no"]), AppendGuard::default()).await;
            let full = LogUnavailable::StorageFull { retry_after: Duration::from_secs(1) };
            assert_eq!(refused, Err(AppendError::Unavailable(full)));
            if closes {
                log.close().await;
            }
        }
        disk.is_full.store(false, Ordering::SeqCst);
        let log = open().expect("it opens");
        assert_eq!(values(&log, first_of(source)).await[0], "first");
        append(&log, source, &["there is room"]).await;
    }
}
