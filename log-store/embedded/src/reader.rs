//! Reading: which frames hold what was asked for, out of the ring or off the disk, each checked before
//! anything of it is given. Never a change.
use bytes::Bytes;
use std::ops::Range;

use log_contract::{
    LogUnavailable, Offset, PartitionRef, ReadBudget, ReadError, ReadPage, RecordBatch,
};

use crate::{
    aligned::blocks_around,
    block::{Block, Want},
    entry::{Entries, Entry},
    frame,
    journal::Segment,
    plan::RETRY_AFTER,
    shared::Shared,
    state::{BatchAt, Place, State},
    wire::Malformed,
};

/// What there is for a read.
pub(crate) enum Look {
    /// Nothing yet.
    Idle {
        end: Offset,
    },
    There(There),
}

/// Frames that hold what was asked for.
pub(crate) struct There {
    partition: PartitionRef,
    from: Offset,
    batches: Vec<BatchAt>,
    end: Offset,
}

pub(crate) fn look(
    state: &State,
    partition: PartitionRef,
    from: Offset,
    budget: ReadBudget,
) -> Result<Look, ReadError> {
    let there = state.partition(partition).ok_or(ReadError::NoPartition(partition))?;
    let (start, end) = (there.start, there.end);
    if from < start {
        return Err(ReadError::Trimmed { start });
    }
    if from >= end || budget.records_max == 0 {
        return Ok(Look::Idle { end });
    }
    let (mut records, mut bytes) = (0, 0);
    let mut batches = Vec::new();
    for batch in there.from(from) {
        batches.push(*batch);
        let first = from.0.max(batch.base.0);
        records += usize::try_from(batch.end().0 - first).unwrap_or(usize::MAX);
        // Of a batch that is begun in its middle nobody knows the bytes yet.
        bytes += if first == batch.base.0 { batch.bytes } else { 0 };
        if records >= budget.records_max || bytes > budget.bytes_max as u64 {
            break;
        }
    }
    Ok(Look::There(There { partition, from, batches, end }))
}

impl There {
    /// The frames' bodies, if no file must be read for any.
    pub(crate) fn in_memory(&self, shared: &Shared) -> Option<Vec<Bytes>> {
        self.batches.iter().map(|batch| in_memory(shared, batch.place)).collect()
    }

    /// `bodies`: of as many frames as memory gave; those of the others are read.
    pub(crate) fn page(
        &self,
        shared: &Shared,
        budget: ReadBudget,
        bodies: Vec<Bytes>,
    ) -> Result<ReadPage, ReadError> {
        let mut bodies = bodies.into_iter();
        let mut page = ReadPage { batches: Vec::new(), next: self.from, end: self.end };
        let (mut records, mut bytes) = (budget.records_max, budget.bytes_max);
        for batch in &self.batches {
            let body = bodies.next().map_or_else(|| body_at(shared, batch.place), Ok)?;
            let damaged = |why: Malformed| damaged(shared, batch.place, why.0);
            for block in blocks(&body, batch, self.partition) {
                let block = block.map_err(damaged)?;
                if block.end() <= page.next {
                    continue;
                }
                let is_first = page.batches.is_empty();
                let want =
                    Want { from: page.next, records_max: records, bytes_max: bytes, is_first };
                let Some(found) = block.decode(&body, want).map_err(damaged)? else {
                    return Ok(page);
                };
                records -= found.len();
                bytes = bytes.saturating_sub(found.bytes(0..found.len()));
                page.next = next_of(&found);
                let is_whole = page.next == block.end();
                page.batches.push(found);
                if !is_whole {
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }
}

fn next_of(batch: &RecordBatch) -> Offset {
    let last = batch.entries().last().map_or(Offset(0), |entry| entry.offset);
    Offset(last.0 + 1)
}

/// The blocks that hold the records of `batch`, in order.
fn blocks<'a>(
    body: &'a Bytes,
    batch: &'a BatchAt,
    partition: PartitionRef,
) -> impl Iterator<Item = Result<Block<'a>, Malformed>> {
    let entries = Entries::from(body, batch.entry as usize);
    let (mut blocks, mut entries, mut left) = (None, entries, batch.count);
    std::iter::from_fn(move || {
        while left > 0 {
            if let Some(block) = blocks.as_mut().and_then(Iterator::next) {
                match block {
                    Ok(Block { partition: of, base, count, .. })
                        if of == partition && batch.base <= base && base < batch.end() =>
                    {
                        left = left.saturating_sub(count);
                    }
                    Ok(_) => continue,
                    Err(_) => left = 0,
                }
                return Some(block);
            }
            blocks = match entries.next() {
                Some(Ok((_, Entry::Appended(blocks)))) => Some(blocks),
                Some(Ok((_, Entry::Settled(settled)))) => Some(settled.outputs),
                Some(Ok(_)) => None,
                Some(Err(why)) => {
                    left = 0;
                    return Some(Err(why));
                }
                None => {
                    left = 0;
                    return Some(Err(Malformed(
                        "records are not in the frame that should hold them",
                    )));
                }
            };
        }
        None
    })
}

/// Bytes of the records before `before` in the batch that holds it: what a trim cuts off a batch.
pub(crate) fn bytes_skipped(
    shared: &Shared,
    partition: PartitionRef,
    batch: &BatchAt,
    before: Offset,
) -> Result<u64, ReadError> {
    let body = body_at(shared, batch.place)?;
    let mut bytes = 0;
    for block in blocks(&body, batch, partition) {
        let before = block.and_then(|block| block.bytes_before(before));
        bytes += before.map_err(|why| damaged(shared, batch.place, why.0))?;
    }
    Ok(bytes)
}

fn in_memory(shared: &Shared, place: Place) -> Option<Bytes> {
    shared.tail.get(place.frame).or_else(|| shared.cold.get(place.frame))
}

/// A frame's body: shared memory, or read and checked.
fn body_at(shared: &Shared, place: Place) -> Result<Bytes, ReadError> {
    if let Some(body) = in_memory(shared, place) {
        return Ok(body);
    }
    let away =
        |why: String| ReadError::from(LogUnavailable::Away { why, retry_after: RETRY_AFTER });
    let segment = shared.files.get(place.segment).map_err(|error| away(error.to_string()))?;
    if place.len < COLD_FROM {
        let mut frame = vec![0; place.len as usize];
        let read = segment.file.read_at(u64::from(place.at), &mut frame);
        read.map_err(|error| damaged(shared, place, &error.to_string()))?;
        let body = checked(shared, place, &segment, &frame)?;
        return Ok(Bytes::from(frame).slice(body));
    }
    shared.cold.body(place.frame, || {
        let blocks = blocks_around(u64::from(place.at), u64::from(place.len), segment.capacity);
        let len = (blocks.end - blocks.start) as usize;
        let mut buf = shared.cold.buffer(len);
        let into = buf.bytes_mut().get_mut(..len).unwrap_or_default();
        let read = segment.file.read_at(blocks.start, into);
        read.map_err(|error| damaged(shared, place, &error.to_string()))?;
        let begin = (u64::from(place.at) - blocks.start) as usize;
        let frame = into.get(begin..begin + place.len as usize).unwrap_or_default();
        let body = checked(shared, place, &segment, frame)?;
        Ok(shared.cold.frame(buf, begin + body.start..begin + body.end))
    })
}

/// Where the body lies in a frame that is what it should be.
fn checked(
    shared: &Shared,
    place: Place,
    segment: &Segment,
    frame: &[u8],
) -> Result<Range<usize>, ReadError> {
    let header = frame::check(frame, segment.salt).map_err(|why| damaged(shared, place, why.0))?;
    if header.number != place.frame || header.segment != place.segment {
        return Err(damaged(shared, place, "another frame lies there"));
    }
    Ok(frame::HEADER_LEN..frame::HEADER_LEN + header.len as usize)
}

/// Smaller frames come through the page cache: the system reads ahead what follows them.
const COLD_FROM: u32 = 64 << 10;

fn damaged(shared: &Shared, place: Place, why: &str) -> ReadError {
    let path = shared.files.path(place.segment);
    ReadError::Damaged(format!(
        "frame {} at `{}`:{} is damaged: {why}",
        place.frame,
        path.display(),
        place.at
    ))
}
