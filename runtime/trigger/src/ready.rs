//! What can be taken at once, oldest first. An answer frees many keys together: they are sorted together,
//! and such runs are merged as they are taken, which costs less than a heap of all of them.
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

/// A queue by `T`, which no two in it share.
#[derive(Debug)]
pub(crate) struct Ready<T: Ord> {
    /// By their first.
    runs: BinaryHeap<Reverse<Run<T>>>,
    /// Of the run that is being gathered. Kept empty for its room.
    gathered: Vec<T>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run<T> {
    first: T,
    /// Latest first, so that the next is at the end.
    others: Vec<T>,
}

impl<T: Ord + Copy> Ready<T> {
    /// Seen from the next [`Ready::close`] on.
    pub(crate) fn gather(&mut self, one: T) {
        self.gathered.push(one);
    }

    /// What was gathered can be taken.
    pub(crate) fn close(&mut self) {
        self.gathered.sort_unstable_by(|one, other| other.cmp(one));
        if let Some((first, others)) = self.gathered.split_last() {
            self.runs.push(Reverse(Run { first: *first, others: others.to_vec() }));
            self.gathered.clear();
        }
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.runs.peek().map(|Reverse(run)| &run.first)
    }

    pub(crate) fn take_first(&mut self) {
        let Some(mut run) = self.runs.peek_mut() else { return };
        match run.0.others.pop() {
            Some(next) => run.0.first = next,
            None => drop(PeekMut::pop(run)),
        }
    }
}

impl<T: Ord> Default for Ready<T> {
    fn default() -> Self {
        Self { runs: BinaryHeap::new(), gathered: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_smallest_comes_first_whatever_was_closed_when(
            steps in prop::collection::vec((prop::collection::vec(any::<u16>(), 0..20), 0_usize..20), 0..40),
        ) {
            let (mut ready, mut model) = (Ready::default(), BTreeSet::new());
            for (fresh, taken) in steps {
                for one in fresh {
                    if model.insert(one) {
                        ready.gather(one);
                    }
                }
                ready.close();
                for _ in 0..taken {
                    prop_assert_eq!(ready.first(), model.first());
                    ready.take_first();
                    model.pop_first();
                }
            }
        }
    }
}
