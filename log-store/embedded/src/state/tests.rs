//! One partition's index: what is found where, and what a trim takes.
use log_contract::{BatchBuilder, Headers, Offset, PartitionId, Timestamp, route::Route};

use super::*;
use crate::{block, wire::Take};

const AT: PartitionRef = PartitionRef { topic: TopicId(1), partition: PartitionId(0) };

/// Pushes a batch of so many records of ten bytes each.
fn push(partition: &mut Partition, frame: u64, count: usize, stamp: u64) {
    let mut batch = BatchBuilder::default();
    for _ in 0..count {
        batch.push_new(Timestamp(0), None, Some(&[0; 10]), Headers::NONE);
    }
    let (batch, mut body) = (batch.build(), Vec::new());
    let route = Route { partition: PartitionId(0), batch: &batch, start: 0, end: count };
    block::put(&mut body, AT, partition.end, Timestamp(stamp), None, &[route]);
    let block = block::Block::take(&mut Take::new(&body)).expect("whole");
    let place = Place { frame, segment: 1, at: 0, len: 0 };
    partition.push(&block, place, &(0..0)).expect("it goes on where the partition ends");
}

/// The batches from an offset on, of the segment that is written.
fn bases(partition: &Partition, from: u64) -> Vec<u64> {
    match partition.spot(Offset(from)) {
        Some(Spot::Open(batches, _)) => batches.map(|batch| batch.base.0).collect(),
        Some(Spot::Sealed(run)) => panic!("in segment {}", run.segment),
        None => Vec::new(),
    }
}

fn run(partition: &Partition, from: u64) -> Option<(u64, u64)> {
    match partition.spot(Offset(from)) {
        Some(Spot::Sealed(run)) => Some((run.base.0, run.bytes_before)),
        _ => None,
    }
}

#[test]
fn records_of_one_frame_are_one_entry_and_are_found_by_offset_and_time() {
    let mut partition = Partition::default();
    push(&mut partition, 1, 3, 100);
    push(&mut partition, 1, 2, 100);
    push(&mut partition, 2, 4, 200);
    assert_eq!(bases(&partition, 0), [0, 5]);
    assert_eq!(bases(&partition, 4), [0, 5]);
    assert_eq!(bases(&partition, 5), [5]);
    assert_eq!(bases(&partition, 9), Vec::<u64>::new());
    let found = [0, 100, 101, 200, 201].map(|at| partition.offset_at(Timestamp(at)));
    assert_eq!(found, [0, 0, 5, 5, 9].map(|offset| Ok(Offset(offset))));
}

#[test]
fn a_trim_counts_what_is_left() {
    let mut partition = Partition::default();
    push(&mut partition, 1, 5, 100);
    push(&mut partition, 2, 4, 200);
    partition.trim(Offset(2), 20).expect("it may");
    assert_eq!((partition.bounds().records, partition.bounds().bytes), (7, 70));
    assert_eq!(partition.offset_at(Timestamp(0)), Ok(Offset(2)));
    partition.trim(Offset(6), 60).expect("it may");
    assert_eq!((partition.bounds().records, partition.bounds().bytes), (3, 30));
    assert_eq!((bases(&partition, 5), bases(&partition, 6)), (vec![], vec![5]));
    assert!(partition.trim(Offset(5), 60).is_none(), "it never goes back");
    assert!(partition.trim(Offset(7), 50).is_none(), "nor do its bytes");
    assert!(partition.trim(Offset(10), 90).is_none(), "there is nothing to trim");
    assert!(partition.trim(Offset(8), 91).is_none(), "there are not so many");
    partition.trim(Offset(9), 90).expect("it may");
    assert_eq!((partition.bounds().records, partition.bounds().bytes), (0, 0));
    assert_eq!(partition.bytes_before(Offset(9)), Some(90));
    push(&mut partition, 3, 1, 300);
    assert_eq!((partition.bounds().end, partition.bounds().bytes), (Offset(10), 10));
}

#[test]
fn of_a_sealed_segment_only_where_it_begins_is_kept() {
    let mut partition = Partition::default();
    for segment in 0..3 {
        push(&mut partition, 10 * segment + 1, 5, 100 * segment + 100);
        push(&mut partition, 10 * segment + 2, 5, 100 * segment + 150);
        if segment < 2 {
            let list: Vec<_> = partition.seal().0.into_iter().collect();
            assert_eq!(list.iter().map(|batch| batch.bytes_before).collect::<Vec<_>>(), [0, 50]);
        }
    }
    assert_eq!(run(&partition, 0), Some((0, 0)));
    assert_eq!(run(&partition, 9), Some((0, 0)));
    assert_eq!(run(&partition, 10), Some((10, 100)));
    assert_eq!(run(&partition, 19), Some((10, 100)));
    assert_eq!(bases(&partition, 20), [20, 25]);
    // Before all, in a segment, between two, in the one that is written, behind all.
    let found = [100, 120, 160, 200, 260, 300, 301, 351].map(|at| {
        let of_run = |(run, next): (partition::Run, Offset)| (run.base.0, next.0);
        partition.offset_at(Timestamp(at)).map(|offset| offset.0).map_err(of_run)
    });
    let first = Err((0, 10));
    assert_eq!(found, [Ok(0), first, first, first, Err((10, 20)), Err((10, 20)), Ok(25), Ok(30)]);
    partition.trim(Offset(10), 100).expect("it may");
    assert_eq!((run(&partition, 9), run(&partition, 10)), (None, Some((10, 100))));
    partition.trim(Offset(13), 130).expect("it may");
    assert_eq!(run(&partition, 13), Some((10, 100)));
    assert_eq!(partition.offset_at(Timestamp(0)), Ok(Offset(13)));
    partition.trim(Offset(20), 200).expect("it may");
    assert_eq!((run(&partition, 19), bases(&partition, 20)), (None, vec![20, 25]));
    partition.trim(Offset(30), 300).expect("it may");
    partition.seal();
    assert_eq!(partition.offset_at(Timestamp(0)), Ok(Offset(30)));
    assert!(partition.spot(Offset(30)).is_none());
}

#[test]
fn the_first_frame_of_a_segment_seals_the_one_before() {
    let info = TopicInfo {
        id: TopicId(1),
        spec: TopicSpec::new(TopicName::parse("t").expect("a name"), 2),
    };
    let mut state = State::default();
    let place = |frame, segment| Place { frame, segment, at: 4_096, len: 100 };
    let body = |fill: &dyn Fn(&mut crate::entry::Put<'_>)| {
        let mut body = Vec::new();
        fill(&mut crate::entry::Put(&mut body));
        body
    };
    let created = body(&|put| put.topic(crate::entry::Kind::TopicCreated, &info));
    assert_eq!(state.apply(place(1, 1), &created).expect("it fits").sealed, None);
    let appended = |base| {
        let mut batch = BatchBuilder::default();
        batch.push_new(Timestamp(0), None, Some(b"v"), Headers::NONE);
        let batch = batch.build();
        let route = Route { partition: PartitionId(0), batch: &batch, start: 0, end: 1 };
        body(&|put| {
            put.entry(crate::entry::Kind::Appended, |into| {
                block::put(into, AT, Offset(base), Timestamp(5), None, &[route]);
            });
        })
    };
    assert_eq!(state.apply(place(2, 1), &appended(0)).expect("it fits").sealed, None);
    let sealed = state.apply(place(3, 2), &appended(1)).expect("it fits").sealed;
    let index = sealed.expect("segment 1 has records");
    let found: Vec<_> = index.from(AT, Offset(0)).collect();
    assert_eq!((index.segment, found.len()), (1, 1));
    assert_eq!((found[0].place, found[0].base), (place(2, 1), Offset(0)));
    // One without records, and one whose topic is gone.
    let nothing = body(&|put| put.document("d", 1, None));
    assert!(state.apply(place(4, 3), &nothing).expect("it fits").sealed.is_some());
    let gone = body(&|put| put.topic_deleted(TopicId(1)));
    assert_eq!(state.apply(place(5, 4), &gone).expect("it fits").sealed, None);
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
