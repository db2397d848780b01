//! Topics, appends and settlements as plain steps: what is checked, and then what changes. Never a
//! wait, a lock or a clock.
use crate::{cursors::Cursors, partition::Partition};
use bytes::Bytes;
use log_contract::{
    AlterTopicError, AppendBatch, AppendError, AppendGuard, Appended, CreateTopicError, CursorName,
    DeleteTopicError, Digest, Document, JoinError, Lease, LogLimits, LogUnavailable, Offset,
    PartitionId, PartitionRef, ReadError, SettleError, Settled, Settlement, StateError, StateKey,
    Timestamp, TopicId, TopicInfo, TopicSpec, TrimError,
    check::{self, Standing},
    route::{self, Route},
};
use std::{collections::BTreeMap, time::Duration};

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// All that a log is.
#[derive(Debug)]
pub(crate) struct Store {
    topics: BTreeMap<TopicId, Topic>,
    /// Ids are never used again.
    last_topic: u64,
    pub(crate) cursors: Cursors,
    pub(crate) documents: BTreeMap<String, Document>,
    /// Of all documents, also those that are gone.
    pub(crate) last_version: u64,
    pub(crate) blobs: BTreeMap<Digest, Bytes>,
    pub(crate) bytes_max: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Topic {
    spec: TopicSpec,
    partitions: Vec<Partition>,
    /// Where the keyless records of the next append go.
    turn: u32,
}

impl Store {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            topics: BTreeMap::new(),
            last_topic: 0,
            cursors: Cursors::default(),
            documents: BTreeMap::new(),
            last_version: 0,
            blobs: BTreeMap::new(),
            bytes_max,
            is_closed: false,
        }
    }

    /// The way in for every operation.
    pub(crate) fn open(&mut self) -> Result<&mut Self, LogUnavailable> {
        if self.is_closed { Err(LogUnavailable::Closed) } else { Ok(self) }
    }

    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn create_topic(&mut self, spec: TopicSpec) -> Result<TopicId, CreateTopicError> {
        check::new_topic(&spec)?;
        if let Some((id, _)) = self.topics.iter().find(|(_, topic)| topic.spec.name == spec.name) {
            return Err(CreateTopicError::Exists { name: spec.name, id: *id });
        }
        self.last_topic += 1;
        let id = TopicId(self.last_topic);
        let partitions = (0..spec.partitions).map(|_| Partition::default()).collect();
        self.topics.insert(id, Topic { spec, partitions, turn: 0 });
        Ok(id)
    }

    pub(crate) fn alter_topic(
        &mut self,
        id: TopicId,
        spec: TopicSpec,
    ) -> Result<(), AlterTopicError> {
        let topic = self.topics.get_mut(&id).ok_or(AlterTopicError::NoTopic(id))?;
        check::altered_topic(&topic.spec, &spec)?;
        topic.partitions.resize_with(spec.partitions as usize, Partition::default);
        self.cursors.grow(id, spec.partitions);
        topic.spec = spec;
        Ok(())
    }

    pub(crate) fn delete_topic(&mut self, id: TopicId) -> Result<(), DeleteTopicError> {
        self.topics.remove(&id).ok_or(DeleteTopicError::NoTopic(id))?;
        self.cursors.forget_topic(id);
        Ok(())
    }

    pub(crate) fn topics(&self) -> Vec<TopicInfo> {
        let info =
            |(id, topic): (&TopicId, &Topic)| TopicInfo { id: *id, spec: topic.spec.clone() };
        let mut infos: Vec<_> = self.topics.iter().map(info).collect();
        infos.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        infos
    }

    pub(crate) fn partition(&self, at: PartitionRef) -> Result<&Partition, ReadError> {
        let topic = self.topics.get(&at.topic);
        let partition = topic.and_then(|topic| topic.partitions.get(at.partition.0 as usize));
        partition.ok_or(ReadError::NoPartition(at))
    }

    /// The same, without what retention takes of it.
    pub(crate) fn retained(
        &mut self,
        at: PartitionRef,
        now: Timestamp,
    ) -> Result<&Partition, ReadError> {
        let gone = ReadError::NoPartition(at);
        let topic = self.topics.get_mut(&at.topic).ok_or(gone.clone())?;
        let retention = &topic.spec.retention;
        let unread = retention.hold_for_triggers.then(|| self.cursors.unread(at)).flatten();
        let partition = topic.partitions.get_mut(at.partition.0 as usize).ok_or(gone)?;
        partition.retain(retention, now, unread);
        Ok(partition)
    }

    pub(crate) fn trim(&mut self, at: PartitionRef, before: Offset) -> Result<(), TrimError> {
        let topic = self.topics.get_mut(&at.topic);
        let partition = topic.and_then(|topic| topic.partitions.get_mut(at.partition.0 as usize));
        let partition = partition.ok_or(TrimError::NoPartition(at))?;
        let end = partition.end();
        if before > end {
            return Err(TrimError::BeyondEnd { before, end });
        }
        partition.trim(before);
        Ok(())
    }

    pub(crate) fn append(
        &mut self,
        id: TopicId,
        batch: &AppendBatch,
        guard: AppendGuard,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let topic = self.topics.get(&id).ok_or(AppendError::NoTopic(id))?;
        check::append(id, topic.spec.partitions, batch, &LogLimits::OURS)?;
        self.has_room(batch.records.bytes(0..batch.records.len()))?;
        let topic = self.topics.get_mut(&id).expect("seen above");
        let keyless = topic.next_turn();
        let mut routes = route::append(batch, topic.spec.partitions, keyless);
        let runs = route::placed(&routes, |at| topic.partitions[at.0 as usize].end());
        check::guard(guard, &runs)?;
        let appended_at = topic.stamp(&routes, now);
        topic.append(&mut routes, appended_at);
        Ok(Appended { runs, appended_at })
    }

    pub(crate) fn join(
        &mut self,
        cursor: &CursorName,
        inputs: &[TopicId],
    ) -> Result<crate::cursors::MemberId, JoinError> {
        let source = inputs.first().ok_or(JoinError::NoInput)?;
        if let Some(gone) = inputs.iter().find(|input| !self.topics.contains_key(input)) {
            return Err(JoinError::NoTopic(*gone));
        }
        let partitions = self.topics[source].spec.partitions;
        Ok(self.cursors.join(cursor, inputs, partitions))
    }

    pub(crate) fn state(
        &self,
        lease: &Lease,
        keys: &[StateKey],
    ) -> Result<Vec<Option<Bytes>>, StateError> {
        let slot = self.cursors.current(lease).ok_or(StateError::LeaseVoid)?;
        Ok(keys.iter().map(|key| slot.state.get(key).cloned()).collect())
    }

    /// Everything is checked before anything changes: so it is all or nothing.
    pub(crate) fn settle(
        &mut self,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, SettleError> {
        self.cursors.current(lease).ok_or(SettleError::LeaseVoid)?;
        let standings: Vec<_> = lease.inputs.iter().map(|at| self.standing(lease, *at)).collect();
        let has_topic = |topic| self.topics.contains_key(&topic);
        check::settlement(&settlement, &standings, has_topic, &LogLimits::OURS)?;
        let state_bytes = settlement.state.iter().filter(|write| write.value.is_some());
        let bytes = settlement.outputs.iter().map(|output| output.span.bytes()).sum::<usize>()
            + state_bytes.map(check::bytes_of_state).sum::<usize>();
        self.has_room(bytes)
            .map_err(|why| SettleError::NotApplied { retry_after: RETRY_AFTER, why })?;

        let mut routes = Vec::new();
        for output in &settlement.outputs {
            let topic = self.topics.get_mut(&output.topic).expect("checked above");
            let keyless = topic.next_turn();
            routes.push((output.topic, route::span(&output.span, topic.spec.partitions, keyless)));
        }
        let stamps = routes.iter().map(|(topic, routes)| self.topics[topic].stamp(routes, now));
        let appended_at = stamps.max().unwrap_or(now);
        for (topic, mut routes) in routes {
            let topic = self.topics.get_mut(&topic).expect("checked above");
            topic.append(&mut routes, appended_at);
        }
        self.cursors.settle(lease, settlement);
        Ok(Settled { appended_at })
    }

    fn standing(&self, lease: &Lease, input: TopicId) -> Standing<'_> {
        let at = PartitionRef::new(input, lease.partition);
        let end = self.partition(at).map_or(Offset(0), Partition::end);
        Standing { progress: self.cursors.position(&lease.cursor, at), end }
    }

    /// What adds no bytes has room always.
    fn has_room(&self, bytes: usize) -> Result<(), LogUnavailable> {
        if bytes == 0 || self.bytes_max == u64::MAX {
            return Ok(());
        }
        let partitions = self.topics.values().flat_map(|topic| &topic.partitions);
        let used: u64 = partitions.map(Partition::bytes).sum();
        if used.saturating_add(bytes as u64) <= self.bytes_max {
            Ok(())
        } else {
            Err(LogUnavailable::StorageFull { retry_after: RETRY_AFTER })
        }
    }
}

impl Topic {
    fn next_turn(&mut self) -> PartitionId {
        let turn = self.turn % self.spec.partitions;
        self.turn = turn + 1;
        PartitionId(turn)
    }

    /// One stamp for all, that goes back in none of the partitions.
    fn stamp(&self, routes: &[Route<'_>], now: Timestamp) -> Timestamp {
        let newest = |route: &Route<'_>| self.partitions[route.partition.0 as usize].newest();
        routes.iter().map(newest).max().map_or(now, |newest| newest.max(now))
    }

    fn append(&mut self, routes: &mut [Route<'_>], appended_at: Timestamp) {
        route::by_partition(routes);
        for routes in routes.chunk_by(|a, b| a.partition == b.partition) {
            let partition = &mut self.partitions[routes[0].partition.0 as usize];
            partition.append(routes, appended_at);
        }
    }
}
