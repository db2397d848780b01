//! Full disks, to the last byte: what goes on, and that a log is opened all the same.
use std::{sync::atomic::Ordering, time::Duration};

use log_contract::{AppendError, Before, LogUnavailable, SettleError, StateKey, StateWrite};

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

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "not soon: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
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

#[tokio::test]
async fn the_reserve_is_as_large_as_its_file_whatever_the_option_says_now() {
    // (made with, opened with): smaller and larger than what a settlement of many deletes takes.
    for (made, now) in [(16 << 10, 1 << 20), (1 << 20, 16 << 10), (1 << 20, 0)] {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = FaultyDisk::default();
        let open = |bytes| EmbeddedLog::open(dir.path(), options_on(&disk, bytes));
        let log = open(made).expect("it opens");
        let source = topic(&log, "t", 1).await;
        append(&log, source, &["x"]).await;
        let reserve = dir.path().join("journal/reserve.free");
        until("the reserve is there", async || reserve.exists()).await;
        drop(log);
        let log = open(now).expect("it opens");
        let held = lease(&log, "c", source).await;
        fill_up(&log, source, &disk).await;
        let mut large = settlement(0, &[]);
        let deletes = (0..100).map(|nth| StateWrite {
            at: StateKey { key: None, name: format!("{nth:0250}").into() },
            value: None,
        });
        large.state.extend(deletes);
        let mut settled = 0;
        loop {
            match log.settle(&held, large.clone()).await {
                Ok(_) => settled += 1,
                Err(SettleError::NotApplied { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        }
        if made > now {
            assert!(settled > 30, "{settled} settlements of 25 KiB in a reserve of 1 MiB");
        }
        drop((log, held));
        disk.is_full.store(false, Ordering::SeqCst);
        append(&open(now).expect("it opens"), source, &["on"]).await;
    }
}

#[tokio::test]
async fn a_lease_given_back_without_room_for_a_word_is_no_crash_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = FaultyDisk::default();
    let open = || EmbeddedLog::open(dir.path(), options_on(&disk, 0)).expect("it opens");
    let log = open();
    let source = topic(&log, "t", 1).await;
    append(&log, source, &["first"]).await;
    // A word is shorter than a settlement: for one of them there may be room.
    let cursors = ["a", "b", "c", "d"];
    let mut held = Vec::new();
    for cursor in cursors {
        held.push(lease(&log, cursor, source).await);
        let last = held.last().expect("just pushed");
        log.settle(last, settlement(0, &[])).await.expect("there is room");
    }
    fill_up(&log, source, &disk).await;
    exhaust(&log, &held[0]).await;
    drop(held);
    // A request behind it: then it was answered.
    let refused = log.append(source, batch(&["no"]), AppendGuard::default()).await;
    assert!(refused.is_err(), "{refused:?}");
    disk.is_full.store(false, Ordering::SeqCst);
    until("there is room again", async || {
        log.append(source, batch(&["yes"]), AppendGuard::default()).await.is_ok()
    })
    .await;
    // It ends without a clean close.
    drop(log);
    let log = open();
    for cursor in cursors {
        assert_eq!(lease(&log, cursor, source).await.before, Before::HandedOver, "{cursor}");
    }
}

#[tokio::test]
async fn a_clean_end_without_room_is_a_clean_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = FaultyDisk::default();
    let open = || EmbeddedLog::open(dir.path(), options_on(&disk, 0)).expect("it opens");
    let log = open();
    let source = topic(&log, "t", 1).await;
    append(&log, source, &["first"]).await;
    let held = lease(&log, "c", source).await;
    log.settle(&held, settlement(0, &[])).await.expect("there is room");
    fill_up(&log, source, &disk).await;
    exhaust(&log, &held).await;
    log.close().await;
    drop((log, held));
    assert_eq!(lease(&open(), "c", source).await.before, Before::HandedOver);
}
