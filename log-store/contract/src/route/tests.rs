//! Routes against a look at each record.
use super::*;
use crate::{
    Run,
    batch::tests::{Plain, built, plain},
};
use proptest::{collection::vec, prelude::*};

const KEYLESS: PartitionId = PartitionId(2);

fn expected(record: &Plain, partitions: u32) -> PartitionId {
    record.key.as_deref().map_or(KEYLESS, |key| partition_of_key(key, partitions))
}

fn flat<'a>(routes: &[Route<'a>]) -> Vec<(&'a RecordBatch, usize, PartitionId)> {
    let one = |route: &Route<'a>| {
        let (batch, partition) = (route.batch, route.partition);
        route.range().map(move |at| (batch, at, partition))
    };
    routes.iter().flat_map(one).collect()
}

proptest! {
    #[test]
    fn each_record_of_an_append_has_its_route(
        plain in vec(plain(), 1..30),
        chosen in 0..10_usize,
        partitions in 3..6_u32,
    ) {
        let middle = chosen.min(plain.len())..(2 * chosen).min(plain.len());
        let chosen = vec![(middle.clone(), PartitionId(1))];
        let batch = AppendBatch { records: built(&plain), partitions: chosen };
        let routes = append(&batch, partitions, KEYLESS);
        let found: Vec<_> = flat(&routes).iter().map(|(_, at, to)| (*at, *to)).collect();
        let to = |(at, record): (usize, &Plain)| {
            let by_choice = middle.contains(&at).then_some(PartitionId(1));
            (at, by_choice.unwrap_or_else(|| expected(record, partitions)))
        };
        prop_assert_eq!(found, plain.iter().enumerate().map(to).collect::<Vec<_>>());
        let is_whole = |two: &[Route<'_>]| two[0].partition != two[1].partition;
        prop_assert!(routes.windows(2).all(is_whole), "a run is cut in two");
    }

    #[test]
    fn records_lie_where_a_log_that_counts_would_put_them(
        plain in vec(plain(), 1..30),
        partitions in 3..6_u32,
    ) {
        let batch = AppendBatch::from(built(&plain));
        let routes = append(&batch, partitions, KEYLESS);
        let mut ends: BTreeMap<PartitionId, u64> =
            (0..partitions).map(|nth| (PartitionId(nth), u64::from(nth) * 100)).collect();
        let runs = placed(&routes, |partition| Offset(ends[&partition]));
        let mut found = Vec::new();
        for AppendedRun { partition, offset, records } in &runs {
            found.extend((0..u64::from(*records)).map(|nth| (*partition, offset.0 + nth)));
        }
        let place = |record: &Plain| {
            let to = expected(record, partitions);
            let end = ends.get_mut(&to).expect("it has one");
            *end += 1;
            (to, *end - 1)
        };
        prop_assert_eq!(found, plain.iter().map(place).collect::<Vec<_>>());
        prop_assert!(runs.windows(2).all(|two| two[0].partition != two[1].partition));
    }

    #[test]
    fn a_span_goes_like_its_records_and_sorting_keeps_their_order(
        one in vec(plain(), 4..12),
        two in vec(plain(), 4..12),
        partitions in 3..6_u32,
    ) {
        let (first, second) = (built(&one), built(&two));
        let mut whole = Span::default();
        whole.push(Run::new(first.clone(), 1..3));
        whole.push_one(&second, 3);
        whole.push(Run::new(second.clone(), 0..2));
        whole.push_one(&first, 3);
        let mut routes = span(&whole, partitions, KEYLESS);
        let found = flat(&routes);
        let records = [&one[1], &one[2], &two[3], &two[0], &two[1], &one[3]];
        let is_there = |((batch, at), route): ((&RecordBatch, usize), &(&RecordBatch, usize, _))| {
            batch.is_same(route.0) && at == route.1
        };
        prop_assert!(found.len() == 6 && whole.places().zip(&found).all(is_there));
        for ((_, _, to), record) in found.iter().zip(records) {
            prop_assert_eq!(*to, expected(record, partitions));
        }
        by_partition(&mut routes);
        for partition in (0..partitions).map(PartitionId) {
            let of = |all: &[(&RecordBatch, usize, PartitionId)]| {
                let of = all.iter().filter(|(_, _, to)| *to == partition);
                of.map(|(batch, at, _)| (batch.is_same(&first), *at)).collect::<Vec<_>>()
            };
            prop_assert_eq!(of(&flat(&routes)), of(&found));
        }
        prop_assert!(routes.is_sorted_by_key(|route| route.partition));
    }
}
