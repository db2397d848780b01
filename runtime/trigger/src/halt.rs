//! Stops a trigger whose function fails more often than its user bears: a bad deploy shall halt it, not
//! dead-letter the topic. One per trigger, fed by all its feeds. Knows no time and no partition.
use crate::{counts::Counts, spec::Problem};
use std::fmt;

/// When **more than** `share` of the last [`Halt::WINDOW`] decided records, over all partitions, were
/// dead-lettered or dropped as exhausted or permanent, the trigger halts, until somebody resumes it.
/// Records too old do not count at all, held ones are not decided.
///
/// A window that is not full yet counts as if the missing records had been handled: so the first
/// failures of a young trigger never halt it, a topic with a handful of records never does, and 101
/// failures out of 101 do (with the default of a half), as no window that holds them could say
/// otherwise. A share of 1 never halts, as more than all cannot be; a share of 0 halts at the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Halt {
    share: f64,
    /// The last decisions, `true` = failed; a ring once it is full.
    window: Vec<bool>,
    /// Where the oldest is, once it is full.
    oldest: usize,
    failed: usize,
    is_halted: bool,
}

/// Why a trigger is halted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Halted {
    /// Of the window, now.
    pub failed: usize,
    pub share: f64,
}

/// Bytes that are no snapshot of a [`Halt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("snapshot of the halt window is malformed")]
pub struct MalformedHalt;

const VERSION: u8 = 1;

impl Halt {
    /// How many decided records are looked at.
    pub const WINDOW: usize = 200;

    /// # Errors
    /// A share that is not within 0 and 1.
    pub fn new(share: f64) -> Result<Self, Problem> {
        if !(0.0..=1.0).contains(&share) {
            let message = format!("{share} is not within 0 and 1");
            return Err(Problem { field: "halt_on_failure_share", message });
        }
        Ok(Self { share, window: Vec::new(), oldest: 0, failed: 0, is_halted: false })
    }

    /// What a feed decided between two looks at its counts.
    pub fn observe(&mut self, before: &Counts, after: &Counts) {
        let failed = |counts: &Counts| counts.dead_lettered.blamed() + counts.dropped.blamed();
        let handled = after.records_handled.saturating_sub(before.records_handled);
        self.decided(handled, failed(after).saturating_sub(failed(before)));
    }

    /// So many records became durable together. Of more than a window holds their share counts, as
    /// their order says nothing.
    pub fn decided(&mut self, handled: u64, failed: u64) {
        let (window, total) = (Self::WINDOW as u64, handled.saturating_add(failed));
        let (handled, failed) = if total <= window {
            (handled, failed)
        } else {
            let share = (u128::from(failed) * u128::from(window)).div_ceil(u128::from(total));
            let failed = u64::try_from(share).unwrap_or(window);
            (window - failed, failed)
        };
        (0..handled).for_each(|_| self.push(false));
        (0..failed).for_each(|_| self.push(true));
        self.is_halted |= self.failed as f64 > self.share * Self::WINDOW as f64;
    }

    /// `None`: the trigger may go on.
    #[must_use]
    pub fn halted(&self) -> Option<Halted> {
        self.is_halted.then_some(Halted { failed: self.failed, share: self.share })
    }

    /// An operator lets it go on: with a new window.
    pub fn resume(&mut self) {
        (self.window, self.oldest) = (Vec::new(), 0);
        (self.failed, self.is_halted) = (0, false);
    }

    /// A user sets another share: what is known is looked at again, but what is halted stays so.
    ///
    /// # Errors
    /// As [`Halt::new`].
    pub fn set_share(&mut self, share: f64) -> Result<(), Problem> {
        self.share = Self::new(share)?.share;
        self.decided(0, 0);
        Ok(())
    }

    /// A snapshot that survives a restart: version, halted, how many, one bit each from the oldest on.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, u8::from(self.is_halted), self.window.len() as u8];
        let (newer, older) = self.window.split_at(self.oldest);
        let ordered: Vec<bool> = older.iter().chain(newer).copied().collect();
        bytes.extend(ordered.chunks(8).map(|eight| {
            eight.iter().enumerate().fold(0, |byte, (at, failed)| byte | u8::from(*failed) << at)
        }));
        bytes
    }

    /// # Errors
    /// Bytes that `encode` did not write, or a share as in [`Halt::new`].
    pub fn decode(share: f64, bytes: &[u8]) -> Result<Self, MalformedHalt> {
        let mut halt = Self::new(share).map_err(|_| MalformedHalt)?;
        let [VERSION, is_halted @ (0 | 1), len, bits @ ..] = bytes else {
            return Err(MalformedHalt);
        };
        let len = usize::from(*len);
        if len > Self::WINDOW || bits.len() != len.div_ceil(8) {
            return Err(MalformedHalt);
        }
        let all = bits.iter().flat_map(|byte| (0..8).map(move |at| byte >> at & 1 == 1));
        if all.clone().skip(len).any(|bit| bit) {
            return Err(MalformedHalt);
        }
        all.take(len).for_each(|failed| halt.push(failed));
        halt.is_halted = *is_halted == 1;
        Ok(halt)
    }

    fn push(&mut self, failed: bool) {
        self.failed += usize::from(failed);
        if self.window.len() < Self::WINDOW {
            self.window.push(failed);
            return;
        }
        if let Some(oldest) = self.window.get_mut(self.oldest) {
            self.failed -= usize::from(std::mem::replace(oldest, failed));
        }
        self.oldest = (self.oldest + 1) % Self::WINDOW;
    }
}

impl fmt::Display for Halted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failed, share } = self;
        let (window, percent) = (Halt::WINDOW, share * 100.0);
        write!(f, "{failed} of the last {window} records failed for good, more than {percent:.0} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn halt(share: f64) -> Halt {
        Halt::new(share).expect("a share")
    }

    #[test]
    fn more_than_half_of_a_window_halts_and_half_does_not() {
        let mut it = halt(0.5);
        it.decided(0, 100);
        assert_eq!(it.halted(), None, "100 of 200");
        it.decided(0, 1);
        let halted = it.halted().expect("101 of 200");
        assert_eq!(
            halted.to_string(),
            "101 of the last 200 records failed for good, more than 50 %"
        );
        it.decided(1_000, 0);
        assert!(it.halted().is_some(), "until somebody resumes it");
        it.resume();
        it.decided(0, 101);
        assert!(it.halted().is_some());
        it.resume();
        it.decided(0, 100);
        assert_eq!(it.halted(), None, "a new window");
    }

    #[test]
    fn old_decisions_leave_the_window() {
        let mut it = halt(0.5);
        for _ in 0..50 {
            it.decided(150, 100);
            it.decided(100, 0);
        }
        assert_eq!(it.halted(), None);
    }

    #[test]
    fn a_young_trigger_is_not_halted_by_its_first_failures() {
        for failed in 1..=100 {
            let mut it = halt(0.5);
            it.decided(0, failed);
            assert_eq!(it.halted(), None);
        }
    }

    #[test]
    fn the_ends_of_the_scale_mean_at_once_and_never() {
        let mut never = halt(1.0);
        never.decided(0, 10_000);
        assert_eq!(never.halted(), None);
        let mut at_once = halt(0.0);
        at_once.decided(10_000, 0);
        assert_eq!(at_once.halted(), None);
        at_once.decided(0, 1);
        assert!(at_once.halted().is_some());
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Halt::new(share).is_err());
        }
    }

    #[test]
    fn age_does_not_count_and_both_ways_to_end_do() {
        let mut after = Counts::default();
        after.dead_lettered.record_too_old = 1_000;
        let mut it = halt(0.0);
        it.observe(&Counts::default(), &after);
        assert_eq!(it.halted(), None);
        for set in [
            (|counts: &mut Counts| counts.dropped.permanent += 1) as fn(&mut Counts),
            |counts| counts.dropped.attempts_exhausted += 1,
            |counts| counts.dead_lettered.permanent += 1,
            |counts| counts.dead_lettered.attempts_exhausted += 1,
        ] {
            let before = after;
            set(&mut after);
            let mut it = halt(0.0);
            it.observe(&before, &after);
            assert!(it.halted().is_some());
        }
    }

    proptest! {
        /// Against the plainest model: a list.
        #[test]
        fn a_window_is_the_last_two_hundred(
            steps in prop::collection::vec((0_u64..60, 0_u64..60), 0..20),
            share in 0.0..1.0_f64,
        ) {
            let mut it = halt(share);
            let mut all: Vec<bool> = vec![false; Halt::WINDOW];
            let mut was_halted = false;
            for (handled, failed) in steps {
                it.decided(handled, failed);
                all.extend((0..handled).map(|_| false).chain((0..failed).map(|_| true)));
                let last = &all[all.len() - Halt::WINDOW..];
                let failed = last.iter().filter(|failed| **failed).count();
                was_halted |= failed as f64 > share * 200.0;
                prop_assert_eq!(it.halted().is_some(), was_halted);
                let back = Halt::decode(share, &it.encode()).expect("it was encoded");
                prop_assert_eq!(back.encode(), it.encode());
                prop_assert_eq!(back.halted(), it.halted());
                // And goes on as if nothing had been.
                let (mut one, mut other) = (back, it.clone());
                one.decided(7, 3);
                other.decided(7, 3);
                prop_assert_eq!(one.encode(), other.encode());
            }
        }

        #[test]
        fn garbage_is_refused_or_means_what_it_says(bytes: Vec<u8>, share in 0.0..=1.0_f64) {
            let mut framed = vec![VERSION, 0];
            framed.extend(&bytes);
            for bytes in [bytes, framed] {
                if let Ok(halt) = Halt::decode(share, &bytes) {
                    prop_assert_eq!(halt.encode(), bytes);
                }
            }
        }

        #[test]
        fn of_more_than_a_window_the_share_counts(handled in 0_u64..1 << 40, failed in 0_u64..1 << 40) {
            prop_assume!(handled + failed > 200);
            let mut it = halt(0.5);
            it.decided(handled, failed);
            let is_more = failed > handled;
            let is_near = failed.abs_diff(handled) * 200 <= handled + failed;
            prop_assert!(is_near || it.halted().is_some() == is_more);
        }
    }
}
