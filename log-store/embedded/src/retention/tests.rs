//! What is decided, beside a partition that is a plain list.
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// Batches of one partition: how many records, of how many bytes each, stamped when. `start` records are
/// gone.
#[derive(Clone, Debug)]
struct Plain {
    batches: Vec<(u64, u64, u64)>,
    start: u64,
}

impl Plain {
    /// Base, bytes before, stamp.
    fn bases(&self) -> Vec<(u64, u64, u64)> {
        let (mut base, mut bytes, mut all) = (0, 0, Vec::new());
        for (count, each, stamp) in &self.batches {
            all.push((base, bytes, *stamp));
            (base, bytes) = (base + count, bytes + count * each);
        }
        all.push((base, bytes, u64::MAX));
        all
    }

    fn bytes_to(&self, offset: u64) -> u64 {
        let (mut base, mut bytes) = (0, 0);
        for (count, each, _) in &self.batches {
            bytes += offset.saturating_sub(base).min(*count) * each;
            base += count;
        }
        bytes
    }

    fn end(&self) -> u64 {
        self.batches.iter().map(|(count, ..)| count).sum()
    }
}

impl Places for Plain {
    type Error = Infallible;

    fn at_time(&self, _: PartitionRef, at: Timestamp) -> Result<Offset, Infallible> {
        let first = self.bases().into_iter().find(|(.., stamp)| *stamp >= at.0);
        Ok(Offset(first.map_or(0, |(base, ..)| base).max(self.start)))
    }

    fn by_bytes(&self, _: PartitionRef, bytes: u64) -> Result<Offset, Infallible> {
        let last = self.bases().into_iter().rfind(|(_, before, _)| *before <= bytes);
        Ok(Offset(last.map_or(0, |(base, ..)| base).max(self.start)))
    }

    fn bytes_before(&self, _: PartitionRef, before: Offset) -> Result<u64, Infallible> {
        Ok(self.bytes_to(before.0))
    }
}

const AT: PartitionRef = PartitionRef { topic: TopicId(1), partition: PartitionId(0) };

proptest! {
    #[test]
    fn what_goes_is_what_may_and_what_stays_is_what_must(
        batches in prop::collection::vec((1..9_u64, 0..9_u64, 0..3_u64), 0..12),
        start in 0..20_u64,
        before in prop::option::of(0..12_u64),
        kept in prop::option::of(0..150_u64),
        unread in prop::option::of(0..60_u64),
        held_max in 0..150_u64,
    ) {
        let mut clock = 0;
        let batches: Vec<_> = batches
            .into_iter()
            .map(|(count, each, later)| {
                clock += later;
                (count, each, clock)
            })
            .collect();
        let plain = Plain { start: 0, batches };
        let plain = Plain { start: start.min(plain.end()), ..plain };
        let end = plain.end();
        let (start_bytes, end_bytes) = (plain.bytes_to(plain.start), plain.bytes_to(end));
        // As `excess` says it.
        let bytes = kept.filter(|kept| end_bytes - start_bytes > *kept).map(|kept| end_bytes - kept);
        let unread = unread.map(|unread| Offset(unread.min(end)));
        let (retention, start) = (Retention::DEFAULT, Offset(plain.start));
        let excess =
            Excess { at: AT, retention, start, before: before.map(Timestamp), bytes, unread };
        let Ok(cut) = excess.cut(&plain, held_max);
        let to = cut.map_or(plain.start, |cut| cut.0);
        prop_assert!(cut.is_none_or(|cut| cut.0 > plain.start && cut.0 <= end));
        // What must go, without any trigger.
        let of_record = |offset: u64| {
            let nth = plain.bases().partition_point(|(base, ..)| *base <= offset) - 1;
            plain.bases()[nth]
        };
        let is_old = |offset| before.is_some_and(|before| of_record(offset).2 < before);
        // The batch may go whole, and enough stays.
        let is_beyond = |offset: u64| {
            let nth = plain.bases().partition_point(|(base, ..)| *base <= offset);
            let behind = plain.bases()[nth].1;
            bytes.is_some() && kept.is_some_and(|kept| end_bytes - behind >= kept)
        };
        let wanted = (plain.start..end).take_while(|it| is_old(*it) || is_beyond(*it)).count() as u64;
        let wanted = plain.start + wanted;
        let held = unread.map_or(wanted, |unread| unread.0).max(plain.start);
        prop_assert!(to <= wanted, "{to} of {wanted}: too much");
        if held >= wanted {
            prop_assert_eq!(to, wanted, "nothing is held");
        } else {
            // What is held and fits stays, and nothing else; of a batch all or nothing.
            prop_assert!(to >= held);
            let held_bytes = plain.bytes_to(wanted) - plain.bytes_to(to);
            let first = plain.bases().into_iter().map(|(base, ..)| base).find(|base| *base > to);
            let without = plain.bytes_to(wanted) - plain.bytes_to(first.unwrap_or(end).min(wanted));
            prop_assert!(to == held || held_bytes >= held_max.min(plain.bytes_to(wanted)));
            prop_assert!(without <= held_max, "{without} bytes are held, and {held_max} may be");
        }
    }
}

const HOUR: u64 = 3_600_000;
const MINUTE: u64 = 60_000;

fn after(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[test]
fn a_clock_that_jumps_is_not_believed_for_a_while() {
    let mut patience = Patience::new(Some(Timestamp(100 * HOUR)));
    assert_eq!(patience.is_over(Timestamp(101 * HOUR), after(60)), Ok(true));
    assert_eq!(patience.is_over(Timestamp(102 * HOUR), after(120)), Ok(true), "no jump");
    let jump = patience.is_over(Timestamp(126 * HOUR), after(121));
    assert_eq!(jump, Err(Duration::from_secs(24 * 3_600)));
    for minute in 1..10 {
        let now = Timestamp(126 * HOUR + minute * MINUTE);
        assert_eq!(patience.is_over(now, after(121 + minute)), Ok(false), "{minute} minutes");
    }
    let now = Timestamp(126 * HOUR + 10 * MINUTE);
    assert_eq!(patience.is_over(now, after(131)), Ok(true));
    // Nothing was ever stored, so nothing can be taken.
    assert_eq!(Patience::new(None).is_over(Timestamp(100 * HOUR), after(0)), Ok(true));
    // After a night without power.
    let mut patience = Patience::new(Some(Timestamp(100 * HOUR)));
    assert!(patience.is_over(Timestamp(110 * HOUR), after(0)).is_err());
}

#[test]
fn a_clock_that_was_set_right_is_believed_only_as_it_goes_on() {
    // It stands still until the wall has caught up, or jumps once more by less than is a jump.
    let mut patience = Patience::new(Some(Timestamp(100 * HOUR)));
    assert!(patience.is_over(Timestamp(200 * HOUR), after(1)).is_err());
    assert_eq!(patience.is_over(Timestamp(200 * HOUR), after(1_000)), Ok(false));
    let mut patience = Patience::new(Some(Timestamp(100 * HOUR)));
    assert!(patience.is_over(Timestamp(200 * HOUR), after(1)).is_err());
    assert_eq!(patience.is_over(Timestamp(200 * HOUR + 30 * MINUTE), after(2)), Ok(false));
    // One that may go back.
    assert_eq!(patience.is_over(Timestamp(101 * HOUR), after(3)), Ok(false));
    assert_eq!(patience.is_over(Timestamp(101 * HOUR + 10 * MINUTE), after(13)), Ok(true));
}

#[test]
fn a_cursor_that_comes_or_goes_back_meanwhile_is_heard() {
    let cursor = |next: u64| {
        let mut cursor = crate::state::Cursor::default();
        let progress = log_contract::Progress::at(Offset(next));
        cursor.positions.insert((AT.topic, AT.partition), progress);
        cursor
    };
    let name = || log_contract::CursorName::parse("c").expect("a name");
    for (then, now, is_right) in [
        (None, None, true),
        (None, Some(5), false),
        (Some(5), Some(4), false),
        (Some(5), Some(6), true),
        (Some(5), None, true),
    ] {
        let mut state = State::default();
        state.cursors.extend(now.map(|now| (name(), cursor(now))));
        for hold_for_triggers in [true, false] {
            let retention = Retention { hold_for_triggers, ..Retention::DEFAULT };
            let (start, unread) = (Offset(0), then.map(Offset));
            let excess = Excess { at: AT, retention, start, before: None, bytes: None, unread };
            let left = still_right(&state, vec![(excess, Offset(3))]).len();
            assert_eq!(left == 1, is_right || !hold_for_triggers, "{then:?} {now:?}");
        }
    }
}

#[test]
fn a_segment_is_dead_when_neither_an_opening_nor_a_reader_wants_it() {
    let mut state = State::default();
    state.in_sealed.extend([(3, 1), (5, 2), (7, 1)]);
    let there = BTreeSet::from([2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(dead(&there, &state, 0), Vec::<u64>::new());
    assert_eq!(dead(&there, &state, 5), [2, 4]);
    assert_eq!(dead(&there, &state, 7), [2, 4, 6]);
    assert_eq!(dead(&there, &state, 8), [2, 4, 6]);
}
