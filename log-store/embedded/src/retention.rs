//! Decides what retention takes: by age, by bytes, and never what a trigger has not read, up to a bound. And
//! which segments have nothing left that anybody reads. Pure: where a record lies may have to be looked up
//! in a file, so that is asked for. No clock, no I/O, and nothing is taken here.
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use log_contract::{Offset, PartitionId, PartitionRef, Retention, Timestamp, TopicId};

use crate::state::State;

/// What a partition has too much of, as far as that is known without a look at any file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) at: PartitionRef,
    /// What was said of its topic.
    pub(crate) retention: Retention,
    start: Offset,
    /// What was appended earlier may be among it.
    before: Option<Timestamp>,
    /// The first so many of all bytes that the partition ever had, as far as whole batches lie in them.
    bytes: Option<u64>,
    /// What no trigger has read begins here.
    unread: Option<Offset>,
}

/// What [`Excess::cut`] wants to know.
pub(crate) trait Places {
    type Error;

    /// The first record that was not stamped before `at`; else the end.
    fn at_time(&self, partition: PartitionRef, at: Timestamp) -> Result<Offset, Self::Error>;
    /// The last batch with at most so many bytes before it, of all that the partition ever had.
    fn by_bytes(&self, partition: PartitionRef, bytes: u64) -> Result<Offset, Self::Error>;
    /// Bytes of all records that the partition ever had before this one.
    fn bytes_before(&self, partition: PartitionRef, before: Offset) -> Result<u64, Self::Error>;
}

/// The partitions that may have too much. `now`: if the clock can be relied on; else nothing is too old.
pub(crate) fn excess(state: &State, now: Option<Timestamp>) -> Vec<Excess> {
    let mut found = Vec::new();
    let mut is_held = false;
    for (id, topic) in &state.topics {
        let retention = &topic.spec.retention;
        let oldest = retention.age.zip(now).map(|(age, now)| now.before(age));
        for (nth, partition) in (0..).map(PartitionId).zip(&topic.partitions) {
            let before = oldest
                .filter(|oldest| partition.stamped_from().is_some_and(|stamped| stamped < *oldest));
            let (start_bytes, end_bytes) = partition.bytes();
            let kept = retention.bytes.unwrap_or(u64::MAX);
            let bytes = (end_bytes - start_bytes > kept).then(|| end_bytes - kept);
            if before.is_none() && bytes.is_none() {
                continue;
            }
            is_held |= retention.hold_for_triggers;
            let at = PartitionRef::new(*id, nth);
            let (retention, start) = (*retention, partition.start);
            found.push(Excess { at, retention, start, before, bytes, unread: None });
        }
    }
    if is_held {
        let unread = unread(state);
        for excess in found.iter_mut().filter(|it| it.retention.hold_for_triggers) {
            excess.unread = unread.get(&(excess.at.topic, excess.at.partition)).copied();
        }
    }
    found
}

/// How far every cursor has come that reads a partition.
fn unread(state: &State) -> HashMap<(TopicId, PartitionId), Offset> {
    let mut unread: HashMap<_, Offset> = HashMap::new();
    for (at, progress) in state.cursors.values().flat_map(|cursor| &cursor.positions) {
        let least = unread.entry(*at).or_insert(progress.next());
        *least = (*least).min(progress.next());
    }
    unread
}

impl Excess {
    /// The first record that stays, if any goes. `held_max`: what is held for triggers has at most so many
    /// bytes, and those of a batch.
    pub(crate) fn cut<P: Places>(
        &self,
        places: &P,
        held_max: u64,
    ) -> Result<Option<Offset>, P::Error> {
        let mut to = self.start;
        if let Some(before) = self.before {
            to = to.max(places.at_time(self.at, before)?);
        }
        if let Some(bytes) = self.bytes {
            to = to.max(places.by_bytes(self.at, bytes)?);
        }
        if let Some(unread) = self.unread.filter(|unread| *unread < to) {
            let bytes = places.bytes_before(self.at, to)?.saturating_sub(held_max);
            // Behind `to` there may be records without bytes.
            to = unread.max(places.by_bytes(self.at, bytes)?).min(to);
        }
        Ok((to > self.start).then_some(to))
    }
}

/// Those cuts that are right by what is known now: looking records up takes a while, in which a cursor may
/// have got its first position or have gone back. Of what is said of a topic the plan makes sure.
pub(crate) fn still_right(state: &State, cuts: Vec<(Excess, Offset)>) -> Vec<(Excess, Offset)> {
    let is_held = cuts.iter().any(|(excess, _)| excess.retention.hold_for_triggers);
    let unread = if is_held { unread(state) } else { HashMap::new() };
    let is_right = |(excess, _): &(Excess, Offset)| {
        let now = unread.get(&(excess.at.topic, excess.at.partition)).copied();
        // Without one it is as if all was read.
        let end = Offset(u64::MAX);
        !excess.retention.hold_for_triggers || now.unwrap_or(end) >= excess.unread.unwrap_or(end)
    };
    cuts.into_iter().filter(is_right).collect()
}

/// The segments of `there` that nobody reads: no opening, as `covered` says, and no reader, as all that they
/// have is gone.
pub(crate) fn dead(there: &BTreeSet<u64>, state: &State, covered: u64) -> Vec<u64> {
    let is_dead = |id: &&u64| !state.in_sealed.contains_key(*id);
    there.range(..covered).filter(is_dead).copied().collect()
}

/// A clock that jumps may be wrong: what is taken for its age then is gone when it is set right.
#[derive(Debug)]
pub(crate) struct Patience {
    seen: Timestamp,
    /// By the clock, which may stand still once it is set right; and by time that passed, as it may jump again.
    until: (Timestamp, Duration),
}

/// No pause between two looks is so long.
const JUMP: Duration = Duration::from_secs(3_600);
/// Long enough for a person or a time server.
const WAIT: Duration = Duration::from_secs(600);

impl Patience {
    /// `newest`: of all stamps that are stored.
    pub(crate) fn new(newest: Option<Timestamp>) -> Self {
        let seen = newest.unwrap_or(Timestamp(u64::MAX));
        Self { seen, until: (Timestamp(0), Duration::ZERO) }
    }

    /// Whether `now` can be relied on; else, once, by how much it jumped. `passed`: since the first look.
    pub(crate) fn is_over(&mut self, now: Timestamp, passed: Duration) -> Result<bool, Duration> {
        let jumped = Duration::from_millis(now.0.saturating_sub(self.seen.0));
        self.seen = now;
        if jumped > JUMP {
            self.until = (now.after(WAIT), passed + WAIT);
            return Err(jumped);
        }
        let (by_clock, by_time) = self.until;
        // Where a clock may go back, it may have been set right.
        self.until.0 = by_clock.min(now.after(WAIT));
        Ok(now >= self.until.0 && passed >= by_time)
    }
}

#[cfg(test)]
mod tests;
