//! The fold: one frame after another. Whatever does not fit what went before is refused, as the bytes
//! may come from a disk; the writer runs the same on its own frames before anybody sees them.
use bytes::Bytes;
use log_contract::{Document, Offset, PartitionRef, TopicId, TopicInfo};

use std::{ops::Range, sync::Arc};

use super::{Cursor, Partition, Place, State, Topic};
use crate::{
    block::Block,
    entry::{Blocks, Entries, Entry, Seat, Settled},
    index::SegmentIndex,
    wire::Malformed,
};

/// Why a frame cannot follow what went before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry at {at} of a frame's body does not fit: {why}")]
pub(crate) struct Inconsistent {
    pub(crate) at: usize,
    pub(crate) why: &'static str,
}

/// What a frame changed, for those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Have more records.
    pub(crate) partitions: Vec<PartitionRef>,
    pub(crate) grown: Vec<TopicId>,
    pub(crate) deleted: Option<TopicInfo>,
    /// Whether a document changed.
    pub(crate) documents: bool,
    /// What lies in the segment before this frame's, if this is the first frame of its own.
    pub(crate) sealed: Option<Arc<SegmentIndex>>,
}

type Fits = Result<(), Malformed>;

impl State {
    /// Takes a frame's body. After an error the state is of no use.
    pub(crate) fn apply(&mut self, place: Place, body: &[u8]) -> Result<Touched, Inconsistent> {
        let mut touched = Touched::default();
        if place.segment != self.end.segment {
            touched.sealed = self.seal();
        }
        self.end.push(place);
        let mut last = 0;
        for entry in Entries::of(body) {
            let refuse = |Malformed(why)| Inconsistent { at: last, why };
            let (at, entry) = entry.map_err(refuse)?;
            last = at.start;
            let refuse = |Malformed(why)| Inconsistent { at: last, why };
            self.apply_entry(place, &at, entry, &mut touched).map_err(refuse)?;
        }
        Ok(touched)
    }

    /// What lies in the segment that was written, which is written no more. `None`: no records do.
    fn seal(&mut self) -> Option<Arc<SegmentIndex>> {
        let (mut lists, mut kept) = (Vec::new(), 0);
        for at in std::mem::take(&mut self.in_segment) {
            let Ok(partition) = self.partition_mut(at) else { continue };
            let (batches, is_kept) = partition.seal();
            lists.push((at, batches));
            kept += usize::from(is_kept);
        }
        if kept > 0 {
            self.in_sealed.insert(self.end.segment, kept);
        }
        if lists.is_empty() {
            return None;
        }
        Some(Arc::new(SegmentIndex::new(self.end.segment, lists.into_iter())))
    }

    fn apply_entry(
        &mut self,
        place: Place,
        at: &Range<usize>,
        entry: Entry<'_>,
        touched: &mut Touched,
    ) -> Fits {
        match entry {
            Entry::Opened { epoch } => {
                ensure(epoch > self.epoch, "an opening has an epoch that was there before")?;
                // It is the upper half of a generation.
                let is_one = u32::try_from(epoch).is_ok();
                ensure(is_one, "an opening has an epoch that leaves no room for generations")?;
                self.epoch = epoch;
            }
            Entry::Closed => {
                let cursors = self.cursors.values_mut();
                cursors.flat_map(|cursor| cursor.parts.values_mut()).for_each(|part| {
                    part.is_held = false;
                });
            }
            Entry::TopicCreated(info) => self.create_topic(info)?,
            Entry::TopicAltered(info) => {
                touched.grown.push(info.id);
                self.alter_topic(info)?;
            }
            Entry::TopicDeleted(id) => touched.deleted = Some(self.delete_topic(id)?),
            Entry::Appended(blocks) => self.push(place, at, blocks, touched)?,
            Entry::Settled(settled) => self.settle(place, at, settled, touched)?,
            Entry::Trimmed { partition, before, bytes_before } => {
                let gone = self.partition_mut(partition)?.trim(before, bytes_before);
                let gone = gone.ok_or(Malformed("a partition cannot start there"))?;
                Self::forget(&mut self.in_sealed, gone);
            }
            Entry::Released(Seat { cursor, source, partition }) => {
                let cursor = self.cursors.get_mut(&cursor);
                let part = cursor.and_then(|cursor| cursor.parts.get_mut(&(source, partition)));
                part.ok_or(Malformed("a lease is released that never settled"))?.is_held = false;
            }
            Entry::CursorDeleted(name) => {
                let gone = self.cursors.remove(&name);
                let gone = gone.ok_or(Malformed("a cursor is deleted that does not exist"))?;
                self.state_bytes -= gone.parts.values().map(super::Part::state_bytes).sum::<u64>();
            }
            Entry::DocumentPut { key, version, value } => {
                ensure(version > self.document_version, "a document's version is not new")?;
                self.document_version = version;
                touched.documents = true;
                let value = value.map(Bytes::copy_from_slice);
                match value.map(|value| Document { version, value }) {
                    Some(document) => self.documents.insert(key.into(), document),
                    None => self.documents.remove(key),
                };
            }
        }
        Ok(())
    }

    fn create_topic(&mut self, TopicInfo { id, spec }: TopicInfo) -> Fits {
        ensure(id.0 > self.topics_ever, "a topic has an id that was there before")?;
        ensure(!self.names.contains_key(&spec.name), "two topics have one name")?;
        ensure(is_count(spec.partitions), "a topic has an impossible number of partitions")?;
        self.topics_ever = id.0;
        self.names.insert(spec.name.clone(), id);
        let partitions = vec![Partition::default(); spec.partitions as usize];
        self.topics.insert(id, Topic { spec, partitions, spread: 0 });
        Ok(())
    }

    fn alter_topic(&mut self, TopicInfo { id, spec }: TopicInfo) -> Fits {
        let topic = self.topics.get_mut(&id).ok_or(Malformed("no such topic to alter"))?;
        let is_fine = topic.spec.name == spec.name && topic.spec.partitions <= spec.partitions;
        ensure(is_fine && is_count(spec.partitions), "a topic cannot become so")?;
        topic.partitions.resize_with(spec.partitions as usize, Partition::default);
        topic.spec = spec;
        Ok(())
    }

    fn delete_topic(&mut self, id: TopicId) -> Result<TopicInfo, Malformed> {
        let topic = self.topics.remove(&id).ok_or(Malformed("no such topic to delete"))?;
        self.names.remove(&topic.spec.name);
        let runs = topic.partitions.iter().flat_map(|partition| partition.runs());
        Self::forget(&mut self.in_sealed, runs.map(|run| run.segment));
        self.in_segment.retain(|at| at.topic != id);
        for cursor in self.cursors.values_mut() {
            cursor.positions.retain(|(topic, _), _| *topic != id);
            cursor.parts.retain(|(source, _), part| {
                if *source == id {
                    self.state_bytes -= part.state_bytes();
                }
                *source != id
            });
        }
        self.cursors.retain(|_, cursor| !cursor.positions.is_empty() || !cursor.parts.is_empty());
        Ok(TopicInfo { id, spec: topic.spec })
    }

    fn settle(
        &mut self,
        place: Place,
        at: &Range<usize>,
        settled: Settled<'_>,
        touched: &mut Touched,
    ) -> Fits {
        let Settled { seat, generation, progress, memo, state, outputs } = settled;
        for (topic, progress) in &progress {
            ensure(self.topics.contains_key(topic), "a cursor reads a topic that does not exist")?;
            let partition = self.partition(PartitionRef::new(*topic, seat.partition));
            let end = partition.map_or(Offset(0), |partition| partition.end);
            ensure(progress.end() <= end, "a cursor's progress lies beyond the end")?;
        }
        let cursor: &mut Cursor = self.cursors.entry(seat.cursor).or_default();
        let part = cursor.parts.entry((seat.source, seat.partition)).or_default();
        ensure(generation >= part.generation, "a settlement is of an older lease")?;
        part.generation = generation;
        part.memo = memo;
        part.is_held = true;
        for write in state {
            let (before, after) = part.write(write);
            self.state_bytes = self.state_bytes - before + after;
        }
        for (topic, progress) in progress {
            cursor.positions.insert((topic, seat.partition), progress);
        }
        self.push(place, at, outputs, touched)
    }

    fn push(
        &mut self,
        place: Place,
        at: &Range<usize>,
        blocks: Blocks<'_>,
        touched: &mut Touched,
    ) -> Fits {
        let narrow = |at: usize| u32::try_from(at).map_err(|_| Malformed("a frame is too long"));
        let entry = narrow(at.start)?..narrow(at.end)?;
        let mut spread: Option<TopicId> = None;
        for block in blocks {
            let block: Block<'_> = block?;
            let partition = self.partition_mut(block.partition)?;
            let pushed = partition.push(&block, place, &entry);
            let is_first =
                pushed.ok_or(Malformed("records do not go on where their partition ends"))?;
            if is_first {
                self.in_segment.insert(block.partition);
            }
            if touched.partitions.last() != Some(&block.partition) {
                touched.partitions.push(block.partition);
            }
            // Blocks of one topic are neighbours: once per entry and topic.
            if spread != Some(block.partition.topic)
                && let Some(topic) = self.topics.get_mut(&block.partition.topic)
            {
                topic.spread += 1;
                spread = Some(block.partition.topic);
            }
        }
        Ok(())
    }

    fn partition_mut(&mut self, at: PartitionRef) -> Result<&mut Partition, Malformed> {
        let topic = self.topics.get_mut(&at.topic);
        let partition = topic.and_then(|topic| topic.partitions.get_mut(at.partition.0 as usize));
        partition.ok_or(Malformed("it speaks of a partition that does not exist"))
    }
}

fn is_count(partitions: u32) -> bool {
    (1..=log_contract::TopicSpec::PARTITIONS_MAX).contains(&partitions)
}

fn ensure(holds: bool, why: &'static str) -> Fits {
    if holds { Ok(()) } else { Err(Malformed(why)) }
}
