//! Batches against a plain list of records.
use super::*;
use crate::HeadersBuf;
use proptest::{collection::vec, option, prelude::*};

/// A record as plain values; offset and stamp are steps from the one before.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    step: u64,
    later: u64,
    timestamp: u64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

pub(crate) fn plain() -> impl Strategy<Value = Plain> {
    let bytes = || vec(any::<u8>(), 0..12);
    let headers = vec((".{0,4}", bytes()), 0..3);
    (1..4_u64, 0..3_u64, any::<u64>(), option::of(bytes()), option::of(bytes()), headers).prop_map(
        |(step, later, timestamp, key, value, headers)| Plain {
            step,
            later,
            timestamp,
            key,
            value,
            headers,
        },
    )
}

fn encoded(headers: &[(String, Vec<u8>)]) -> HeadersBuf {
    let mut buf = HeadersBuf::default();
    headers.iter().for_each(|(name, value)| buf.push(name, value));
    buf
}

/// Each with its offset and stamp.
fn placed(plain: &[Plain]) -> Vec<(Offset, Timestamp, &Plain)> {
    let (mut offset, mut stamp) = (10, 100);
    let mut placed = Vec::new();
    for record in plain {
        (offset, stamp) = (offset + record.step, stamp + record.later);
        placed.push((Offset(offset), Timestamp(stamp), record));
    }
    placed
}

pub(crate) fn built(plain: &[Plain]) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for (offset, appended_at, record) in placed(plain) {
        let headers = encoded(&record.headers);
        builder.push(Record {
            offset,
            timestamp: Timestamp(record.timestamp),
            appended_at,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: headers.as_headers(),
        });
    }
    builder.build()
}

fn is_equal(batch: &RecordBatch, plain: &[(Offset, Timestamp, &Plain)]) -> bool {
    let is_same = |(record, (offset, stamp, plain)): (Record<'_>, &(_, _, &Plain))| {
        let headers = encoded(&plain.headers);
        let expected = Record {
            offset: *offset,
            timestamp: Timestamp(plain.timestamp),
            appended_at: *stamp,
            key: plain.key.as_deref(),
            value: plain.value.as_deref(),
            headers: headers.as_headers(),
        };
        record == expected
    };
    batch.len() == plain.len() && batch.records().zip(plain).all(is_same)
}

/// A run of indices below `len`.
fn run(len: usize, ends: (prop::sample::Index, prop::sample::Index)) -> Range<usize> {
    let (a, b) = (ends.0.index(len + 1), ends.1.index(len + 1));
    a.min(b)..a.max(b)
}

proptest! {
    #[test]
    fn a_batch_gives_what_was_pushed(
        plain in vec(plain(), 0..30),
        ends in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let batch = built(&plain);
        let placed = placed(&plain);
        prop_assert!(is_equal(&batch, &placed));
        let run = run(plain.len(), ends);
        let size = |record: &Plain| {
            let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
            let headers = encoded(&record.headers).as_headers().encoded().len();
            len(&record.key) + len(&record.value) + headers
        };
        let bytes: usize = plain[run.clone()].iter().map(size).sum();
        prop_assert_eq!(batch.bytes(run.clone()), bytes);
        prop_assert!(is_equal(&batch.slice(run.clone()), &placed[run]));
        for (at, record) in plain.iter().enumerate() {
            prop_assert_eq!(batch.key_hash(at), record.key.as_deref().map(KeyHash::of));
        }
    }

    #[test]
    fn parts_of_a_batch_make_it_again(
        plain in vec(plain(), 0..20),
        ends in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let whole = built(&plain);
        for batch in [whole.slice(run(plain.len(), ends)), whole] {
            let parts = (batch.entries().to_vec(), batch.buffer().clone());
            let again = RecordBatch::from_parts(parts.0, parts.1, None).expect("it is a batch");
            prop_assert!(batch.records().eq(again.records()));
        }
    }

    /// Whatever a decoder finds: refused, or every record can be looked at.
    #[test]
    fn parts_that_are_no_batch_are_refused(
        plain in vec(plain(), 1..8),
        at in any::<prop::sample::Index>(),
        field in 0..5_u8,
        to in prop_oneof![0..80_u32, Just(Entry::ABSENT), any::<u32>()],
        cut in 0..20_usize,
    ) {
        let batch = built(&plain);
        let mut index = batch.entries().to_vec();
        let entry = at.get(&index);
        let nth = index.iter().position(|other| other == entry).expect("it is one of them");
        let entry = &mut index[nth];
        match field {
            0 => entry.start = to,
            1 => entry.key_len = to,
            2 => entry.value_len = to,
            3 => entry.offset = Offset(u64::from(to)),
            _ => entry.appended_at = Timestamp(u64::from(to)),
        }
        let bytes = batch.buffer().slice(..batch.buffer().len().saturating_sub(cut));
        match RecordBatch::from_parts(index, bytes, None) {
            Ok(batch) => {
                let ordered = |two: &[Entry]| {
                    two[0].offset < two[1].offset && two[0].appended_at <= two[1].appended_at
                };
                prop_assert!(batch.entries().windows(2).all(ordered));
                let sizes = batch.records().map(|record| {
                    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
                    let _ = record.headers.into_iter().count();
                    len(record.key) + len(record.value) + record.headers.encoded().len()
                });
                prop_assert_eq!(sizes.sum::<usize>(), batch.buffer().len());
            }
            Err(MalformedBatch { at }) => prop_assert!(at < batch.len()),
        }
    }

    #[test]
    fn a_point_is_found_as_by_looking_at_each(plain in vec(plain(), 0..30), time in 90..200_u64) {
        let batch = built(&plain);
        let is_later = |at: usize| batch.appended_at(at) >= Timestamp(time);
        let found = batch.partition_point(0..batch.len(), is_later);
        prop_assert_eq!(found, (0..batch.len()).find(|at| is_later(*at)).unwrap_or(batch.len()));
    }

    #[test]
    fn a_chosen_partition_is_that_of_the_range_around_the_record(
        steps in vec((0..4_usize, 0..4_usize, 0..5_u32), 0..8),
    ) {
        let mut end = 0;
        let mut partitions = Vec::new();
        for (gap, len, partition) in steps {
            partitions.push((end + gap..end + gap + len, PartitionId(partition)));
            end += gap + len;
        }
        let batch = AppendBatch { records: BatchBuilder::default().build(), partitions };
        for at in 0..end + 2 {
            let around = batch.partitions.iter().find(|(range, _)| range.contains(&at));
            prop_assert_eq!(batch.partition(at), around.map(|(_, to)| *to));
        }
    }
}
