//! How far a cursor has come: a watermark, and the finished ranges above it.
use crate::Offset;
use std::ops::Range;

/// Everything before `next` is finished, and so is what lies in `ahead`: half-open ranges, sorted,
/// none touching another or `next`. Ranges cover the holes between offsets too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    next: Offset,
    ahead: Vec<Range<Offset>>,
}

impl Progress {
    /// What a settlement may carry. The feed stays under it, the log checks it.
    pub const RANGES_MAX: usize = 4_096;

    #[must_use]
    pub fn at(next: Offset) -> Self {
        Self { next, ahead: Vec::new() }
    }

    /// For decoders. `None` if the ranges are not sorted, merged and above `next`.
    #[must_use]
    pub fn from_parts(next: Offset, ahead: Vec<Range<Offset>>) -> Option<Self> {
        let mut end = next;
        for range in &ahead {
            if range.start <= end || range.end <= range.start {
                return None;
            }
            end = range.end;
        }
        Some(Self { next, ahead })
    }

    /// Whether all that `before` says is finished is finished here, too.
    #[must_use]
    pub fn includes(&self, before: &Self) -> bool {
        before.next <= self.next && before.ahead.iter().all(|range| self.contains(range))
    }

    /// Where the last finished range ends.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.ahead.last().map_or(self.next, |last| last.end)
    }

    pub fn next(&self) -> Offset {
        self.next
    }

    pub fn ahead(&self) -> &[Range<Offset>] {
        &self.ahead
    }

    pub fn covers(&self, offset: Offset) -> bool {
        let after = self.ahead.partition_point(|range| range.end <= offset);
        offset < self.next || self.ahead.get(after).is_some_and(|range| range.start <= offset)
    }

    /// Whether all of `range` is finished.
    pub fn contains(&self, range: &Range<Offset>) -> bool {
        let after = self.ahead.partition_point(|done| done.end < range.end);
        range.end <= self.next
            || self.ahead.get(after).is_some_and(|done| done.start <= range.start)
    }

    /// Whether anything in `range` is finished.
    pub fn touches(&self, range: &Range<Offset>) -> bool {
        let after = self.ahead.partition_point(|done| done.end <= range.start);
        range.start < self.next || self.ahead.get(after).is_some_and(|done| done.start < range.end)
    }

    /// Whether adding `range` makes one range more.
    pub fn splits(&self, range: &Range<Offset>) -> bool {
        if range.start <= self.next {
            return false;
        }
        let after = self.ahead.partition_point(|done| done.end < range.start);
        self.ahead.get(after).is_none_or(|done| range.end < done.start)
    }

    /// Whether adding `range` fills (some of) a gap below the last range.
    pub fn fills(&self, range: &Range<Offset>) -> bool {
        let is_below = self.ahead.last().is_some_and(|last| range.end <= last.start);
        is_below && !self.splits(range)
    }

    pub fn add(&mut self, range: Range<Offset>) {
        assert!(range.start < range.end, "a range holds an offset");
        if range.start <= self.next {
            self.next = self.next.max(range.end);
            self.absorb();
            return;
        }
        // The common case by far: what is finished grows at its end.
        if let Some(last) = self.ahead.last_mut()
            && last.start <= range.start
            && range.start <= last.end
        {
            last.end = last.end.max(range.end);
            return;
        }
        let from = self.ahead.partition_point(|done| done.end < range.start);
        let to = self.ahead.partition_point(|done| done.start <= range.end);
        if from == to {
            self.ahead.insert(from, range);
        } else {
            let start = self.ahead[from].start.min(range.start);
            let end = self.ahead[to - 1].end.max(range.end);
            self.ahead[from] = start..end;
            self.ahead.drain(from + 1..to);
        }
    }

    fn absorb(&mut self) {
        let reached = self.ahead.iter().take_while(|range| range.start <= self.next).count();
        if let Some(last) = self.ahead[..reached].last() {
            self.next = self.next.max(last.end);
            self.ahead.drain(..reached);
        }
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> Range<Offset> {
        Offset(start)..Offset(end)
    }

    #[test]
    fn ranges_merge_with_each_other_and_into_the_watermark() {
        let mut progress = Progress::at(Offset(0));
        assert!(progress.splits(&range(4, 6)));
        progress.add(range(4, 6));
        progress.add(range(8, 9));
        assert!(!progress.splits(&range(6, 7)) && !progress.splits(&range(7, 8)));
        progress.add(range(6, 8));
        assert_eq!(progress.ahead(), [range(4, 9)]);
        assert!(progress.covers(Offset(8)) && !progress.covers(Offset(9)));
        progress.add(range(0, 4));
        assert_eq!(progress, Progress::at(Offset(9)));
    }

    /// Against the plainest model: a set of offsets.
    #[test]
    fn progress_is_a_set_of_offsets() {
        let mut seed = 7_u64;
        let mut below = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for _ in 0..2_000 {
            let mut progress = Progress::at(Offset(0));
            let mut model = [false; 40];
            for _ in 0..12 {
                let start = below(36);
                let end = start + 1 + below(4);
                let before = progress.ahead().len();
                let fresh = (start..end).all(|at| !model[at as usize]);
                let splits = progress.splits(&range(start, end));
                progress.add(range(start, end));
                model[start as usize..end as usize].fill(true);
                assert!(!fresh || splits == (progress.ahead().len() > before));
                for at in 0..40 {
                    assert_eq!(progress.covers(Offset(at)), model[at as usize]);
                    let pair = range(at.min(38), at.min(38) + 2);
                    let any = model[at.min(38) as usize] || model[at.min(38) as usize + 1];
                    assert_eq!(progress.touches(&pair), any);
                }
                let apart = progress.ahead().windows(2).all(|pair| pair[0].end < pair[1].start);
                assert!(apart && progress.ahead().iter().all(|range| progress.next < range.start));
            }
        }
    }
}
