//! What lies between the writer and the thread, also when the disk is full.
use std::{path::Path, time::Duration};

use super::*;
use crate::{journal::make_segment, tests::faulty::FaultyDisk};

const SMALL: u64 = 16 << 10;
const LARGE: u64 = 1 << 20;

/// Prepares segment 2. The reserve is there.
fn preparer(disk: &FaultyDisk, dir: &Path, ready: Option<Segment>, reserve: u64) -> Preparer {
    std::fs::write(dir.join(segment::RESERVE), vec![0; reserve as usize]).expect("written");
    let disk = Arc::new(disk.clone());
    Preparer::start(disk, dir.into(), (SMALL, reserve), 2, ready, Some(reserve)).expect("it starts")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "not soon: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_segment_that_has_just_become_ready_goes_before_the_reserve() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = FaultyDisk::default();
    let preparer = preparer(&disk, dir.path(), None, SMALL);
    until("it is ready", || preparer.shared.desk().ready.is_some());
    let second = preparer.take_reserve(SMALL).expect("it is there");
    assert_eq!((second.id, second.is_reserve), (2, false));
    assert_eq!(preparer.take(SMALL).expect("the next").id, 3);
    assert!(dir.path().join(segment::RESERVE).exists());
}

#[test]
fn a_reserve_that_takes_the_place_of_a_small_segment_is_the_only_one_of_its_id() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = FaultyDisk::default();
    let ready = make_segment(&disk, dir.path(), 2, SMALL).expect("made");
    let preparer = preparer(&disk, dir.path(), Some(ready), LARGE);
    let second = preparer.take_reserve(2 * SMALL).expect("the reserve is large enough");
    assert_eq!((second.id, second.is_reserve, second.capacity), (2, true, LARGE));
    let third = preparer.take(SMALL).expect("the next");
    assert_eq!((third.id, third.is_reserve), (3, false));
}

#[test]
fn a_frame_that_finds_no_room_costs_others_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = FaultyDisk::default();
    let ready = make_segment(&disk, dir.path(), 2, SMALL).expect("made");
    let preparer = preparer(&disk, dir.path(), Some(ready), SMALL);
    disk.is_full.store(true, Ordering::SeqCst);
    let refused = preparer.take(LARGE).expect_err("there is no room for it");
    assert!(matches!(refused, LogUnavailable::StorageFull { .. }), "{refused}");
    let second = preparer.take(SMALL).expect("what was ready is ready still");
    assert_eq!((second.id, second.capacity), (2, SMALL));
    disk.is_full.store(false, Ordering::SeqCst);
    // What a large frame wanted in vain is not made for the small ones that follow.
    let mut third = None;
    until("there is room again", || {
        third = preparer.take(SMALL).ok();
        third.is_some()
    });
    let third = third.expect("there is room again");
    assert_eq!((third.id, third.capacity), (3, SMALL));
}

#[test]
fn a_large_frame_is_tried_again_and_what_was_begun_in_vain_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = FaultyDisk::default();
    let ready = make_segment(&disk, dir.path(), 2, SMALL).expect("made");
    let preparer = preparer(&disk, dir.path(), Some(ready), SMALL);
    disk.is_full.store(true, Ordering::SeqCst);
    preparer.take(LARGE).expect_err("there is no room for it");
    let unfinished = dir.path().join(segment::UNFINISHED);
    until("nothing takes room", || !unfinished.exists());
    disk.is_full.store(false, Ordering::SeqCst);
    let mut second = None;
    until("there is room again", || {
        second = preparer.take(LARGE).ok();
        second.is_some()
    });
    let second = second.expect("there is room again");
    assert_eq!((second.id, second.capacity), (2, LARGE));
    let there = std::fs::metadata(dir.path().join(segment::file_name(2))).expect("there");
    assert_eq!(there.len(), LARGE);
    assert_eq!(preparer.take(SMALL).expect("the next").capacity, SMALL);
}
