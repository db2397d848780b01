//! What the log knows: topics, where records lie, cursors, function state, documents. Equal to the
//! fold of all durable entries, and of nothing else: only [`State::apply`] changes it, for recovery and
//! for the writer alike. No clock, no I/O.
mod apply;
mod cursor;
mod journal_end;
mod partition;
mod stored;

pub(crate) use apply::Touched;
pub(crate) use cursor::{Cursor, Part, growth};
pub(crate) use journal_end::JournalEnd;
pub(crate) use partition::{BatchAt, Batches, Partition, Place, Spot};

use std::collections::{BTreeMap, BTreeSet};

use log_contract::{
    CursorInfo, CursorName, CursorPosition, Document, PartitionRef, TopicId, TopicInfo, TopicName,
    TopicSpec,
};

use crate::entry::Seat;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// How often the log was opened.
    pub(crate) epoch: u64,
    pub(crate) end: JournalEnd,
    /// The partitions that have records in the segment that is being written.
    pub(crate) in_segment: BTreeSet<PartitionRef>,
    /// The segments that are written no more and have records to be read: how many partitions' each.
    /// Whatever else a segment holds, a snapshot has.
    pub(crate) in_sealed: BTreeMap<u64, usize>,
    /// Above every id that a topic ever had.
    pub(crate) topics_ever: u64,
    pub(crate) topics: BTreeMap<TopicId, Topic>,
    pub(crate) names: BTreeMap<TopicName, TopicId>,
    pub(crate) cursors: BTreeMap<CursorName, Cursor>,
    /// What all function state takes: see [`cursor::STATE_ENTRY_BYTES`].
    pub(crate) state_bytes: u64,
    pub(crate) documents: BTreeMap<String, Document>,
    /// The newest version over all documents, also of those that are gone.
    pub(crate) document_version: u64,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) spec: TopicSpec,
    pub(crate) partitions: Vec<Partition>,
    /// Counts what was written to the topic, entry by entry: keyless records are spread by it.
    pub(crate) spread: u64,
}

impl State {
    /// A partition has no records any more in these.
    fn forget(in_sealed: &mut BTreeMap<u64, usize>, segments: impl IntoIterator<Item = u64>) {
        for segment in segments {
            if let std::collections::btree_map::Entry::Occupied(mut count) =
                in_sealed.entry(segment)
            {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    pub(crate) fn partition(&self, at: PartitionRef) -> Option<&Partition> {
        self.topics.get(&at.topic)?.partitions.get(at.partition.0 as usize)
    }

    pub(crate) fn part(&self, seat: &Seat) -> Option<&Part> {
        self.cursors.get(&seat.cursor)?.parts.get(&(seat.source, seat.partition))
    }

    pub(crate) fn topic_infos(&self) -> Vec<TopicInfo> {
        let info = |id: &TopicId| {
            self.topics.get(id).map(|topic| TopicInfo { id: *id, spec: topic.spec.clone() })
        };
        self.names.values().filter_map(info).collect()
    }

    pub(crate) fn cursor_infos(&self, is_in_use: impl Fn(&CursorName) -> bool) -> Vec<CursorInfo> {
        let info = |(name, cursor): (&CursorName, &Cursor)| CursorInfo {
            name: name.clone(),
            positions: cursor.positions.iter().map(position).collect(),
            in_use: is_in_use(name),
        };
        self.cursors.iter().map(info).collect()
    }
}

fn position(
    (&(topic, partition), progress): (
        &(TopicId, log_contract::PartitionId),
        &log_contract::Progress,
    ),
) -> CursorPosition {
    CursorPosition { topic, partition, progress: progress.clone() }
}

#[cfg(test)]
mod tests;
