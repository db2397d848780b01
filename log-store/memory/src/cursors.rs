//! Who may consume what, and how far it has come: members, leases, positions, function state. Never a
//! record.
use bytes::Bytes;
use log_contract::{
    Before, CursorInfo, CursorName, CursorPosition, DeleteCursorError, Generation, GrantId, Lease,
    Memo, Offset, PartitionId, PartitionRef, Progress, Release, Settlement, StateKey, TopicId,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(u64);

/// What a lease is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    cursor: CursorName,
    source: TopicId,
    partition: PartitionId,
}

#[derive(Debug, Default)]
pub(crate) struct Cursors {
    /// One per place that a member ever had a share in.
    slots: BTreeMap<Place, Slot>,
    positions: BTreeMap<(CursorName, TopicId, PartitionId), Progress>,
    /// In the order in which they joined.
    members: BTreeMap<MemberId, Share>,
    last_member: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    generation: u64,
    memo: Memo,
    pub(crate) state: BTreeMap<StateKey, Bytes>,
    /// Whether any lease here ever settled.
    has_settled: bool,
    holder: Option<Holder>,
}

#[derive(Debug)]
struct Holder {
    grant: GrantId,
    member: MemberId,
}

#[derive(Debug)]
struct Share {
    cursor: CursorName,
    inputs: Vec<TopicId>,
    /// Partitions whose leases are this member's.
    held: usize,
    /// Those of them that it was not told of yet.
    untold: BTreeSet<PartitionId>,
}

/// A lease before it can give itself back.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) place: Place,
    pub(crate) id: GrantId,
    inputs: Vec<TopicId>,
    generation: Generation,
    progress: Vec<Option<Progress>>,
    memo: Memo,
    before: Before,
}

impl Grant {
    pub(crate) fn into_lease(self, release: Release) -> Lease {
        let Self { place: Place { cursor, partition, .. }, id, .. } = self;
        let Self { inputs, generation, progress, memo, before, .. } = self;
        Lease { cursor, partition, inputs, generation, grant: id, progress, memo, before, release }
    }
}

impl Cursors {
    /// Where that begins which some cursor has not read.
    pub(crate) fn unread(&self, at: PartitionRef) -> Option<Offset> {
        let here = |((_, topic, partition), progress): (&(_, TopicId, PartitionId), &Progress)| {
            ((*topic, *partition) == (at.topic, at.partition)).then(|| progress.next())
        };
        self.positions.iter().filter_map(here).min()
    }

    pub(crate) fn join(
        &mut self,
        cursor: &CursorName,
        inputs: &[TopicId],
        partitions: u32,
    ) -> MemberId {
        self.last_member += 1;
        let id = MemberId(self.last_member);
        let share = Share {
            cursor: cursor.clone(),
            inputs: inputs.to_vec(),
            held: 0,
            untold: BTreeSet::new(),
        };
        self.members.insert(id, share);
        self.share_out(cursor, inputs[0], partitions);
        id
    }

    /// What the member was not told of yet goes to another.
    pub(crate) fn leave(&mut self, member: MemberId) {
        let Some(share) = self.members.remove(&member) else { return };
        for partition in share.untold {
            let (cursor, source) = (share.cursor.clone(), share.inputs[0]);
            let place = Place { cursor, source, partition };
            self.slots.get_mut(&place).expect("it was granted").holder = None;
            self.grant(&place, None);
        }
    }

    pub(crate) fn give_back(&mut self, place: &Place, grant: GrantId) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        if slot.holder.as_ref().is_some_and(|holder| holder.grant == grant) {
            let giver = slot.holder.take().map(|holder| holder.member);
            if let Some(share) = giver.and_then(|giver| self.members.get_mut(&giver)) {
                share.held -= 1;
            }
            self.grant(place, giver);
        }
    }

    /// The source has so many partitions now.
    pub(crate) fn grow(&mut self, source: TopicId, partitions: u32) {
        let shares = self.members.values().filter(|share| share.inputs[0] == source);
        let cursors: BTreeSet<_> = shares.map(|share| share.cursor.clone()).collect();
        for cursor in cursors {
            self.share_out(&cursor, source, partitions);
        }
    }

    /// Members of the topic hear that nothing will come any more, leases on it are void.
    pub(crate) fn forget_topic(&mut self, topic: TopicId) {
        let of_topic = self.members.iter().filter(|(_, share)| share.inputs.contains(&topic));
        let members: Vec<_> = of_topic.map(|(id, _)| *id).collect();
        members.into_iter().for_each(|member| self.leave(member));
        self.slots.retain(|place, _| place.source != topic);
        self.positions.retain(|(_, of, _), _| *of != topic);
    }

    /// `None`: not yet. `Some(None)`: never again.
    pub(crate) fn next_grant(&mut self, member: MemberId) -> Option<Option<Grant>> {
        let Some(share) = self.members.get_mut(&member) else { return Some(None) };
        let partition = share.untold.pop_first()?;
        let place = Place { cursor: share.cursor.clone(), source: share.inputs[0], partition };
        let slot = &self.slots[&place];
        let position = |topic: &TopicId| {
            self.positions.get(&(share.cursor.clone(), *topic, partition)).cloned()
        };
        Some(Some(Grant {
            id: slot.holder.as_ref().expect("it was granted").grant,
            inputs: share.inputs.clone(),
            generation: Generation(slot.generation),
            progress: share.inputs.iter().map(position).collect(),
            memo: slot.memo.clone(),
            before: if slot.has_settled { Before::HandedOver } else { Before::Nothing },
            place,
        }))
    }

    fn share_out(&mut self, cursor: &CursorName, source: TopicId, partitions: u32) {
        for partition in (0..partitions).map(PartitionId) {
            let place = Place { cursor: cursor.clone(), source, partition };
            self.slots.entry(place.clone()).or_default();
            self.grant(&place, None);
        }
    }

    /// If the place is free: to another than gave it back, to who holds the fewest, to who came first.
    fn grant(&mut self, place: &Place, giver: Option<MemberId>) {
        let slot = self.slots.get_mut(place).expect("the place is known");
        let of_place = self
            .members
            .iter_mut()
            .filter(|(_, share)| share.cursor == place.cursor && share.inputs[0] == place.source);
        let next = of_place.min_by_key(|(id, share)| (Some(**id) == giver, share.held, **id));
        if let (None, Some((member, share))) = (&slot.holder, next) {
            share.held += 1;
            share.untold.insert(place.partition);
            slot.generation += 1;
            slot.holder = Some(Holder { grant: GrantId::fresh(), member: *member });
        }
    }

    /// The fence: the slot of a lease, if that lease is the current one.
    pub(crate) fn current(&self, lease: &Lease) -> Option<&Slot> {
        let slot = self.slots.get(&place_of(lease)?)?;
        slot.holder.as_ref().filter(|holder| holder.grant == lease.grant).map(|_| slot)
    }

    pub(crate) fn position(&self, cursor: &CursorName, at: PartitionRef) -> Option<&Progress> {
        self.positions.get(&(cursor.clone(), at.topic, at.partition))
    }

    /// All was checked before.
    pub(crate) fn settle(&mut self, lease: &Lease, settlement: Settlement) {
        let place = place_of(lease).expect("checked");
        let slot = self.slots.get_mut(&place).expect("checked");
        for write in settlement.state {
            match write.value {
                Some(value) => slot.state.insert(write.at, value),
                None => slot.state.remove(&write.at),
            };
        }
        slot.memo = settlement.memo;
        slot.has_settled = true;
        for (input, progress) in lease.inputs.iter().zip(settlement.progress) {
            self.positions.insert((lease.cursor.clone(), *input, lease.partition), progress);
        }
    }

    pub(crate) fn infos(&self) -> Vec<CursorInfo> {
        let mut infos: Vec<CursorInfo> = Vec::new();
        for ((name, topic, partition), progress) in &self.positions {
            if infos.last().is_none_or(|last| last.name != *name) {
                let in_use = self.is_in_use(name);
                infos.push(CursorInfo { name: name.clone(), positions: Vec::new(), in_use });
            }
            let info = infos.last_mut().expect("just pushed");
            let (topic, partition, progress) = (*topic, *partition, progress.clone());
            info.positions.push(CursorPosition { topic, partition, progress });
        }
        infos
    }

    pub(crate) fn delete(&mut self, cursor: &CursorName) -> Result<(), DeleteCursorError> {
        if self.is_in_use(cursor) {
            return Err(DeleteCursorError::InUse(cursor.clone()));
        }
        if !self.positions.keys().any(|(name, ..)| name == cursor) {
            return Err(DeleteCursorError::NoCursor(cursor.clone()));
        }
        self.positions.retain(|(name, ..), _| name != cursor);
        self.slots.retain(|place, _| place.cursor != *cursor);
        Ok(())
    }

    fn is_in_use(&self, cursor: &CursorName) -> bool {
        let is_held =
            |(place, slot): (&Place, &Slot)| place.cursor == *cursor && slot.holder.is_some();
        self.members.values().any(|share| share.cursor == *cursor) || self.slots.iter().any(is_held)
    }
}

fn place_of(lease: &Lease) -> Option<Place> {
    let Lease { cursor, partition, inputs, .. } = lease;
    Some(Place { cursor: cursor.clone(), source: *inputs.first()?, partition: *partition })
}
