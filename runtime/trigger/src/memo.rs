//! What a restart must not forget, as bytes that ride in every settlement: versioned, at most
//! [`Memo::LEN_MAX`]. Bytes from a log are checked, never trusted.
//!
//! ```text
//! version 1 | flags | circuit tries | unclean starts | lost | aged from | entries
//! entry: offset since the entry before | failures | first failed at | flags
//! ```
//! Numbers are LEB128, so most take one or two bytes.
use crate::failing::Failure;
use bytes::Bytes;
use log_contract::{Memo, Offset, Timestamp};
use smallvec::{SmallVec, smallvec};

const VERSION: u8 = 1;
/// The last count of unclean starts is of the start that wrote the memo.
const OWN_MARK: u8 = 1;
/// Another attempt is pointless: the record waits for an operator.
const FINAL: u8 = 1;

/// A memo that this program cannot read. The feed starts with clean counts and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoError {
    #[error("memo has version {0}, known is {VERSION}")]
    Version(u8),
    #[error("memo is malformed")]
    Malformed,
}

/// A memo's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// Probes that found the function's dependency still away. 0 = the circuit is closed.
    pub(crate) circuit_tries: u32,
    /// Starts that had attempts out at this `next` and neither moved it nor ended cleanly.
    pub(crate) unclean: u32,
    /// One of them is the writer's own: if it hands over, it was none.
    pub(crate) is_own_mark: bool,
    /// Offsets that retention took unread, ever.
    pub(crate) lost: u64,
    /// No record's age counts from before.
    pub(crate) aged_from: Timestamp,
    /// How often what begins with this record has failed: oldest first, as many as find room.
    pub(crate) failing: Vec<(Offset, Failure)>,
}

impl Notes {
    /// Mostly what was noted last: then `last` is shared, as this is done for each settlement.
    pub(crate) fn encode_as(&self, last: &mut Memo) -> Memo {
        let bytes = self.encode();
        if last.0 != *bytes {
            *last = Memo(Bytes::copy_from_slice(&bytes));
        }
        last.clone()
    }

    fn encode(&self) -> SmallVec<[u8; 64]> {
        // Most memos are a dozen bytes.
        let mut bytes: SmallVec<[u8; 64]> =
            smallvec![VERSION, if self.is_own_mark { OWN_MARK } else { 0 }];
        put(&mut bytes, u64::from(self.circuit_tries));
        put(&mut bytes, u64::from(self.unclean));
        put(&mut bytes, self.lost);
        put(&mut bytes, self.aged_from.0);
        let mut before = 0;
        for (head, failure) in &self.failing {
            let len = bytes.len();
            put(&mut bytes, head.0 - before);
            put(&mut bytes, u64::from(failure.failures));
            put(&mut bytes, failure.since.0);
            bytes.push(if failure.is_final { FINAL } else { 0 });
            if bytes.len() > Memo::LEN_MAX {
                bytes.truncate(len);
                break;
            }
            before = head.0;
        }
        bytes
    }

    /// A memo without bytes is that of a cursor that never settled.
    pub(crate) fn decode(memo: &Memo) -> Result<Self, MemoError> {
        let Some((version, rest)) = memo.0.split_first() else { return Ok(Self::default()) };
        if *version != VERSION {
            return Err(MemoError::Version(*version));
        }
        if memo.0.len() > Memo::LEN_MAX {
            return Err(MemoError::Malformed);
        }
        Self::decode_first(rest).ok_or(MemoError::Malformed)
    }

    fn decode_first(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        let mut notes = Self {
            is_own_mark: flag(rest, OWN_MARK)?,
            circuit_tries: u32::try_from(take(rest)?).ok()?,
            unclean: u32::try_from(take(rest)?).ok()?,
            lost: take(rest)?,
            aged_from: Timestamp(take(rest)?),
            failing: Vec::new(),
        };
        let mut before: Option<u64> = None;
        while !rest.is_empty() {
            let step = take(rest)?;
            let head = match before {
                None => step,
                Some(before) => before.checked_add(step).filter(|_| step > 0)?,
            };
            let failures = u32::try_from(take(rest)?).ok().filter(|failures| *failures > 0)?;
            let since = Timestamp(take(rest)?);
            let is_final = flag(rest, FINAL)?;
            notes.failing.push((Offset(head), Failure { failures, since, is_final }));
            before = Some(head);
        }
        Some(notes)
    }
}

fn put(bytes: &mut SmallVec<[u8; 64]>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, others) = rest.split_first()?;
        *rest = others;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << shift;
        // Bits that fall out at the top, or a last byte that adds nothing, were never written.
        if shifted >> shift != bits || (*byte == 0 && shift > 0) {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn flag(rest: &mut &[u8], known: u8) -> Option<bool> {
    let (byte, others) = rest.split_first()?;
    *rest = others;
    (*byte & !known == 0).then_some(*byte == known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn notes() -> impl Strategy<Value = Notes> {
        let failure =
            (1..=u32::MAX, any::<u64>(), any::<bool>()).prop_map(|(failures, at, last)| Failure {
                failures,
                since: Timestamp(at),
                is_final: last,
            });
        let failing = prop::collection::btree_map(any::<u64>().prop_map(Offset), failure, 0..120);
        let numbers = (any::<u32>(), any::<u32>(), any::<bool>(), any::<u64>(), any::<u64>());
        (numbers, failing).prop_map(|((circuit_tries, unclean, own, lost, at), failing)| Notes {
            circuit_tries,
            unclean,
            is_own_mark: own,
            lost,
            aged_from: Timestamp(at),
            failing: failing.into_iter().collect(),
        })
    }

    proptest! {
        #[test]
        fn notes_come_back_as_many_as_find_room_oldest_first(notes in notes()) {
            let memo = notes.encode_as(&mut Memo::default());
            prop_assert!(memo.0.len() <= Memo::LEN_MAX);
            let mut back = Notes::decode(&memo).expect("it was encoded");
            let kept = back.failing.len();
            // The largest entry takes 26 bytes, the head at most 32.
            prop_assert!(kept == notes.failing.len() || kept >= (Memo::LEN_MAX - 32) / 26 - 1);
            prop_assert_eq!(&back.failing[..], &notes.failing[..kept]);
            back.failing = notes.failing.clone();
            prop_assert_eq!(back, notes);
        }

        #[test]
        fn garbage_is_refused_or_means_what_it_says(mut bytes: Vec<u8>, good in notes(), cut: u8) {
            let _ = Notes::decode(&Memo(bytes.clone().into()));
            bytes.insert(0, VERSION);
            if let Ok(notes) = Notes::decode(&Memo(bytes.clone().into())) {
                prop_assert_eq!(&notes.encode()[..], &bytes[..], "one meaning has one form");
            }
            let mut cut_short = good.encode().to_vec();
            cut_short.truncate(cut_short.len().saturating_sub(usize::from(cut)));
            let _ = Notes::decode(&Memo(cut_short.into()));
        }
    }

    #[test]
    fn a_memo_from_the_future_is_named_as_such() {
        let memo = Memo(vec![9, 1, 2].into());
        assert_eq!(Notes::decode(&memo), Err(MemoError::Version(9)));
        assert_eq!(Notes::decode(&Memo(vec![1].into())), Err(MemoError::Malformed));
        assert_eq!(Notes::decode(&Memo::default()), Ok(Notes::default()));
    }

    #[test]
    fn the_same_notes_are_the_same_memo_and_others_are_not() {
        let mut last = Memo::default();
        let notes = Notes { lost: 7, ..Notes::default() };
        let (one, again) = (notes.encode_as(&mut last), notes.encode_as(&mut last));
        assert_eq!(one.0.as_ptr(), again.0.as_ptr());
        let other = Notes { lost: 8, ..notes };
        assert_eq!(Notes::decode(&other.encode_as(&mut last)), Ok(other));
    }

    /// Stored bytes: this form is opened for ever.
    #[test]
    fn the_first_version_reads_as_it_was_written() {
        let stored = [1, 1, 2, 3, 200, 1, 0, 5, 4, 232, 7, 0, 1, 1, 128, 8, 1];
        let failure =
            |failures, since, is_final| Failure { failures, since: Timestamp(since), is_final };
        let notes = Notes {
            circuit_tries: 2,
            unclean: 3,
            is_own_mark: true,
            lost: 200,
            aged_from: Timestamp(0),
            failing: vec![
                (Offset(5), failure(4, 1_000, false)),
                (Offset(6), failure(1, 1_024, true)),
            ],
        };
        assert_eq!(Notes::decode(&Memo(stored.to_vec().into())), Ok(notes.clone()));
        assert_eq!(notes.encode().to_vec(), stored);
    }
}
