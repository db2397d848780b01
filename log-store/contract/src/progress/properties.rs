//! Progress against the set of finished offsets.
use super::*;
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeSet;

const END: u64 = 40;

fn ranges() -> impl Strategy<Value = Vec<Range<Offset>>> {
    let range = (0..END, 1..6_u64).prop_map(|(start, len)| Offset(start)..Offset(start + len));
    vec(range, 0..14)
}

fn built(start: u64, ranges: &[Range<Offset>]) -> (Progress, BTreeSet<u64>) {
    let mut progress = Progress::at(Offset(start));
    let mut model: BTreeSet<_> = (0..start).collect();
    for range in ranges {
        progress.add(range.clone());
        model.extend(range.start.0..range.end.0);
    }
    (progress, model)
}

/// As few ranges as the set has stretches.
fn stretches(model: &BTreeSet<u64>) -> usize {
    model.iter().filter(|at| **at > 0 && !model.contains(&(*at - 1))).count()
}

proptest! {
    #[test]
    fn it_is_the_set_of_what_was_added(start in 0..8_u64, ranges in ranges(), asked in ranges()) {
        let (progress, model) = built(start, &ranges);
        prop_assert_eq!(progress.ahead().len(), stretches(&model));
        prop_assert_eq!(progress.end().0, model.last().map_or(0, |last| last + 1).max(start));
        for at in 0..END + 8 {
            prop_assert_eq!(progress.covers(Offset(at)), model.contains(&at));
        }
        for range in asked {
            let all = (range.start.0..range.end.0).all(|at| model.contains(&at));
            let any = (range.start.0..range.end.0).any(|at| model.contains(&at));
            prop_assert_eq!((progress.contains(&range), progress.touches(&range)), (all, any));
            if !any {
                let mut more = progress.clone();
                more.add(range.clone());
                let is_split = more.ahead().len() > progress.ahead().len();
                prop_assert_eq!(progress.splits(&range), is_split);
                let fills = range.end < progress.end() && !is_split;
                prop_assert_eq!(progress.fills(&range), fills);
            }
        }
    }

    #[test]
    fn the_order_of_adding_does_not_matter(start in 0..8_u64, ranges in ranges()) {
        let back: Vec<_> = ranges.iter().rev().cloned().collect();
        prop_assert_eq!(built(start, &ranges).0, built(start, &back).0);
    }

    #[test]
    fn one_includes_another_as_sets_do(one in ranges(), two in ranges(), start in 0..8_u64) {
        let (one, model) = built(start, &one);
        let (two, other) = built(0, &two);
        prop_assert_eq!(one.includes(&two), other.is_subset(&model));
        prop_assert!(one.includes(&one));
    }

    #[test]
    fn parts_make_it_again_and_others_are_refused(start in 0..8_u64, ranges in ranges()) {
        let (progress, _) = built(start, &ranges);
        let again = Progress::from_parts(progress.next(), progress.ahead().to_vec());
        prop_assert_eq!(again.as_ref(), Some(&progress));
        let is_fine = ranges.iter().all(|range| Offset(start) < range.start)
            && ranges.windows(2).all(|two| two[0].end < two[1].start);
        prop_assert_eq!(Progress::from_parts(Offset(start), ranges).is_some(), is_fine);
    }
}
