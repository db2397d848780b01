//! Who may consume what right now: members and leases. All of it in memory: a lease dies with its
//! process, and the epoch in its generation keeps it from coming back. Never a position of its own.
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use log_contract::{
    Before, CursorName, Generation, GrantId, JoinError, Lease, LogUnavailable, MembershipEvent,
    Memo, PartitionId, Release, TopicId,
};
use tokio::sync::Notify;

use crate::{entry::Seat, plan::RETRY_AFTER, request::Right, state::State};

/// Makes the part of a lease that gives it back.
pub(crate) type MakeRelease = dyn Fn(Right) -> Release + Send + Sync;

/// See the module.
pub(crate) struct Leases {
    table: Mutex<Table>,
    make_release: Box<MakeRelease>,
}

#[derive(Default)]
struct Table {
    held: HashMap<Seat, Held>,
    /// In the order in which they joined.
    members: BTreeMap<u64, Member>,
    members_ever: u64,
    /// Within this epoch: the lower half of a generation.
    leases_ever: u32,
    is_closed: bool,
}

struct Held {
    grant: GrantId,
    member: u64,
    inputs: Vec<TopicId>,
}

struct Member {
    cursor: CursorName,
    inputs: Vec<TopicId>,
    inbox: Arc<Inbox>,
    /// How many leases it holds.
    leases: usize,
}

/// What a member was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    events: Mutex<VecDeque<MembershipEvent>>,
    is_over: AtomicBool,
    changed: Notify,
}

impl Inbox {
    /// The next event; `None` when nothing will come any more.
    pub(crate) async fn next(&self) -> Option<MembershipEvent> {
        loop {
            let changed = self.changed.notified();
            if self.is_over.load(Ordering::Acquire) {
                return None;
            }
            if let Some(event) = self.pop() {
                return Some(event);
            }
            changed.await;
        }
    }

    fn pop(&self) -> Option<MembershipEvent> {
        let mut events = self.lock();
        let event = events.pop_front();
        if events.is_empty() {
            // Most members get one event, and wait for ever for the next.
            *events = VecDeque::new();
        }
        event
    }

    fn push(&self, event: MembershipEvent) {
        self.lock().push_back(event);
        self.changed.notify_one();
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// All that it holds; leases among it are given back when dropped.
    fn drain(&self) -> VecDeque<MembershipEvent> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<MembershipEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leases {
    pub(crate) fn new(make_release: Box<MakeRelease>) -> Self {
        Self { table: Mutex::default(), make_release }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a member in and offers it what is free. The inputs exist.
    ///
    /// # Errors
    /// Closed, or no lease can be granted any more.
    pub(crate) fn join(
        &self,
        state: &State,
        cursor: &CursorName,
        inputs: &[TopicId],
    ) -> Result<(u64, Arc<Inbox>), JoinError> {
        let source = *inputs.first().ok_or(JoinError::NoInput)?;
        let mut table = self.table();
        if table.is_closed {
            return Err(LogUnavailable::Closed.into());
        }
        if table.leases_ever == u32::MAX {
            let why = LEASES_USED_UP.into();
            return Err(LogUnavailable::Away { why, retry_after: RETRY_AFTER }.into());
        }
        table.members_ever += 1;
        let (id, inbox) = (table.members_ever, Arc::new(Inbox::default()));
        let (cursor, inputs) = (cursor.clone(), inputs.to_vec());
        let member = Member { cursor: cursor.clone(), inputs, inbox: inbox.clone(), leases: 0 };
        table.members.insert(id, member);
        self.offer_all(&mut table, state, &cursor, source);
        Ok((id, inbox))
    }

    /// What the member holds stays its own until dropped; what it was not told of goes back.
    pub(crate) fn leave(&self, member: u64) {
        let member = self.table().members.remove(&member);
        // Leases in it say goodbye through the writer: not under the lock.
        drop(member.map(|member| member.inbox.drain()));
    }

    pub(crate) fn is_current(&self, right: &Right) -> bool {
        let table = self.table();
        let held = table.held.get(&right.seat);
        held.is_some_and(|held| held.grant == right.grant && held.inputs == right.inputs)
    }

    pub(crate) fn is_in_use(&self, cursor: &CursorName) -> bool {
        let table = self.table();
        table.members.values().any(|member| member.cursor == *cursor)
            || table.held.keys().any(|seat| seat.cursor == *cursor)
    }

    /// A lease came back, after all that was asked under it: to another member, if there is one.
    pub(crate) fn release(&self, state: &State, right: &Right) {
        let mut table = self.table();
        let is_current = |held: &Held| held.grant == right.grant;
        if !table.held.get(&right.seat).is_some_and(is_current) {
            return;
        }
        let giver = table.held.remove(&right.seat).map(|held| held.member);
        if let Some(member) = giver.and_then(|giver| table.members.get_mut(&giver)) {
            member.leases -= 1;
        }
        self.offer(&mut table, state, &right.seat, giver);
    }

    /// A topic has more partitions now.
    pub(crate) fn grow(&self, state: &State, source: TopicId) {
        let mut table = self.table();
        let of_source =
            |member: &&Member| member.inputs.first().is_some_and(|input| *input == source);
        let members = table.members.values().filter(of_source);
        let mut cursors: Vec<_> = members.map(|member| member.cursor.clone()).collect();
        cursors.dedup();
        for cursor in cursors {
            self.offer_all(&mut table, state, &cursor, source);
        }
    }

    /// Leases on it are void, members hear that nothing will come any more.
    pub(crate) fn topic_deleted(&self, topic: TopicId) {
        let mut table = self.table();
        table.held.retain(|_, held| !held.inputs.contains(&topic));
        table.members.retain(|_, member| {
            let is_over = member.inputs.contains(&topic);
            if is_over {
                member.inbox.end();
            }
            !is_over
        });
    }

    /// A cursor is gone: leases that were granted while it went have a position that is gone, too.
    pub(crate) fn cursor_deleted(&self, state: &State, cursor: &CursorName) {
        let mut table = self.table();
        let seats = table.held.keys().filter(|seat| seat.cursor == *cursor);
        for seat in seats.cloned().collect::<Vec<_>>() {
            let Some(Held { grant, member, .. }) = table.held.remove(&seat) else { continue };
            if let Some(member) = table.members.get_mut(&member) {
                member.leases -= 1;
                let partition = seat.partition;
                member.inbox.push(MembershipEvent::Lost { partition, grant });
            }
            self.offer(&mut table, state, &seat, None);
        }
    }

    /// Nothing is granted any more, nobody holds anything.
    pub(crate) fn close(&self) {
        let mut table = self.table();
        table.is_closed = true;
        table.held.clear();
        let members = std::mem::take(&mut table.members);
        drop(table);
        members.values().for_each(|member| member.inbox.end());
    }

    fn offer_all(&self, table: &mut Table, state: &State, cursor: &CursorName, source: TopicId) {
        let partitions = state.topics.get(&source).map_or(0, |topic| topic.spec.partitions);
        for partition in (0..partitions).map(PartitionId) {
            let seat = Seat { cursor: cursor.clone(), source, partition };
            if !table.held.contains_key(&seat) {
                self.offer(table, state, &seat, None);
            }
        }
    }

    /// To another than gave it back, to who holds the fewest, to who came first.
    fn offer(&self, table: &mut Table, state: &State, seat: &Seat, giver: Option<u64>) {
        if table.is_closed {
            return;
        }
        let Table { members, held, leases_ever, .. } = table;
        let may = |(_, member): &(&u64, &mut Member)| {
            member.cursor == seat.cursor && member.inputs.first() == Some(&seat.source)
        };
        let next = members
            .iter_mut()
            .filter(may)
            .min_by_key(|(id, member)| (Some(**id) == giver, member.leases, **id));
        let Some((id, member)) = next else { return };
        // One more would be a generation of the next epoch, and fence its leases.
        let Some(generation) = generation_of(state.epoch, *leases_ever) else {
            tracing::error!("a lease is not granted: {LEASES_USED_UP}");
            return;
        };
        member.leases += 1;
        *leases_ever += 1;
        let right = Right {
            seat: seat.clone(),
            inputs: member.inputs.clone(),
            generation,
            grant: GrantId::fresh(),
        };
        let (grant, inputs) = (right.grant, right.inputs.clone());
        held.insert(seat.clone(), Held { grant, member: *id, inputs });
        member.inbox.push(MembershipEvent::Gained(self.lease(state, right)));
    }

    fn lease(&self, state: &State, right: Right) -> Lease {
        let Seat { cursor, partition, .. } = right.seat.clone();
        let positions = state.cursors.get(&cursor).map(|cursor| &cursor.positions);
        let position = |topic: &TopicId| positions?.get(&(*topic, partition)).cloned();
        let part = state.part(&right.seat);
        let before = match part {
            None => Before::Nothing,
            // Of an earlier epoch and still held: its process ended without a word.
            Some(part) if part.is_held && part.generation.0 >> 32 < state.epoch => Before::Crashed,
            Some(_) => Before::HandedOver,
        };
        Lease {
            cursor,
            partition,
            inputs: right.inputs.clone(),
            generation: right.generation,
            grant: right.grant,
            progress: right.inputs.iter().map(position).collect(),
            memo: part.map_or_else(Memo::default, |part| part.memo.clone()),
            before,
            release: (self.make_release)(right),
        }
    }
}

/// A store is opened anew more often than this: it takes a hundred leases a second, for sixteen months.
const LEASES_USED_UP: &str =
    "all generations of this opening are used up: restart, to open the log anew";

/// Of the next lease, after so many in this epoch.
fn generation_of(epoch: u64, leases_before: u32) -> Option<Generation> {
    let (epoch, nth) = (u32::try_from(epoch).ok()?, leases_before.checked_add(1)?);
    Some(Generation(u64::from(epoch) << 32 | u64::from(nth)))
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let table = self.table();
        f.debug_struct("Leases")
            .field("held", &table.held.len())
            .field("members", &table.members.len())
            .finish_non_exhaustive()
    }
}

/// The right that a lease states. `None`: it is none of ours.
pub(crate) fn right_of(lease: &Lease) -> Option<Right> {
    let Lease { cursor, partition, inputs, generation, grant, .. } = lease;
    let seat = Seat { cursor: cursor.clone(), source: *inputs.first()?, partition: *partition };
    Some(Right { seat, inputs: inputs.clone(), generation: *generation, grant: *grant })
}

#[cfg(test)]
mod tests {
    use log_contract::{TopicName, TopicSpec};

    use super::*;
    use crate::state::{Partition, Topic};

    #[test]
    fn no_generation_is_of_the_next_epoch() {
        let mut state = State { epoch: 3, ..State::default() };
        let spec = TopicSpec::new(TopicName::parse("t").expect("a name"), 2);
        let partitions = vec![Partition::default(); 2];
        state.topics.insert(TopicId(1), Topic { spec, partitions, spread: 0 });
        let leases = Leases::new(Box::new(|_| Release::new(|| {})));
        leases.table().leases_ever = u32::MAX - 1;
        let cursor = CursorName::parse("c").expect("a name");
        let (_, inbox) = leases.join(&state, &cursor, &[TopicId(1)]).expect("one is left");
        let events = inbox.drain();
        let [MembershipEvent::Gained(lease)] = events.as_slices().0 else { panic!("{events:?}") };
        assert_eq!(lease.generation, Generation((4 << 32) - 1));
        let right = right_of(lease).expect("it is ours");
        assert!(leases.is_current(&right), "what was granted stays good");
        let refused = leases.join(&state, &cursor, &[TopicId(1)]).expect_err("none is left");
        assert!(refused.to_string().contains("restart"), "{refused}");
        leases.release(&state, &right);
        assert!(inbox.drain().is_empty() && !leases.is_current(&right));
        assert_eq!(generation_of(1 << 32, 0), None);
    }
}
