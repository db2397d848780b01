//! Records of one partition as they lie in an entry: a header, attributes, a compact index, the records'
//! bytes in one piece, which a reader gets without a copy, and a checksum of its own, so that nobody reads
//! a frame for one block of it. Never an offset that was not given.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)
)]

use bytes::Bytes;
use std::sync::Arc;

use log_contract::{
    Attributes, Entry, Offset, PartitionId, PartitionRef, RecordBatch, Timestamp, TopicId,
    route::Route,
};

use crate::{
    crc,
    wire::{Malformed, Take, len_u32, put_string, put_u32, put_u64, put_varint, unzigzag, zigzag},
};

/// From this part of what would be kept with them on, records share its memory.
const SHARED_FROM: usize = 4;
const CUT: &str = "a record block is cut off";
/// Of the checksum at a block's end.
const CHECK_LEN: usize = 4;
/// From this length on, two checksums are joined faster than the bytes are gone through again.
const JOINED_FROM: usize = 1 << 10;

/// Neighbouring records of one partition, stamped alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    pub(crate) partition: PartitionRef,
    /// Of the first record; the others follow without a hole.
    pub(crate) base: Offset,
    pub(crate) count: u32,
    pub(crate) appended_at: Timestamp,
    attributes: &'a [u8],
    index: &'a [u8],
    /// Keys, values and headers.
    pub(crate) bytes: &'a [u8],
    /// All of it but its checksum.
    covered: &'a [u8],
    check: u32,
}

/// What a reader wants of a block at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub(crate) from: Offset,
    pub(crate) records_max: usize,
    pub(crate) bytes_max: usize,
    /// The first record of a page comes even if it is larger.
    pub(crate) is_first: bool,
}

impl<'a> Block<'a> {
    pub(crate) fn take(take: &mut Take<'a>) -> Result<Self, Malformed> {
        let begin = *take;
        let partition = PartitionRef::new(TopicId(take.u64(CUT)?), PartitionId(take.u32(CUT)?));
        let count = take.u32(CUT)?;
        let base = Offset(take.u64(CUT)?);
        let appended_at = Timestamp(take.u64(CUT)?);
        let (attributes, index, bytes) = (take.len(CUT)?, take.len(CUT)?, take.len(CUT)?);
        if count == 0 || base.0.checked_add(u64::from(count)).is_none() {
            return Err(Malformed("a record block has no records or an impossible offset"));
        }
        let attributes = take.bytes(attributes, CUT)?;
        let (index, bytes) = (take.bytes(index, CUT)?, take.bytes(bytes, CUT)?);
        let covered = begin.clone().bytes(begin.left() - take.left(), CUT)?;
        let check = take.u32(CUT)?;
        Ok(Self { partition, base, count, appended_at, attributes, index, bytes, covered, check })
    }

    /// Whether it is what was written at this position of the body of the frame that the mask is of.
    pub(crate) fn is_whole(&self, mask: u32, at: u32) -> bool {
        crc32c::crc32c(self.covered) ^ mask ^ at == self.check
    }

    pub(crate) fn end(&self) -> Offset {
        Offset(self.base.0.saturating_add(u64::from(self.count)))
    }

    /// The records that are wanted, as a batch that shares `piece` (which this block must lie in) unless
    /// they are a small part of the `kept` bytes of memory that stay as long as the piece does.
    /// `None`: not even one fits.
    pub(crate) fn decode(
        &self,
        piece: &Bytes,
        kept: usize,
        want: Want,
    ) -> Result<Option<RecordBatch>, Malformed> {
        let mut index = Take::new(self.index);
        let mut timestamp = self.appended_at.0;
        let (mut begin, mut at) = (0_usize, 0_usize);
        let mut entries = Vec::with_capacity(want.records_max.min(self.count as usize));
        for nth in 0..self.count {
            let record = Packed::take(&mut index)?;
            let offset = Offset(self.base.0.saturating_add(u64::from(nth)));
            timestamp = timestamp.wrapping_add_signed(record.delta);
            let end = at.checked_add(record.len()?).ok_or(Malformed(CUT))?;
            if offset < want.from {
                (begin, at) = (end, end);
                continue;
            }
            let is_over = entries.len() >= want.records_max || end - begin > want.bytes_max;
            if is_over && !(entries.is_empty() && want.is_first) {
                break;
            }
            entries.push(Entry {
                offset,
                timestamp: Timestamp(timestamp),
                appended_at: self.appended_at,
                start: u32::try_from(at - begin).map_err(|_| Malformed(CUT))?,
                key_len: record.key_len,
                value_len: record.value_len,
            });
            at = end;
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let bytes = self.bytes.get(begin..at).ok_or(Malformed(CUT))?;
        let is_small = bytes.len() < kept / SHARED_FROM;
        let bytes = if is_small { Bytes::copy_from_slice(bytes) } else { piece.slice_ref(bytes) };
        let batch = RecordBatch::from_parts(entries, bytes, self.attributes()?);
        batch.map(Some).map_err(|_| Malformed("a record does not lie in its block"))
    }

    /// Bytes of the records before `before`.
    pub(crate) fn bytes_before(&self, before: Offset) -> Result<u64, Malformed> {
        let mut index = Take::new(self.index);
        let mut bytes = 0;
        for nth in 0..self.count {
            if self.base.0.saturating_add(u64::from(nth)) >= before.0 {
                break;
            }
            bytes += Packed::take(&mut index)?.len()? as u64;
        }
        Ok(bytes)
    }

    fn attributes(&self) -> Result<Option<Arc<Attributes>>, Malformed> {
        if self.attributes.is_empty() {
            return Ok(None);
        }
        let mut take = Take::new(self.attributes);
        let what = "the attributes of a record block are malformed";
        let attributes = Attributes {
            trigger: take.text(what)?.into(),
            function: take.text(what)?.into(),
            version: take.u32(what)?,
            invocation: take.text(what)?.into(),
            hops: take.u32(what)?,
        };
        take.end(what)?;
        Ok(Some(Arc::new(attributes)))
    }
}

/// What makes a block's checksum that of its frame: the same block of another frame does not fit. Nor does
/// one of another position in its frame, which goes into the checksum beside this: the frame's own checksum
/// would not notice two that change places, as bytes with their CRC behind them always add the same to it.
pub(crate) fn mask(salt: u64, frame: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &frame.to_le_bytes())
}

/// Writes the checksum of a block, which begins `at` this position of its frame's body, at its end. Gives the
/// checksum `before` of what lies in front of the block, with the block.
pub(crate) fn seal(block: &mut [u8], mask: u32, at: u32, before: u32) -> u32 {
    let Some((covered, check)) = block.split_last_chunk_mut::<CHECK_LEN>() else { return before };
    let own = crc32c::crc32c(covered);
    *check = (own ^ mask ^ at).to_le_bytes();
    let with_covered = if covered.len() < JOINED_FROM {
        crc32c::crc32c_append(before, covered)
    } else {
        crc::combine(before, own, covered.len())
    };
    crc32c::crc32c_append(with_covered, check)
}

/// One record in the index: time against the record before, lengths plus one (0 = absent).
struct Packed {
    delta: i64,
    key_len: u32,
    value_len: u32,
    headers_len: u32,
}

impl Packed {
    #[inline]
    fn take(index: &mut Take<'_>) -> Result<Self, Malformed> {
        const WHAT: &str = "the index of a record block is malformed";
        let delta = unzigzag(index.varint(WHAT)?);
        let mut len = |absent: u64| match index.varint(WHAT)?.checked_sub(absent) {
            None => Ok(Entry::ABSENT),
            Some(len) => match u32::try_from(len) {
                Ok(len) if len != Entry::ABSENT => Ok(len),
                _ => Err(Malformed(WHAT)),
            },
        };
        Ok(Self { delta, key_len: len(1)?, value_len: len(1)?, headers_len: len(0)? })
    }

    fn len(&self) -> Result<usize, Malformed> {
        let len = |len: u32| if len == Entry::ABSENT { 0 } else { u64::from(len) };
        let all = len(self.key_len) + len(self.value_len) + u64::from(self.headers_len);
        usize::try_from(all).map_err(|_| Malformed(CUT))
    }
}

/// Writes records of one partition, with room for the checksum that [`seal`] writes. All `routes` are of
/// that partition and hold records.
pub(crate) fn put(
    into: &mut Vec<u8>,
    partition: PartitionRef,
    base: Offset,
    appended_at: Timestamp,
    attributes: Option<&Attributes>,
    routes: &[Route<'_>],
) {
    let count: usize = routes.iter().map(|route| route.end - route.start).sum();
    put_u64(into, partition.topic.0);
    put_u32(into, partition.partition.0);
    put_u32(into, len_u32(count));
    put_u64(into, base.0);
    put_u64(into, appended_at.0);
    let lengths_at = into.len();
    into.extend_from_slice(&[0; 12]);

    let attributes_at = into.len();
    if let Some(Attributes { trigger, function, version, invocation, hops }) = attributes {
        put_string(into, trigger.as_bytes());
        put_string(into, function.as_bytes());
        put_u32(into, *version);
        put_string(into, invocation.as_bytes());
        put_u32(into, *hops);
    }
    let index_at = into.len();
    let mut before = appended_at.0;
    for route in routes {
        put_index(into, route, &mut before);
    }
    let bytes_at = into.len();
    for route in routes {
        let (start, end) = (start_of(route.batch, route.start), start_of(route.batch, route.end));
        into.extend_from_slice(route.batch.buffer().get(start..end).unwrap_or_default());
    }
    let lengths = [index_at - attributes_at, bytes_at - index_at, into.len() - bytes_at];
    let room = into.get_mut(lengths_at..lengths_at + 12).unwrap_or_default();
    for (room, len) in room.chunks_exact_mut(4).zip(lengths) {
        room.copy_from_slice(&len_u32(len).to_le_bytes());
    }
    into.extend_from_slice(&[0; CHECK_LEN]);
}

fn put_index(into: &mut Vec<u8>, route: &Route<'_>, before: &mut u64) {
    let entries = route.batch.entries().get(route.range()).unwrap_or_default();
    let last_end = start_of(route.batch, route.end);
    for (nth, entry) in entries.iter().enumerate() {
        let end = entries.get(nth + 1).map_or(last_end, |next| next.start as usize);
        let len = |len: u32| if len == Entry::ABSENT { 0 } else { u64::from(len) };
        let whole = (end - entry.start as usize) as u64;
        let plus_one = |len: u32| if len == Entry::ABSENT { 0 } else { u64::from(len) + 1 };
        put_varint(into, zigzag(entry.timestamp.0.wrapping_sub(*before).cast_signed()));
        put_varint(into, plus_one(entry.key_len));
        put_varint(into, plus_one(entry.value_len));
        put_varint(into, whole - len(entry.key_len) - len(entry.value_len));
        *before = entry.timestamp.0;
    }
}

fn start_of(batch: &RecordBatch, at: usize) -> usize {
    batch.entries().get(at).map_or(batch.buffer().len(), |entry| entry.start as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_contract::{BatchBuilder, HeadersBuf};
    use proptest::prelude::*;

    type Given = (u64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..40)
    }

    fn record() -> impl Strategy<Value = Given> {
        let headers = prop::collection::vec((".{0,5}", bytes()), 0..3);
        (any::<u64>(), prop::option::of(bytes()), prop::option::of(bytes()), headers)
    }

    fn batch_of(records: &[Given], attributes: Option<Arc<Attributes>>) -> RecordBatch {
        let mut batch = BatchBuilder::default();
        for (timestamp, key, value, headers) in records {
            let mut buf = HeadersBuf::default();
            for (name, value) in headers {
                buf.push(name, value);
            }
            let time = Timestamp(*timestamp);
            batch.push_new(time, key.as_deref(), value.as_deref(), buf.as_headers());
        }
        if let Some(attributes) = attributes {
            batch.set_attributes(attributes);
        }
        batch.build()
    }

    fn attributes() -> Attributes {
        Attributes {
            trigger: "t".into(),
            function: "f".into(),
            version: 3,
            invocation: "i-1".into(),
            hops: 2,
        }
    }

    fn encoded(batch: &RecordBatch, range: std::ops::Range<usize>) -> Bytes {
        let partition = PartitionRef::new(TopicId(5), PartitionId(1));
        let (start, end) = (range.start, range.end);
        let route = Route { partition: PartitionId(1), batch, start, end };
        let mut body = Vec::new();
        let attributes = batch.attributes().map(|attributes| &**attributes);
        put(&mut body, partition, Offset(100), Timestamp(1_000), attributes, &[route]);
        body.into()
    }

    const ALL: Want =
        Want { from: Offset(0), records_max: 1_000, bytes_max: usize::MAX, is_first: true };

    proptest! {
        #[test]
        fn records_come_back_as_they_were(
            records in prop::collection::vec(record(), 1..20), has_attributes: bool,
            cuts in any::<[prop::sample::Index; 2]>(), skip in 0..20_u64,
        ) {
            let given = batch_of(&records, has_attributes.then(|| Arc::new(attributes())));
            let cuts = cuts.map(|cut| cut.index(given.len()));
            let range = cuts[0].min(cuts[1])..cuts[0].max(cuts[1]) + 1;
            let body = encoded(&given, range.clone());
            let mut take = Take::new(&body);
            let block = Block::take(&mut take).expect("whole");
            prop_assert!(take.is_done());
            let want = Want { from: Offset(100 + skip), ..ALL };
            let back = block.decode(&body, body.len(), want).expect("whole");
            let expected: Vec<_> = range.clone().skip(skip as usize).collect();
            prop_assert_eq!(back.as_ref().map_or(0, RecordBatch::len), expected.len());
            let before = range.start..range.len().min(skip as usize) + range.start;
            let skipped = block.bytes_before(Offset(100 + skip)).expect("whole");
            prop_assert_eq!(skipped, given.bytes(before) as u64);
            for (record, at) in back.iter().flat_map(RecordBatch::records).zip(expected) {
                let was = given.record(at);
                prop_assert_eq!(record.offset.0, 100 + (at - range.start) as u64);
                prop_assert_eq!(record.appended_at, Timestamp(1_000));
                let known = (was.timestamp, was.key, was.value, was.headers);
                prop_assert_eq!((record.timestamp, record.key, record.value, record.headers), known);
            }
            if let Some(back) = back {
                prop_assert_eq!(back.attributes(), given.attributes());
            }
        }

        #[test]
        fn a_block_is_whole_in_its_frame_and_with_no_bit_flipped(
            records in prop::collection::vec(record(), 1..20), salt: u64, frame: u64,
            before in prop::collection::vec(any::<u8>(), 0..9), pad in 0..2_000_usize,
            at: prop::sample::Index, bit in 0..8_u8,
        ) {
            let long: Given = (0, None, Some(vec![7; pad]), Vec::new());
            let records: Vec<Given> = records.into_iter().chain([long]).collect();
            let mut body = encoded(&batch_of(&records, None), 0..records.len()).to_vec();
            let mask_of = mask(salt, frame);
            let crc = seal(&mut body, mask_of, 7, crc32c::crc32c(&before));
            prop_assert_eq!(crc, crc32c::crc32c(&[&before[..], &body[..]].concat()));
            let is_whole_at = |body: &[u8], mask, at| {
                Block::take(&mut Take::new(body)).is_ok_and(|block| block.is_whole(mask, at))
            };
            let is_whole = |body: &[u8], mask| is_whole_at(body, mask, 7);
            prop_assert!(is_whole(&body, mask_of));
            prop_assert!(!is_whole_at(&body, mask_of, 8));
            prop_assert!(!is_whole(&body, mask(salt, frame.wrapping_add(1))));
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
            prop_assert!(!is_whole(&body, mask_of));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(
            records in prop::collection::vec(record(), 1..4), at: prop::sample::Index, with: u8,
            cut: prop::sample::Index,
        ) {
            let mut body = encoded(&batch_of(&records, None), 0..records.len()).to_vec();
            let at = at.index(body.len());
            body[at] = with;
            body.truncate(cut.index(body.len()) + 1);
            let body = Bytes::from(body);
            if let Ok(block) = Block::take(&mut Take::new(&body)) {
                let _ = block.decode(&body, body.len(), ALL);
                let _ = block.bytes_before(Offset(u64::MAX));
            }
        }
    }

    #[test]
    fn a_budget_cuts_a_block_but_not_its_first_record() {
        let records: Vec<Given> = (0..5).map(|_| (0, None, Some(vec![1; 10]), vec![])).collect();
        let body = encoded(&batch_of(&records, None), 0..5);
        let block = Block::take(&mut Take::new(&body)).expect("whole");
        let decode = |want| block.decode(&body, body.len(), want).expect("whole");
        let len = |want| decode(want).map_or(0, |batch| batch.len());
        assert_eq!(len(Want { records_max: 2, ..ALL }), 2);
        assert_eq!(len(Want { bytes_max: 29, ..ALL }), 2);
        assert_eq!(len(Want { bytes_max: 1, ..ALL }), 1);
        assert_eq!(len(Want { bytes_max: 1, is_first: false, ..ALL }), 0);
        assert_eq!(len(Want { from: Offset(105), ..ALL }), 0);
    }
}
