//! What a frame would change, while it is being planned: later requests of the same frame go on from
//! there. Dies with the plan; the state changes only by the fold over what was written.
use std::collections::{HashMap, HashSet};

use log_contract::{
    AppendBatch, AppendedRun, LogUnavailable, Offset, PartitionId, PartitionRef, SettleError, Span,
    Timestamp, TopicId,
    route::{self, Route},
};

use super::RETRY_AFTER;
use crate::{block, entry::Seat, request::Request, state::State};

/// See the module.
pub(super) struct Draft<'a> {
    state: &'a State,
    changes: &'a mut Changes,
    /// What function state grows by.
    growth: u64,
}

/// What would change; empty between plans, and kept for its memory.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    ends: HashMap<PartitionRef, End>,
    spread: HashMap<TopicId, u64>,
    /// Where a settlement or a release is in the frame: what comes after it must see it done.
    seats: HashSet<Seat>,
    trimmed: HashSet<PartitionRef>,
}

#[derive(Clone, Copy, Debug)]
struct End {
    next: u64,
    stamp: Timestamp,
}

/// Records for one topic, each with its partition, in the order of the request.
pub(super) struct Routed<'r> {
    topic: TopicId,
    routes: Vec<Route<'r>>,
}

impl<'a> Draft<'a> {
    pub(super) fn over(state: &'a State, changes: &'a mut Changes) -> Self {
        let Changes { ends, spread, seats, trimmed } = changes;
        ends.clear();
        spread.clear();
        seats.clear();
        trimmed.clear();
        Self { state, changes, growth: 0 }
    }

    /// Whether a request must be planned against a state that has this draft: then it waits for the
    /// next frame.
    pub(super) fn is_in_the_way(&self, request: &Request) -> bool {
        match request {
            Request::Settle { right, .. } | Request::Release(right) => {
                self.changes.seats.contains(&right.seat)
            }
            Request::Trim { partition, .. } => self.changes.trimmed.contains(partition),
            _ => false,
        }
    }

    pub(super) fn takes(&mut self, seat: &Seat) {
        self.changes.seats.insert(seat.clone());
    }

    /// Whether a trim has anything to do.
    pub(super) fn trims(&mut self, at: PartitionRef, start: Offset, before: Offset) -> bool {
        start < before && self.changes.trimmed.insert(at)
    }

    pub(super) fn grow_state(&mut self, by: u64, max: u64) -> Result<(), SettleError> {
        if by > 0 && self.state.state_bytes + self.growth + by > max {
            let why = format!("function state has reached its bound of {max} bytes");
            let why = LogUnavailable::Away { why, retry_after: RETRY_AFTER };
            return Err(SettleError::NotApplied { retry_after: RETRY_AFTER, why });
        }
        self.growth += by;
        Ok(())
    }

    pub(super) fn route_append<'r>(
        &mut self,
        topic: TopicId,
        batch: &'r AppendBatch,
    ) -> Routed<'r> {
        let (partitions, keyless) = self.spread_over(topic);
        Routed { topic, routes: route::append(batch, partitions, keyless) }
    }

    pub(super) fn route_spans<'r>(
        &mut self,
        topic: TopicId,
        spans: impl Iterator<Item = &'r Span>,
    ) -> Routed<'r> {
        let (partitions, keyless) = self.spread_over(topic);
        let routes = spans.flat_map(|span| route::span(span, partitions, keyless)).collect();
        Routed { topic, routes }
    }

    /// Where the records of an append will lie.
    pub(super) fn placed(&mut self, routed: &Routed<'_>) -> Vec<AppendedRun> {
        let topic = routed.topic;
        route::placed(&routed.routes, |partition| {
            Offset(self.end(PartitionRef::new(topic, partition)).next)
        })
    }

    /// One stamp for all of it, which goes back in no partition.
    pub(super) fn stamp<'r>(
        &mut self,
        now: Timestamp,
        routed: impl Iterator<Item = &'r Routed<'r>>,
    ) -> Timestamp {
        let mut stamp = now;
        for Routed { topic, routes } in routed {
            let mut before = None;
            for Route { partition, .. } in routes {
                if before != Some(partition) {
                    let end = self.end(PartitionRef::new(*topic, *partition));
                    stamp = stamp.max(end.stamp);
                    before = Some(partition);
                }
            }
        }
        stamp
    }

    /// Writes blocks, partition by partition, and moves the partitions' ends.
    pub(super) fn write(&mut self, into: &mut Vec<u8>, routed: &mut Routed<'_>, stamp: Timestamp) {
        let Routed { topic, routes } = routed;
        route::by_partition(routes);
        // A block has one partition and one set of attributes.
        let is_alike = |a: &Route<'_>, b: &Route<'_>| {
            a.partition == b.partition
                && (a.batch.is_same(b.batch) || a.batch.attributes() == b.batch.attributes())
        };
        for routes in routes.chunk_by(is_alike) {
            let Some(first) = routes.first() else { continue };
            let partition = PartitionRef::new(*topic, first.partition);
            let base = self.end(partition).next;
            let attributes = first.batch.attributes().map(|attributes| &**attributes);
            block::put(into, partition, Offset(base), stamp, attributes, routes);
            let records: u64 = routes.iter().map(|route| u64::from(route.records())).sum();
            self.changes.ends.insert(partition, End { next: base + records, stamp });
        }
    }

    /// How many partitions a topic has, and which of them takes keyless records this time.
    fn spread_over(&mut self, topic: TopicId) -> (u32, PartitionId) {
        let there = self.state.topics.get(&topic).expect("asked after the topic was found");
        let partitions = there.spec.partitions;
        let turn = self.changes.spread.entry(topic).or_insert(there.spread);
        let keyless = u32::try_from(*turn % u64::from(partitions)).expect("below a u32");
        *turn += 1;
        (partitions, PartitionId(keyless))
    }

    /// Nothing comes of what was spread last.
    pub(super) fn give_back_turn(&mut self, topic: TopicId) {
        if let Some(turn) = self.changes.spread.get_mut(&topic) {
            *turn -= 1;
        }
    }

    fn end(&mut self, at: PartitionRef) -> End {
        *self.changes.ends.entry(at).or_insert_with(|| {
            let there = self.state.partition(at).expect("routes name partitions that exist");
            End { next: there.end.0, stamp: there.appended_at }
        })
    }
}
