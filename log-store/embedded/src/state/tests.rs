//! One partition's index: what is found where, and what a trim takes.
use log_contract::{BatchBuilder, Headers, Offset, PartitionId, Timestamp, route::Route};

use super::*;
use crate::{block, wire::Take};

/// Pushes a batch of so many records of ten bytes each.
fn push(partition: &mut Partition, frame: u64, count: usize, stamp: u64) {
    let mut batch = BatchBuilder::default();
    for _ in 0..count {
        batch.push_new(Timestamp(0), None, Some(&[0; 10]), Headers::NONE);
    }
    let (batch, mut body) = (batch.build(), Vec::new());
    let at = PartitionRef::new(TopicId(1), PartitionId(0));
    let route = Route { partition: PartitionId(0), batch: &batch, start: 0, end: count };
    block::put(&mut body, at, partition.end, Timestamp(stamp), None, &[route]);
    let block = block::Block::take(&mut Take::new(&body)).expect("whole");
    let place = Place { frame, segment: 1, at: 0, len: 0 };
    partition.push(&block, place, 0).expect("it goes on where the partition ends");
}

#[test]
fn records_of_one_frame_are_one_entry_and_are_found_by_offset_and_time() {
    let mut partition = Partition::default();
    push(&mut partition, 1, 3, 100);
    push(&mut partition, 1, 2, 100);
    push(&mut partition, 2, 4, 200);
    let bases = |partition: &Partition, from| {
        partition.from(Offset(from)).map(|b| b.base.0).collect::<Vec<_>>()
    };
    assert_eq!(bases(&partition, 0), [0, 5]);
    assert_eq!(bases(&partition, 4), [0, 5]);
    assert_eq!(bases(&partition, 5), [5]);
    assert_eq!(bases(&partition, 9), Vec::<u64>::new());
    let found = [0, 100, 101, 200, 201].map(|at| partition.offset_at(Timestamp(at)).0);
    assert_eq!(found, [0, 0, 5, 5, 9]);
}

#[test]
fn a_trim_takes_whole_batches_and_counts_what_it_cuts_off_one() {
    let mut partition = Partition::default();
    push(&mut partition, 1, 5, 100);
    push(&mut partition, 2, 4, 200);
    partition.trim(Offset(2), 20).expect("it may");
    assert_eq!((partition.bounds().records, partition.bounds().bytes), (7, 70));
    assert_eq!(partition.offset_at(Timestamp(0)), Offset(2));
    partition.trim(Offset(6), 10).expect("it may");
    assert_eq!((partition.bounds().records, partition.bounds().bytes), (3, 30));
    assert!(partition.trim(Offset(5), 0).is_none(), "it never goes back");
    assert!(partition.trim(Offset(10), 0).is_none(), "there is nothing to trim");
    partition.trim(Offset(9), 0).expect("it may");
    assert_eq!((partition.bounds().records, partition.bounds().bytes), (0, 0));
    push(&mut partition, 3, 1, 300);
    assert_eq!(partition.bounds().end, Offset(10));
}

#[test]
fn an_epoch_leaves_room_for_generations() {
    let place = Place { frame: 1, segment: 1, at: 0, len: 0 };
    let opened = |epoch| {
        let mut body = Vec::new();
        crate::entry::Put(&mut body).opened(epoch);
        State::default().apply(place, &body).map(|_| ())
    };
    opened(u64::from(u32::MAX)).expect("the last of all");
    opened(1 << 32).expect_err("it would spill over");
}
