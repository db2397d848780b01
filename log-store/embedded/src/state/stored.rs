//! The state as bytes: what a snapshot holds, and nothing that it does not say. Equal states have equal
//! bytes.
use std::collections::BTreeMap;

use bytes::Bytes;
use log_contract::{
    Document, Generation, Memo, Offset, PartitionId, PartitionRef, Progress, Timestamp, TopicId,
    TopicInfo,
};

use super::{
    Cursor, JournalEnd, Part, Partition, Place, State, Topic,
    partition::{Batches, Run},
};
use crate::{
    entry::{
        put_bytes, put_progress, put_topic, take_bytes, take_cursor, take_progress, take_topic,
    },
    index::SegmentIndex,
    wire::{Malformed, Take, len_u32, put_string, put_u32, put_u64, put_varint},
};

const CUT: &str = "a snapshot is cut off";
const FALSE: &str = "a snapshot does not fit itself";

impl State {
    /// Appends all of it.
    pub(crate) fn store(&self, into: &mut Vec<u8>) {
        let Self { epoch, end, in_segment, topics_ever, topics, cursors, documents, .. } = self;
        for number in [*epoch, *topics_ever, self.document_version] {
            put_u64(into, number);
        }
        put_end(into, end);
        put_u32(into, len_u32(topics.len()));
        for (id, topic) in topics {
            put_topic(into, &TopicInfo { id: *id, spec: topic.spec.clone() });
            put_u64(into, topic.spread);
            topic.partitions.iter().for_each(|partition| put_partition(into, partition));
        }
        let open = in_segment.iter().filter_map(|at| Some((*at, self.partition(*at)?)));
        let open = open.map(|(at, partition)| (at, partition.open().clone()));
        put_string(into, &SegmentIndex::new(end.segment, open).encode(0));
        put_u32(into, len_u32(cursors.len()));
        for (name, Cursor { positions, parts }) in cursors {
            put_string(into, name.as_str().as_bytes());
            put_u32(into, len_u32(positions.len()));
            for (at, progress) in positions {
                put_place(into, *at);
                put_progress(into, progress);
            }
            put_u32(into, len_u32(parts.len()));
            for (at, part) in parts {
                put_place(into, *at);
                put_u64(into, part.generation.0);
                into.push(u8::from(part.is_held));
                put_string(into, &part.memo.0);
                put_u32(into, len_u32(part.state.len()));
                for (at, value) in &part.state {
                    put_string(into, at.name.as_bytes());
                    put_bytes(into, at.key.as_deref());
                    put_string(into, value);
                }
            }
        }
        put_u32(into, len_u32(documents.len()));
        for (key, Document { version, value }) in documents {
            put_string(into, key.as_bytes());
            put_u64(into, *version);
            put_string(into, value);
        }
    }

    /// Of what was stored only what comes first: numbers, and where the journal went on.
    fn restore_begin(take: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            epoch: take.u64(CUT)?,
            topics_ever: take.u64(CUT)?,
            document_version: take.u64(CUT)?,
            end: take_end(take)?,
            ..Self::default()
        })
    }

    /// Of what was stored only where the journal went on.
    pub(crate) fn restore_end(take: &mut Take<'_>) -> Result<JournalEnd, Malformed> {
        Ok(Self::restore_begin(take)?.end)
    }

    /// What was stored.
    pub(crate) fn restore(take: &mut Take<'_>) -> Result<Self, Malformed> {
        let mut state = Self::restore_begin(take)?;
        for _ in 0..take.u32(CUT)? {
            let TopicInfo { id, spec } = take_topic(take)?;
            let spread = take.u64(CUT)?;
            let partitions = (0..spec.partitions).map(|_| take_partition(take));
            let partitions: Vec<Partition> = partitions.collect::<Result<_, _>>()?;
            for run in partitions.iter().flat_map(Partition::runs) {
                *state.in_sealed.entry(run.segment).or_default() += 1;
            }
            state.names.insert(spec.name.clone(), id);
            state.topics.insert(id, Topic { spec, partitions, spread });
        }
        state.take_open(take)?;
        for _ in 0..take.u32(CUT)? {
            let name = take_cursor(take)?;
            let mut cursor = Cursor::default();
            for _ in 0..take.u32(CUT)? {
                let at = take_place(take)?;
                let progress: Progress = take_progress(take)?;
                cursor.positions.insert(at, progress);
            }
            for _ in 0..take.u32(CUT)? {
                let at = take_place(take)?;
                let part = take_part(take)?;
                state.state_bytes += part.state_bytes();
                cursor.parts.insert(at, part);
            }
            state.cursors.insert(name, cursor);
        }
        for _ in 0..take.u32(CUT)? {
            let key = take.text(CUT)?.into();
            let version = take.u64(CUT)?;
            let value = Bytes::copy_from_slice(take.string(CUT)?);
            state.documents.insert(key, Document { version, value });
        }
        Ok(state)
    }

    /// The batches of the segment that is being written.
    fn take_open(&mut self, take: &mut Take<'_>) -> Result<(), Malformed> {
        let index = SegmentIndex::parse(take.string(CUT)?, self.end.segment, 0)?;
        let mut lists: BTreeMap<PartitionRef, Batches> = BTreeMap::new();
        for (at, batch) in index.all() {
            lists.entry(at).or_default().push_again(batch).ok_or(Malformed(FALSE))?;
        }
        for (at, list) in lists {
            let topic = self.topics.get_mut(&at.topic);
            let there = topic.and_then(|topic| topic.partitions.get_mut(at.partition.0 as usize));
            there.and_then(|there| there.set_open(list)).ok_or(Malformed(FALSE))?;
            self.in_segment.insert(at);
        }
        Ok(())
    }
}

fn put_end(into: &mut Vec<u8>, end: &JournalEnd) {
    let JournalEnd { number, segment, at, in_block } = end;
    for number in [*number, *segment, *at] {
        put_u64(into, number);
    }
    put_u32(into, len_u32(in_block.len()));
    for Place { frame, at, len, .. } in in_block {
        put_u64(into, *frame);
        put_u32(into, *at);
        put_u32(into, *len);
    }
}

fn take_end(take: &mut Take<'_>) -> Result<JournalEnd, Malformed> {
    let (number, segment, at) = (take.u64(CUT)?, take.u64(CUT)?, take.u64(CUT)?);
    let mut in_block = Vec::new();
    for _ in 0..take.u32(CUT)? {
        let (frame, at, len) = (take.u64(CUT)?, take.u32(CUT)?, take.u32(CUT)?);
        in_block.push(Place { frame, segment, at, len });
    }
    Ok(JournalEnd { number, segment, at, in_block })
}

fn put_place(into: &mut Vec<u8>, (topic, partition): (TopicId, PartitionId)) {
    put_u64(into, topic.0);
    put_u32(into, partition.0);
}

fn take_place(take: &mut Take<'_>) -> Result<(TopicId, PartitionId), Malformed> {
    Ok((TopicId(take.u64(CUT)?), PartitionId(take.u32(CUT)?)))
}

fn put_partition(into: &mut Vec<u8>, partition: &Partition) {
    let (start_bytes, end_bytes) = partition.bytes();
    let Partition { start, end, appended_at, .. } = partition;
    for number in [start.0, end.0 - start.0, appended_at.0, start_bytes, end_bytes - start_bytes] {
        put_varint(into, number);
    }
    put_varint(into, partition.runs().len() as u64);
    let mut before = Run::default();
    for run in partition.runs() {
        for (number, before) in run.numbers().into_iter().zip(before.numbers()) {
            put_varint(into, number - before);
        }
        before = *run;
    }
}

fn take_partition(take: &mut Take<'_>) -> Result<Partition, Malformed> {
    let mut numbers = [0_u64; 5];
    for number in &mut numbers {
        *number = take.varint(CUT)?;
    }
    let [start, records, appended_at, start_bytes, bytes] = numbers;
    let end = start.checked_add(records).ok_or(Malformed(FALSE))?;
    let end_bytes = start_bytes.checked_add(bytes).ok_or(Malformed(FALSE))?;
    let mut runs: Vec<Run> = Vec::new();
    for _ in 0..take.varint(CUT)? {
        let mut numbers = runs.last().copied().unwrap_or_default().numbers();
        for number in &mut numbers {
            *number = number.checked_add(take.varint(CUT)?).ok_or(Malformed(FALSE))?;
        }
        runs.push(Run::of(numbers));
    }
    Ok(Partition::restored(
        (Offset(start), Offset(end)),
        Timestamp(appended_at),
        (start_bytes, end_bytes),
        runs.into(),
    ))
}

fn take_part(take: &mut Take<'_>) -> Result<Part, Malformed> {
    let (generation, is_held) = (Generation(take.u64(CUT)?), take.flag(CUT)?);
    let memo = Memo(Bytes::copy_from_slice(take.string(CUT)?));
    let mut part = Part { memo, generation, is_held, ..Part::default() };
    for _ in 0..take.u32(CUT)? {
        let name = take.text(CUT)?.into();
        let key = take_bytes(take)?;
        let value = Some(Bytes::copy_from_slice(take.string(CUT)?));
        part.write(log_contract::StateWrite { at: log_contract::StateKey { key, name }, value });
    }
    Ok(part)
}
