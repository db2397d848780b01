//! What a frame holds: entries, each behind its length and kind. The fold over all of them is the
//! state. Bytes only; what they do to the state is `state`'s.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)
)]

use bytes::Bytes;
use std::{ops::Range, time::Duration};

use log_contract::{
    CursorName, Generation, Memo, Offset, PartitionId, PartitionRef, Progress, Retention, StateKey,
    StateWrite, TopicId, TopicInfo, TopicName, TopicSpec,
};

use crate::{
    block::{self, Block},
    wire::{Malformed, Take, len_u32, put_string, put_u32, put_u64, put_varint},
};

const CUT: &str = "an entry is cut off";

/// Written numbers: frozen with the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Opened = 1,
    Closed = 2,
    TopicCreated = 3,
    TopicAltered = 4,
    TopicDeleted = 5,
    Appended = 6,
    Settled = 7,
    Trimmed = 8,
    Released = 9,
    CursorDeleted = 10,
    DocumentPut = 11,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Entry<'a> {
    /// The log was opened: all that follows is of this epoch.
    Opened {
        epoch: u64,
    },
    /// The log was closed: no lease ended by a crash.
    Closed,
    TopicCreated(TopicInfo),
    TopicAltered(TopicInfo),
    TopicDeleted(TopicId),
    Appended(Blocks<'a>),
    Settled(Settled<'a>),
    Trimmed {
        partition: PartitionRef,
        before: Offset,
        /// Of all records that the partition ever had before `before`.
        bytes_before: u64,
    },
    /// A lease was given back.
    Released(Seat),
    CursorDeleted(CursorName),
    DocumentPut {
        key: &'a str,
        version: u64,
        value: Option<&'a [u8]>,
    },
}

/// Whom a lease is for: one partition of one source under one cursor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seat {
    pub(crate) cursor: CursorName,
    pub(crate) source: TopicId,
    pub(crate) partition: PartitionId,
}

/// A settlement, whole.
#[derive(Clone, Debug)]
pub(crate) struct Settled<'a> {
    pub(crate) seat: Seat,
    pub(crate) generation: Generation,
    /// Per input, in the lease's order; the first is the source.
    pub(crate) progress: Vec<(TopicId, Progress)>,
    pub(crate) memo: Memo,
    pub(crate) state: Vec<StateWrite>,
    pub(crate) outputs: Blocks<'a>,
}

/// Record blocks up to the end of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Blocks<'a>(Take<'a>);

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_done() {
            return None;
        }
        let block = Block::take(&mut self.0);
        if block.is_err() {
            self.0 = Take::new(&[]);
        }
        Some(block)
    }
}

/// Goes from record block to record block in bytes that are whole entries.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    at: usize,
    entry_end: usize,
}

impl Walk {
    /// The next block, and where it lies.
    fn step<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Result<Option<(Range<usize>, Block<'a>)>, Malformed> {
        let part = |range: Range<usize>| bytes.get(range).ok_or(Malformed(CUT));
        while self.at == self.entry_end {
            if self.at == bytes.len() {
                return Ok(None);
            }
            let mut rest = Take::new(part(self.at..bytes.len())?);
            let mut payload = Take::new(rest.string(CUT)?);
            self.entry_end = bytes.len() - rest.left();
            let kind = payload.u8(CUT)?;
            if kind == Kind::Settled as u8 {
                skip_to_outputs(&mut payload)?;
            } else if kind != Kind::Appended as u8 {
                payload = Take::new(&[]);
            }
            self.at = self.entry_end - payload.left();
        }
        let mut rest = Take::new(part(self.at..self.entry_end)?);
        let block = Block::take(&mut rest)?;
        let begin = self.at;
        self.at = self.entry_end - rest.left();
        Ok(Some((begin..self.at, block)))
    }
}

/// The record blocks in a piece of a frame's body: whole entries, of which nothing else is looked at.
#[derive(Clone, Debug)]
pub(crate) struct RecordBlocks<'a> {
    piece: &'a [u8],
    walk: Walk,
}

impl<'a> RecordBlocks<'a> {
    pub(crate) fn of(piece: &'a [u8]) -> Self {
        Self { piece, walk: Walk::default() }
    }
}

/// Whether all record blocks are whole in a piece that begins `at` this position of a frame's body.
pub(crate) fn are_whole(piece: &[u8], mask: u32, at: u32) -> Result<(), Malformed> {
    let mut walk = Walk::default();
    while let Some((range, block)) = walk.step(piece)? {
        let begin = u32::try_from(range.start).ok().and_then(|begin| begin.checked_add(at));
        if !begin.is_some_and(|begin| block.is_whole(mask, begin)) {
            return Err(Malformed("a record block's checksum does not fit its bytes"));
        }
    }
    Ok(())
}

impl<'a> Iterator for RecordBlocks<'a> {
    type Item = Result<Block<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.walk.step(self.piece);
        if step.is_err() {
            *self = Self::of(&[]);
        }
        step.transpose().map(|step| step.map(|(_, block)| block))
    }
}

/// Writes the checksum of each block of a frame's body, and gives that of the whole body behind `before`.
pub(crate) fn seal(body: &mut [u8], mask: u32, before: u32) -> u32 {
    let (mut walk, mut crc, mut done) = (Walk::default(), before, 0);
    // What is no entry is of no use to anybody, and is covered as it is.
    while let Ok(Some((block, _))) = walk.step(body) {
        let (front, rest) = body.split_at_mut(block.start);
        crc = crc32c::crc32c_append(crc, front.get(done..).unwrap_or_default());
        // A body is shorter than 4 GiB.
        let at = u32::try_from(block.start).unwrap_or(u32::MAX);
        crc = block::seal(rest.get_mut(..block.len()).unwrap_or_default(), mask, at, crc);
        done = block.end;
    }
    crc32c::crc32c_append(crc, body.get(done..).unwrap_or_default())
}

/// The entries of a frame's body, each with its position there.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'a> {
    take: Take<'a>,
    at: usize,
}

impl<'a> Entries<'a> {
    pub(crate) fn of(body: &'a [u8]) -> Self {
        Self { take: Take::new(body), at: 0 }
    }

    fn step(&mut self) -> Result<(Range<usize>, Entry<'a>), Malformed> {
        let (at, left) = (self.at, self.take.left());
        let mut payload = Take::new(self.take.string(CUT)?);
        self.at += left - self.take.left();
        Entry::take(&mut payload).map(|entry| (at..self.at, entry))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(Range<usize>, Entry<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.take.is_done() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.take = Take::new(&[]);
        }
        Some(step)
    }
}

impl<'a> Entry<'a> {
    fn take(take: &mut Take<'a>) -> Result<Self, Malformed> {
        let kind = take.u8(CUT)?;
        let is = |of: Kind| kind == of as u8;
        if is(Kind::Appended) {
            return Ok(Self::Appended(Blocks(*take)));
        }
        if is(Kind::Settled) {
            return Ok(Self::Settled(take_settled(take)?));
        }
        let entry = if is(Kind::Opened) {
            Self::Opened { epoch: take.u64(CUT)? }
        } else if is(Kind::Closed) {
            Self::Closed
        } else if is(Kind::TopicCreated) {
            Self::TopicCreated(take_topic(take)?)
        } else if is(Kind::TopicAltered) {
            Self::TopicAltered(take_topic(take)?)
        } else if is(Kind::TopicDeleted) {
            Self::TopicDeleted(TopicId(take.u64(CUT)?))
        } else if is(Kind::Trimmed) {
            let partition = PartitionRef::new(TopicId(take.u64(CUT)?), PartitionId(take.u32(CUT)?));
            let (before, bytes_before) = (Offset(take.u64(CUT)?), take.u64(CUT)?);
            Self::Trimmed { partition, before, bytes_before }
        } else if is(Kind::Released) {
            Self::Released(take_seat(take)?)
        } else if is(Kind::CursorDeleted) {
            Self::CursorDeleted(take_cursor(take)?)
        } else if is(Kind::DocumentPut) {
            let (key, version) = (take.text(CUT)?, take.u64(CUT)?);
            let value = if take.flag(CUT)? { Some(take.string(CUT)?) } else { None };
            Self::DocumentPut { key, version, value }
        } else {
            return Err(Malformed("an entry is of a kind that this program does not know"));
        };
        take.end("an entry is longer than what it says")?;
        Ok(entry)
    }
}

pub(crate) fn take_topic(take: &mut Take<'_>) -> Result<TopicInfo, Malformed> {
    let id = TopicId(take.u64(CUT)?);
    let name = TopicName::parse_internal(take.text(CUT)?)
        .map_err(|_| Malformed("a topic's name is none"))?;
    let partitions = take.u32(CUT)?;
    let age = take_option(take)?.map(Duration::from_millis);
    let bytes = take_option(take)?;
    let (hold_for_triggers, compacted) = (take.flag(CUT)?, take.flag(CUT)?);
    let retention = Retention { age, bytes, hold_for_triggers };
    Ok(TopicInfo { id, spec: TopicSpec { name, partitions, retention, compacted } })
}

fn take_option(take: &mut Take<'_>) -> Result<Option<u64>, Malformed> {
    if take.flag(CUT)? { take.u64(CUT).map(Some) } else { Ok(None) }
}

pub(crate) fn take_cursor(take: &mut Take<'_>) -> Result<CursorName, Malformed> {
    let text = take.text(CUT)?;
    CursorName::parse_internal(text).map_err(|_| Malformed("a cursor's name is none"))
}

fn take_seat(take: &mut Take<'_>) -> Result<Seat, Malformed> {
    let cursor = take_cursor(take)?;
    Ok(Seat { cursor, source: TopicId(take.u64(CUT)?), partition: PartitionId(take.u32(CUT)?) })
}

fn take_settled<'a>(take: &mut Take<'a>) -> Result<Settled<'a>, Malformed> {
    let seat = take_seat(take)?;
    let generation = Generation(take.u64(CUT)?);
    let inputs = take.u32(CUT)?;
    let mut progress = Vec::new();
    for _ in 0..inputs {
        progress.push((TopicId(take.u64(CUT)?), take_progress(take)?));
    }
    if progress.first().is_none_or(|(topic, _)| *topic != seat.source) {
        return Err(Malformed("a settlement's first input is not its source"));
    }
    let memo = Memo(Bytes::copy_from_slice(take.string(CUT)?));
    let writes = take.u32(CUT)?;
    let mut state = Vec::new();
    for _ in 0..writes {
        // Copied: kept in memory, they must not pin the frame.
        let name = take.text(CUT)?.into();
        let key = take_bytes(take)?;
        state.push(StateWrite { at: StateKey { key, name }, value: take_bytes(take)? });
    }
    Ok(Settled { seat, generation, progress, memo, state, outputs: Blocks(*take) })
}

/// Past all of a settlement but its record blocks.
fn skip_to_outputs(take: &mut Take<'_>) -> Result<(), Malformed> {
    take.string(CUT)?;
    take.bytes(8 + 4 + 8, CUT)?;
    for _ in 0..take.u32(CUT)? {
        take.bytes(8 + 8, CUT)?;
        for _ in 0..take.varint(CUT)? {
            take.varint(CUT)?;
            take.varint(CUT)?;
        }
    }
    take.string(CUT)?;
    for _ in 0..take.u32(CUT)? {
        take.string(CUT)?;
        for _ in 0..2 {
            if take.flag(CUT)? {
                take.string(CUT)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn take_bytes(take: &mut Take<'_>) -> Result<Option<Bytes>, Malformed> {
    if take.flag(CUT)? { take.string(CUT).map(Bytes::copy_from_slice).map(Some) } else { Ok(None) }
}

pub(crate) fn take_progress(take: &mut Take<'_>) -> Result<Progress, Malformed> {
    const WHAT: &str = "the progress of a settlement is malformed";
    let next = take.u64(WHAT)?;
    let ranges = take.varint(WHAT)?;
    let (mut at, mut ahead) = (next, Vec::new());
    for _ in 0..ranges {
        let start = at.checked_add(take.varint(WHAT)?).ok_or(Malformed(WHAT))?;
        at = start.checked_add(take.varint(WHAT)?).ok_or(Malformed(WHAT))?;
        ahead.push(Offset(start)..Offset(at));
    }
    Progress::from_parts(Offset(next), ahead).ok_or(Malformed(WHAT))
}

/// Writes entries behind one another into a frame's body.
#[derive(Debug)]
pub(crate) struct Put<'a>(pub(crate) &'a mut Vec<u8>);

impl Put<'_> {
    /// An entry whose payload `fill` writes.
    pub(crate) fn entry(&mut self, kind: Kind, fill: impl FnOnce(&mut Vec<u8>)) {
        let at = self.0.len();
        self.0.extend_from_slice(&[0, 0, 0, 0, kind as u8]);
        fill(self.0);
        let len = len_u32(self.0.len() - at - 4).to_le_bytes();
        self.0.get_mut(at..at + 4).unwrap_or_default().copy_from_slice(&len);
    }

    pub(crate) fn opened(&mut self, epoch: u64) {
        self.entry(Kind::Opened, |into| put_u64(into, epoch));
    }

    pub(crate) fn topic(&mut self, kind: Kind, topic: &TopicInfo) {
        self.entry(kind, |into| put_topic(into, topic));
    }

    pub(crate) fn topic_deleted(&mut self, id: TopicId) {
        self.entry(Kind::TopicDeleted, |into| put_u64(into, id.0));
    }

    pub(crate) fn trimmed(&mut self, partition: PartitionRef, before: Offset, bytes_before: u64) {
        self.entry(Kind::Trimmed, |into| {
            put_u64(into, partition.topic.0);
            put_u32(into, partition.partition.0);
            put_u64(into, before.0);
            put_u64(into, bytes_before);
        });
    }

    pub(crate) fn released(&mut self, seat: &Seat) {
        self.entry(Kind::Released, |into| put_seat(into, seat));
    }

    pub(crate) fn cursor_deleted(&mut self, cursor: &CursorName) {
        self.entry(Kind::CursorDeleted, |into| put_string(into, cursor.as_str().as_bytes()));
    }

    pub(crate) fn document(&mut self, key: &str, version: u64, value: Option<&[u8]>) {
        self.entry(Kind::DocumentPut, |into| {
            put_string(into, key.as_bytes());
            put_u64(into, version);
            put_bytes(into, value);
        });
    }

    /// All of a settlement but its outputs, which `outputs` writes as blocks.
    pub(crate) fn settled(
        &mut self,
        seat: &Seat,
        generation: Generation,
        progress: impl ExactSizeIterator<Item = (TopicId, Progress)>,
        memo: &Memo,
        state: &[StateWrite],
        outputs: impl FnOnce(&mut Vec<u8>),
    ) {
        self.entry(Kind::Settled, |into| {
            put_seat(into, seat);
            put_u64(into, generation.0);
            put_u32(into, len_u32(progress.len()));
            for (topic, progress) in progress {
                put_u64(into, topic.0);
                put_progress(into, &progress);
            }
            put_string(into, &memo.0);
            put_u32(into, len_u32(state.len()));
            for StateWrite { at, value } in state {
                put_string(into, at.name.as_bytes());
                put_bytes(into, at.key.as_deref());
                put_bytes(into, value.as_deref());
            }
            outputs(into);
        });
    }
}

pub(crate) fn put_topic(into: &mut Vec<u8>, topic: &TopicInfo) {
    let TopicInfo { id, spec: TopicSpec { name, partitions, retention, compacted } } = topic;
    let age = retention.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    put_u64(into, id.0);
    put_string(into, name.as_str().as_bytes());
    put_u32(into, *partitions);
    put_option(into, age);
    put_option(into, retention.bytes);
    into.extend_from_slice(&[u8::from(retention.hold_for_triggers), u8::from(*compacted)]);
}

fn put_option(into: &mut Vec<u8>, value: Option<u64>) {
    into.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_u64(into, value);
    }
}

pub(crate) fn put_bytes(into: &mut Vec<u8>, value: Option<&[u8]>) {
    into.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_string(into, value);
    }
}

fn put_seat(into: &mut Vec<u8>, seat: &Seat) {
    put_string(into, seat.cursor.as_str().as_bytes());
    put_u64(into, seat.source.0);
    put_u32(into, seat.partition.0);
}

pub(crate) fn put_progress(into: &mut Vec<u8>, progress: &Progress) {
    put_u64(into, progress.next().0);
    put_varint(into, progress.ahead().len() as u64);
    let mut at = progress.next().0;
    for range in progress.ahead() {
        put_varint(into, range.start.0 - at);
        put_varint(into, range.end.0 - range.start.0);
        at = range.end.0;
    }
}

#[cfg(test)]
mod tests;
