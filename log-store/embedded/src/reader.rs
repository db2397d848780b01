//! Reading: which frames hold what was asked for, out of the ring or off the disk, each checked before
//! anything of it is given. Never a change.
use bytes::Bytes;
use std::ops::Range;

use log_contract::{
    LogUnavailable, Offset, PartitionRef, ReadBudget, ReadError, ReadPage, RecordBatch, Timestamp,
};

use crate::{
    aligned::blocks_around,
    block::{self, Block, Want},
    cold::{Key, Memory},
    entry::{self, RecordBlocks},
    frame,
    options::OpenError,
    plan::RETRY_AFTER,
    shared::Shared,
    state::{BatchAt, Place, Spot, State},
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

/// Batches that hold what was asked for.
pub(crate) struct There {
    partition: PartitionRef,
    from: Offset,
    budget: ReadBudget,
    end: Offset,
    /// `None`: they lie in a segment whose index must be looked at first.
    batches: Option<Vec<BatchAt>>,
}

/// As many batches as fill a budget.
struct Gathered {
    from: Offset,
    budget: ReadBudget,
    batches: Vec<BatchAt>,
    records: usize,
    bytes: u64,
}

impl Gathered {
    fn new(from: Offset, budget: ReadBudget) -> Self {
        Self { from, budget, batches: Vec::new(), records: 0, bytes: 0 }
    }

    /// Takes the next one; whether that is enough.
    fn push(&mut self, batch: BatchAt) -> bool {
        let first = self.from.0.max(batch.base.0);
        let records = usize::try_from(batch.end().0.saturating_sub(first));
        self.records = self.records.saturating_add(records.unwrap_or(usize::MAX));
        // Of a batch that is begun in its middle nobody knows the bytes yet.
        self.bytes += if first == batch.base.0 { u64::from(batch.bytes) } else { 0 };
        self.batches.push(batch);
        self.records >= self.budget.records_max || self.bytes > self.budget.bytes_max as u64
    }
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
    let batches = match there.spot(from) {
        Some(Spot::Open(mut batches, _)) => {
            let mut gathered = Gathered::new(from, budget);
            let _ = batches.any(|batch| gathered.push(*batch));
            Some(gathered.batches)
        }
        _ => None,
    };
    Ok(Look::There(There { partition, from, budget, end, batches }))
}

impl There {
    /// The page, if no file must be read for it.
    pub(crate) fn in_memory(&mut self, shared: &Shared) -> Result<Option<ReadPage>, ReadError> {
        if self.batches.is_none() {
            self.batches = self.gather(shared, false)?;
        }
        let Some(batches) = &self.batches else { return Ok(None) };
        let pieces: Option<Vec<Piece>> = batches.iter().map(|at| in_memory(shared, at)).collect();
        pieces.map(|pieces| self.page(shared, batches, pieces)).transpose()
    }

    /// The page, whatever must be read for it.
    pub(crate) fn read(&self, shared: &Shared) -> Result<ReadPage, ReadError> {
        self.read_there(shared).map_err(|error| {
            // A segment may go between the look at where records lie and the look at them.
            let there = shared.open().ok();
            let start = there.and_then(|state| Some(state.partition(self.partition)?.start));
            match start {
                Some(start) if self.from < start => ReadError::Trimmed { start },
                _ => error,
            }
        })
    }

    fn read_there(&self, shared: &Shared) -> Result<ReadPage, ReadError> {
        if let Some(batches) = &self.batches {
            return self.page(shared, batches, Vec::new());
        }
        let batches = self.gather(shared, true)?.unwrap_or_default();
        self.page(shared, &batches, Vec::new())
    }

    /// Goes over the indexes of as many segments as it takes. `None`: one is not in memory, and no file
    /// may be read.
    fn gather(&self, shared: &Shared, may_read: bool) -> Result<Option<Vec<BatchAt>>, ReadError> {
        let mut gathered = Gathered::new(self.from, self.budget);
        let mut next = self.from;
        loop {
            let run = {
                let state = shared.open()?;
                let there = state.partition(self.partition);
                let there = there.ok_or(ReadError::NoPartition(self.partition))?;
                match there.spot(next) {
                    Some(Spot::Open(mut batches, _)) => {
                        let _ = batches.any(|batch| gathered.push(*batch));
                        return Ok(Some(gathered.batches));
                    }
                    Some(Spot::Sealed(run)) => run,
                    // Trimmed meanwhile, or the end.
                    None if gathered.batches.is_empty() && next < there.start => {
                        return Err(ReadError::Trimmed { start: there.start });
                    }
                    None => return Ok(Some(gathered.batches)),
                }
            };
            let index = match shared.indexes.get(run.segment) {
                Some(index) => index,
                None if !may_read => return Ok(None),
                None => shared.indexes.load(&shared.files, run.segment).map_err(unreadable)?,
            };
            let before = next;
            for batch in index.from(self.partition, before) {
                next = batch.end();
                if gathered.push(batch) {
                    return Ok(Some(gathered.batches));
                }
            }
            if next == before {
                if gathered.batches.is_empty() {
                    return Err(not_in_index(shared, run.segment));
                }
                return Ok(Some(gathered.batches));
            }
        }
    }

    /// `pieces`: of as many batches as memory gave; those of the others are read.
    fn page(
        &self,
        shared: &Shared,
        batches: &[BatchAt],
        pieces: Vec<Piece>,
    ) -> Result<ReadPage, ReadError> {
        let mut pieces = pieces.into_iter();
        let mut page = ReadPage { batches: Vec::new(), next: self.from, end: self.end };
        let (mut records, mut bytes) = (self.budget.records_max, self.budget.bytes_max);
        for batch in batches {
            let piece = pieces.next().map_or_else(|| piece_at(shared, batch), Ok)?;
            let damaged = |why: Malformed| damaged(shared, batch.place, why.0);
            for block in blocks(&piece.bytes, batch, self.partition) {
                let block = block.map_err(damaged)?;
                if block.end() <= page.next {
                    continue;
                }
                let is_first = page.batches.is_empty();
                let want =
                    Want { from: page.next, records_max: records, bytes_max: bytes, is_first };
                let found = block.decode(&piece.bytes, piece.kept, want).map_err(damaged)?;
                let Some(found) = found else { return Ok(page) };
                records -= found.len();
                bytes = bytes.saturating_sub(found.bytes(0..found.len()));
                page.next = next_of(&found);
                // What was appended while indexes were looked at may be in it, too.
                page.end = page.end.max(page.next);
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

/// The blocks that hold the records of `batch`, in order, all of them.
fn blocks<'a>(
    piece: &'a [u8],
    batch: &'a BatchAt,
    partition: PartitionRef,
) -> impl Iterator<Item = Result<Block<'a>, Malformed>> {
    let (mut blocks, mut left) = (RecordBlocks::of(piece), batch.count);
    std::iter::from_fn(move || {
        while left > 0 {
            match blocks.next() {
                Some(Ok(block))
                    if block.partition != partition
                        || block.base < batch.base
                        || block.base >= batch.end() => {}
                Some(Ok(block)) => {
                    left = left.saturating_sub(block.count);
                    return Some(Ok(block));
                }
                other => {
                    left = 0;
                    let missing = Malformed("records are not in the frame that should hold them");
                    return Some(Err(other.and_then(Result::err).unwrap_or(missing)));
                }
            }
        }
        None
    })
}

/// Bytes of all records that the partition ever had before `before`: what a trim to there takes.
pub(crate) fn bytes_before(
    shared: &Shared,
    partition: PartitionRef,
    before: Offset,
) -> Result<u64, ReadError> {
    let found = {
        let state = shared.open()?;
        let there = state.partition(partition).ok_or(ReadError::NoPartition(partition))?;
        match there.spot(before) {
            Some(Spot::Open(mut batches, bytes)) => Ok((batches.next().copied(), bytes)),
            Some(Spot::Sealed(run)) => Err(run),
            // Trimmed meanwhile.
            None => return Ok(there.bytes_before(before).unwrap_or_default()),
        }
    };
    let (batch, bytes) = match found {
        Ok(found) => found,
        Err(run) => {
            let index = shared.indexes.load(&shared.files, run.segment).map_err(unreadable)?;
            let batch = index.from(partition, before).next();
            (Some(batch.ok_or_else(|| not_in_index(shared, run.segment))?), run.bytes_before)
        }
    };
    let Some(batch) = batch else { return Ok(bytes) };
    let mut bytes = bytes + batch.bytes_before;
    if batch.base < before {
        let piece = piece_at(shared, &batch)?;
        for block in blocks(&piece.bytes, &batch, partition) {
            let of_block = block.and_then(|block| block.bytes_before(before));
            bytes += of_block.map_err(|why| damaged(shared, batch.place, why.0))?;
        }
    }
    Ok(bytes)
}

/// The last batch with at most so many bytes of all records that the partition ever had before it.
pub(crate) fn by_bytes(
    shared: &Shared,
    partition: PartitionRef,
    bytes: u64,
) -> Result<Offset, ReadError> {
    let (run, start) = {
        let state = shared.open()?;
        let there = state.partition(partition).ok_or(ReadError::NoPartition(partition))?;
        match there.by_bytes(bytes) {
            Ok(found) => return Ok(found),
            Err(run) => (run, there.start),
        }
    };
    let index = shared.indexes.load(&shared.files, run.segment).map_err(unreadable)?;
    let batch = index.at_bytes(partition, bytes.saturating_sub(run.bytes_before));
    batch.map(|batch| batch.base.max(start)).ok_or_else(|| not_in_index(shared, run.segment))
}

/// The first record that was not stamped before `at`; else the partition's end. `None`: an index must be
/// read to say so, and no file may be.
pub(crate) fn offset_at(
    shared: &Shared,
    partition: PartitionRef,
    at: Timestamp,
    may_read: bool,
) -> Result<Option<Offset>, ReadError> {
    let (run, next, start) = {
        let state = shared.open()?;
        let there = state.partition(partition).ok_or(ReadError::NoPartition(partition))?;
        match there.offset_at(at) {
            Ok(offset) => return Ok(Some(offset)),
            Err((run, next)) => (run, next, there.start),
        }
    };
    let index = match shared.indexes.get(run.segment) {
        Some(index) => index,
        None if !may_read => return Ok(None),
        None => shared.indexes.load(&shared.files, run.segment).map_err(unreadable)?,
    };
    match index.at_time(partition, at) {
        Some(batch) => Ok(Some(batch.base.max(start))),
        // One that was made again ends where its segment is damaged.
        None if index.end(partition) < Some(next) => Err(not_in_index(shared, run.segment)),
        None => Ok(Some(next)),
    }
}

/// The part of a frame's body that holds a batch.
struct Piece {
    bytes: Bytes,
    /// Of memory, that stay as long as the piece does.
    kept: usize,
}

impl Piece {
    /// `None`: the frame is not so long.
    fn of(body: &Bytes, part: Range<usize>) -> Option<Self> {
        let bytes = body.slice_ref(body.get(part)?);
        Some(Self { bytes, kept: body.len() })
    }
}

/// A batch that is a smaller part of its frame is read alone.
const ALONE_BELOW: u32 = 4;
/// Less comes through the page cache: the system reads ahead what follows.
const COLD_FROM: usize = 64 << 10;

fn is_alone(batch: &BatchAt) -> bool {
    batch.end.saturating_sub(batch.begin) < batch.place.len / ALONE_BELOW
}

fn in_memory(shared: &Shared, batch: &BatchAt) -> Option<Piece> {
    if let Some(body) = shared.tail.get(batch.place.frame) {
        return Piece::of(&body, batch.piece());
    }
    if is_alone(batch) {
        let bytes = shared.cold.get(Key::piece(batch))?;
        return Some(Piece { kept: bytes.len(), bytes });
    }
    Piece::of(&shared.cold.get(Key::frame(batch.place))?, batch.piece())
}

/// Shared memory, or read and checked.
fn piece_at(shared: &Shared, batch: &BatchAt) -> Result<Piece, ReadError> {
    let place = batch.place;
    if let Some(piece) = in_memory(shared, batch) {
        return Ok(piece);
    }
    if is_alone(batch) {
        let begin = place.at as usize + frame::HEADER_LEN + batch.begin as usize;
        let part = begin..begin + batch.piece().len();
        let bytes = read(shared, place, Key::piece(batch), part, |salt, piece| {
            entry::are_whole(piece, block::mask(salt, place.frame), batch.begin)?;
            Ok(0..piece.len())
        })?;
        return Ok(Piece { kept: bytes.len(), bytes });
    }
    let part = place.at as usize..place.at as usize + place.len as usize;
    let body = read(shared, place, Key::frame(place), part, |salt, frame| {
        let header = frame::check(frame, salt)?;
        if header.number != place.frame || header.segment != place.segment {
            return Err(Malformed("another frame lies there"));
        }
        Ok(frame::HEADER_LEN..frame::HEADER_LEN + header.len as usize)
    })?;
    let why = "it is shorter than its index says";
    Piece::of(&body, batch.piece()).ok_or_else(|| damaged(shared, place, why))
}

/// A part of a segment's file, of which `check` (with the segment's salt) says which part is of use.
fn read(
    shared: &Shared,
    place: Place,
    key: Key,
    part: Range<usize>,
    check: impl Fn(u64, &[u8]) -> Result<Range<usize>, Malformed>,
) -> Result<Bytes, ReadError> {
    let segment = shared.files.get(place.segment).map_err(unreadable)?;
    let refuse = |why: &dyn ToString| damaged(shared, place, &why.to_string());
    if part.len() < COLD_FROM {
        let mut bytes = vec![0; part.len()];
        segment.file.read_at(part.start as u64, &mut bytes).map_err(|error| refuse(&error))?;
        let used = check(segment.salt, &bytes).map_err(|why| refuse(&why))?;
        return Ok(Bytes::from(bytes).slice(used));
    }
    shared.cold.bytes(key, || {
        let blocks = blocks_around(part.start as u64, part.len() as u64, segment.capacity);
        let len = usize::try_from(blocks.end - blocks.start).map_err(|why| refuse(&why))?;
        let mut buf = shared.cold.buffer(len);
        let into = buf.bytes_mut().get_mut(..len).unwrap_or_default();
        segment.file.read_at(blocks.start, into).map_err(|error| refuse(&error))?;
        let begin = part.start - usize::try_from(blocks.start).map_err(|why| refuse(&why))?;
        let whole = into.get(begin..begin + part.len()).unwrap_or_default();
        let used = check(segment.salt, whole).map_err(|why| refuse(&why))?;
        Ok::<Memory, ReadError>(shared.cold.memory(buf, begin + used.start..begin + used.end))
    })
}

fn unreadable(error: OpenError) -> ReadError {
    match error {
        OpenError::Damaged { .. } => ReadError::Damaged(error.to_string()),
        other => {
            let why = other.to_string();
            LogUnavailable::Away { why, retry_after: RETRY_AFTER }.into()
        }
    }
}

fn not_in_index(shared: &Shared, segment: u64) -> ReadError {
    let path = shared.files.path(segment);
    ReadError::Damaged(format!("records are not in `{}`, which should hold them", path.display()))
}

fn damaged(shared: &Shared, place: Place, why: &str) -> ReadError {
    let path = shared.files.path(place.segment);
    ReadError::Damaged(format!(
        "frame {} at `{}`:{} is damaged: {why}",
        place.frame,
        path.display(),
        place.at
    ))
}
