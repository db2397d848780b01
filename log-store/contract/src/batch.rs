//! Records that travel together: one shared buffer and an index over it. Cloning shares; a record is a
//! borrowed view. Never a copy, an allocation or a call per record beyond the one push that built it.
use crate::{Offset, Timestamp, headers::Headers, position::PartitionId};
use bytes::Bytes;
use std::{fmt, ops::Range, sync::Arc};

/// Immutable once built. What holds it pins the whole buffer, so memory is counted by batch.
#[derive(Clone)]
pub struct RecordBatch(Arc<Inner>);

struct Inner {
    index: Vec<Entry>,
    bytes: Bytes,
    attributes: Option<Arc<Attributes>>,
}

/// Where one record lies in its batch's buffer: key, value, headers, one after another; the record
/// ends where the next begins. For codecs; everybody else asks [`RecordBatch::record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub offset: Offset,
    /// The producer's time.
    pub timestamp: Timestamp,
    /// The log's time.
    pub appended_at: Timestamp,
    /// Where the key begins.
    pub start: u32,
    /// [`Entry::ABSENT`] tells a record without a key from one whose key is empty.
    pub key_len: u32,
    /// [`Entry::ABSENT`] is a tombstone.
    pub value_len: u32,
}

impl Entry {
    pub const ABSENT: u32 = u32::MAX;
}

/// What holds for all records of a batch that a function made: shown as headers when read, stored once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub trigger: Arc<str>,
    pub function: Arc<str>,
    pub version: u32,
    pub invocation: Arc<str>,
    /// How many functions the data has passed: against loops.
    pub hops: u32,
}

/// A borrowed view of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    /// The producer's time.
    pub timestamp: Timestamp,
    /// The log's: never goes back within a partition. Age, lag and `offset_at` use it.
    pub appended_at: Timestamp,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// Parts that do not make a batch. Whoever decodes bytes from outside names the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {at} of a batch does not lie in its buffer or is out of order")]
pub struct MalformedBatch {
    pub at: usize,
}

impl RecordBatch {
    /// For decoders: checks every entry against the buffer, the order of offsets and times, and the
    /// headers' shape.
    ///
    /// # Errors
    /// The first entry that is wrong.
    pub fn from_parts(
        index: Vec<Entry>,
        bytes: Bytes,
        attributes: Option<Arc<Attributes>>,
    ) -> Result<Self, MalformedBatch> {
        let mut before: Option<&Entry> = None;
        for (at, entry) in index.iter().enumerate() {
            let end = index.get(at + 1).map_or(bytes.len(), |next| next.start as usize);
            let body = entry.start as usize + len_of(entry.key_len) + len_of(entry.value_len);
            let is_ordered = before.is_none_or(|before| {
                before.offset < entry.offset && before.appended_at <= entry.appended_at
            });
            let is_inside = body <= end && end <= bytes.len() && (at > 0 || entry.start == 0);
            if !is_ordered || !is_inside || !Headers::is_wellformed(&bytes[body..end]) {
                return Err(MalformedBatch { at });
            }
            before = Some(entry);
        }
        Ok(Self(Arc::new(Inner { index, bytes, attributes })))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.index.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.index.is_empty()
    }

    /// The record at this index (not offset). Panics outside `0..len`.
    #[must_use]
    pub fn record(&self, at: usize) -> Record<'_> {
        let entry = &self.0.index[at];
        let whole = &self.0.bytes[entry.start as usize..self.start_of(at + 1)];
        let (key, rest) = whole.split_at(len_of(entry.key_len));
        let (value, headers) = rest.split_at(len_of(entry.value_len));
        Record {
            offset: entry.offset,
            timestamp: entry.timestamp,
            appended_at: entry.appended_at,
            key: (entry.key_len != Entry::ABSENT).then_some(key),
            value: (entry.value_len != Entry::ABSENT).then_some(value),
            headers: Headers::of_wellformed(headers),
        }
    }

    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|at| self.record(at))
    }

    #[must_use]
    pub fn offset(&self, at: usize) -> Offset {
        self.0.index[at].offset
    }

    #[must_use]
    pub fn appended_at(&self, at: usize) -> Timestamp {
        self.0.index[at].appended_at
    }

    /// `None` for a record without a key: such records are in no order.
    #[inline]
    #[must_use]
    pub fn key_hash(&self, at: usize) -> Option<KeyHash> {
        let entry = &self.0.index[at];
        let start = entry.start as usize;
        (entry.key_len != Entry::ABSENT)
            .then(|| KeyHash::of(&self.0.bytes[start..start + entry.key_len as usize]))
    }

    /// Keys, values and headers of a run of records, in constant time.
    #[inline]
    #[must_use]
    pub fn bytes(&self, run: Range<usize>) -> usize {
        self.start_of(run.end) - self.start_of(run.start)
    }

    /// First record of `run` for which `is_later` holds; it must hold for all that follow.
    pub fn partition_point(&self, run: Range<usize>, is_later: impl Fn(usize) -> bool) -> usize {
        let (mut low, mut high) = (run.start, run.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_later(middle) { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// Some of its records as a batch of their own that shares the buffer. Panics outside `0..len`.
    #[must_use]
    pub fn slice(&self, run: Range<usize>) -> Self {
        let start = self.start_of(run.start);
        let bytes = self.0.bytes.slice(start..self.start_of(run.end));
        let mut index = self.0.index[run].to_vec();
        for entry in &mut index {
            entry.start -= u32::try_from(start).expect("a batch is under 4 GiB");
        }
        let attributes = self.0.attributes.clone();
        Self(Arc::new(Inner { index, bytes, attributes }))
    }

    #[must_use]
    pub fn attributes(&self) -> Option<&Arc<Attributes>> {
        self.0.attributes.as_ref()
    }

    /// Whether both are the very same batch in memory.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// For codecs: the index.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0.index
    }

    /// For codecs: the buffer that the index speaks of.
    #[must_use]
    pub fn buffer(&self) -> &Bytes {
        &self.0.bytes
    }

    #[inline]
    fn start_of(&self, at: usize) -> usize {
        self.0.index.get(at).map_or(self.0.bytes.len(), |entry| entry.start as usize)
    }
}

fn len_of(len: u32) -> usize {
    if len == Entry::ABSENT { 0 } else { len as usize }
}

impl fmt::Debug for RecordBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offsets = self.0.index.iter().map(|entry| entry.offset.0);
        f.debug_list().entries(offsets).finish()
    }
}

/// Gathers records into one buffer.
#[derive(Default)]
pub struct BatchBuilder {
    index: Vec<Entry>,
    bytes: Vec<u8>,
    attributes: Option<Arc<Attributes>>,
}

impl BatchBuilder {
    #[must_use]
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        Self {
            index: Vec::with_capacity(records),
            bytes: Vec::with_capacity(bytes),
            attributes: None,
        }
    }

    /// Holds for all records of the batch.
    pub fn set_attributes(&mut self, attributes: Arc<Attributes>) {
        self.attributes = Some(attributes);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes of keys, values and headers so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a record. Panics if offsets or `appended_at` go back, or beyond 4 GiB in all: callers have
    /// far lower limits.
    pub fn push(&mut self, record: Record<'_>) {
        let Record { offset, timestamp, appended_at, key, value, headers } = record;
        if let Some(last) = self.index.last() {
            assert!(last.offset < offset, "a batch is in offset order");
            assert!(last.appended_at <= appended_at, "`appended_at` never goes back");
        }
        let len = |bytes: Option<&[u8]>| {
            bytes.map_or(Entry::ABSENT, |bytes| {
                u32::try_from(bytes.len()).expect("a key or value is under 4 GiB")
            })
        };
        let start = u32::try_from(self.bytes.len()).expect("a batch is under 4 GiB");
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.bytes.extend_from_slice(headers.encoded());
        let (key_len, value_len) = (len(key), len(value));
        self.index.push(Entry { offset, timestamp, appended_at, start, key_len, value_len });
    }

    /// Adds a record that lies in no log yet: its offset is its index, its `appended_at` 0.
    pub fn push_new(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) {
        let offset = Offset(self.index.len() as u64);
        let appended_at = Timestamp(0);
        self.push(Record { offset, timestamp, appended_at, key, value, headers });
    }

    #[must_use]
    pub fn build(self) -> RecordBatch {
        let Self { index, bytes, attributes } = self;
        RecordBatch(Arc::new(Inner { index, bytes: bytes.into(), attributes }))
    }
}

impl fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuilder").field("records", &self.index.len()).finish()
    }
}

/// What a producer hands to a log: records whose offsets are their indices, and where they shall go.
#[derive(Clone, Debug)]
pub struct AppendBatch {
    pub records: RecordBatch,
    /// Partitions that the producer chose, as half-open index ranges in ascending order. What no range
    /// covers goes by key ([`crate::partition_of_key`]), or is spread where there is no key.
    pub partitions: Vec<(Range<usize>, PartitionId)>,
}

impl From<RecordBatch> for AppendBatch {
    fn from(records: RecordBatch) -> Self {
        Self { records, partitions: Vec::new() }
    }
}

impl AppendBatch {
    /// The partition that the producer chose for the record at this index.
    #[must_use]
    pub fn partition(&self, at: usize) -> Option<PartitionId> {
        let nth = self.partitions.partition_point(|(range, _)| range.end <= at);
        self.partitions.get(nth).filter(|(range, _)| range.start <= at).map(|(_, to)| *to)
    }
}

/// Stands for a key wherever only order is at stake: two keys that collide merely wait for each
/// other. State is never looked up by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u64);

impl KeyHash {
    #[inline]
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let mut hash = 0x9E37_79B9_7F4A_7C15 ^ key.len() as u64;
        let mut rest = key;
        while rest.len() > 8 {
            let (first, others) = rest.split_at(8);
            hash = fold(hash ^ word(first));
            rest = others;
        }
        // The last word overlaps the one before it, or is short: no copy either way.
        let last = match key.len() {
            len @ 8.. => word(&key[len - 8..]),
            _ => key.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        Self(fold(hash ^ last))
    }
}

fn fold(word: u64) -> u64 {
    let product = u128::from(word) * 0xD6E8_FEB8_6659_FD93;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
pub(crate) mod tests;
