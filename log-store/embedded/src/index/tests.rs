//! A packed index against the batches that it was made of.
use std::collections::BTreeMap;

use super::*;
use proptest::prelude::*;

/// Partition, and per batch: frames and bytes since the one before, records, bytes, time.
type Given = Vec<(u8, u8, u16, u8, u16, u8)>;

fn lists(given: &Given) -> BTreeMap<PartitionRef, Vec<BatchAt>> {
    let mut lists: BTreeMap<PartitionRef, Vec<BatchAt>> = BTreeMap::new();
    let (mut frame, mut at, mut time) = (7, 4_096, 1_000);
    for &(partition, frames, gap, count, bytes, later) in given {
        let partition = partition % 5;
        let key =
            PartitionRef::new(TopicId(u64::from(partition / 2)), PartitionId(u32::from(partition)));
        let list = lists.entry(key).or_default();
        (frame, at, time) =
            (frame + u64::from(frames), at + u32::from(gap), time + u64::from(later % 3));
        let (base, before) = list.last().map_or((Offset(50), 0), |last: &BatchAt| {
            (last.end(), last.bytes_before + u64::from(last.bytes))
        });
        list.push(BatchAt {
            base,
            appended_at: Timestamp(time),
            place: Place { frame, segment: 3, at, len: 100 + u32::from(bytes) },
            begin: u32::from(gap),
            end: u32::from(gap) + u32::from(bytes),
            count: u32::from(count) + 1,
            bytes: u32::from(bytes),
            bytes_before: before,
        });
    }
    lists
}

proptest! {
    #[test]
    fn an_index_gives_what_it_was_made_of(
        given in prop::collection::vec(any::<(u8, u8, u16, u8, u16, u8)>(), 1..700),
        salt: u64, from in 0..10_000_u64, at in 990..2_000_u64,
    ) {
        let lists = lists(&given);
        let index = SegmentIndex::new(3, lists.clone().into_iter());
        let file = index.encode(salt);
        prop_assert_eq!(SegmentIndex::parse(&file, 3, salt), Ok(index.clone()));
        prop_assert!(SegmentIndex::parse(&file, 4, salt).is_err());
        prop_assert!(SegmentIndex::parse(&file, 3, salt ^ 1).is_err());
        for nth in 0..6 {
            let partition = PartitionRef::new(TopicId(nth / 2), PartitionId(nth as u32));
            let list = lists.get(&partition).cloned().unwrap_or_default();
            let all: Vec<_> = index.from(partition, Offset(0)).collect();
            prop_assert_eq!(&all, &list);
            let some: Vec<_> = index.from(partition, Offset(from)).collect();
            let expected: Vec<_> =
                list.iter().copied().filter(|batch| batch.end().0 > from).collect();
            prop_assert_eq!(some, expected);
            prop_assert_eq!(index.end(partition), list.last().map(BatchAt::end));
            let expected = list.iter().copied().find(|batch| batch.appended_at.0 >= at);
            prop_assert_eq!(index.at_time(partition, Timestamp(at)), expected);
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_of_a_file_is_an_index(
        given in prop::collection::vec(any::<(u8, u8, u16, u8, u16, u8)>(), 1..100),
        at: prop::sample::Index, bit in 0..8_u8,
    ) {
        let mut file = SegmentIndex::new(3, lists(&given).into_iter()).encode(1);
        let at = at.index(file.len());
        prop_assert!(SegmentIndex::parse(&file[..at], 3, 1).is_err());
        file[at] ^= 1 << bit;
        prop_assert!(SegmentIndex::parse(&file, 3, 1).is_err());
    }
}

#[test]
fn many_small_batches_take_few_bytes() {
    let given: Given = (0..20_000).map(|nth| ((nth % 5) as u8, 1, 250, 0, 100, 0)).collect();
    let index = SegmentIndex::new(3, lists(&given).into_iter());
    assert!(index.bytes() < 14 * given.len(), "{} bytes", index.bytes());
}
