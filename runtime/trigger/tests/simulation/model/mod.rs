//! What must hold, whatever happens. The model knows the log's truth, what this incarnation's attempts
//! answered, and nothing of how the feed works inside.
mod answers;
mod attempts;
mod settlements;
mod stands;

use crate::{
    memo::{self, Noted},
    scene::{Kind, Planned, Scene},
};
use bytes::Bytes;
use log_contract::*;
use std::collections::{BTreeMap, BTreeSet};
use trigger::*;

pub struct Model {
    progress: Progress,
    /// As far as the feed was told: the log may know more.
    told: Progress,
    memo: Memo,
    noted: Noted,
    kinds: BTreeMap<u64, Planned>,
    /// Every output that became visible: what it stems from, which copy, and where it went.
    pub outputs: BTreeMap<(u64, u8, TopicId), u32>,
    /// By dead letter or dropped.
    pub ended: BTreeMap<u64, Condition>,
    pub handled: BTreeSet<u64>,
    pub lost: BTreeSet<u64>,
    state: BTreeMap<StateKey, Bytes>,
    start: u64,
    /// Starts that ended without a word, ever.
    crashes: u32,

    // Of this incarnation.
    flights: BTreeMap<DeliveryId, Flight>,
    strays: BTreeMap<DeliveryId, Flight>,
    /// Answered as handled, not durable; and how many records were so by one answer.
    good: BTreeMap<u64, usize>,
    /// Told by the function that another try is pointless.
    hopeless: BTreeSet<u64>,
    /// Of these the ones that the memo says so of (`on_failure: hold`).
    finals: BTreeSet<u64>,
    /// Named as failed in an answer that others of the span came well out of.
    excused: BTreeSet<u64>,
    /// How often each record was in a failed attempt that was billed, and the memo's count before.
    billed: BTreeMap<u64, u32>,
    /// By which failure last, if it was in this life.
    errors: BTreeMap<u64, (FailureKind, u32)>,
    /// When each may be tried again.
    retry_at: BTreeMap<u64, Timestamp>,
    /// What one answer decided settles together.
    answers: Vec<Answer>,
    /// Since when what the function needs is away, how often it was asked, and who asks now.
    away: Option<Away>,
    fetched_at: BTreeMap<u64, Timestamp>,
    /// Age counts from then.
    aged_from: Timestamp,
    /// Something was billed and no settlement has said so yet.
    unsaid: bool,
    paused_until: Timestamp,
    /// The log called a settlement invalid.
    broken: bool,
    /// Handed out at least once.
    handed: BTreeSet<u64>,
    /// A page brought a hole and no record: a range that no work made.
    saw_gap: bool,
    /// How the feed stood after the event before.
    before: Option<Stand>,
    /// Batches handed over: their records, their bytes, their buffers.
    pages: Vec<Page>,
    settling: Option<Sent>,
    /// A settlement was refused: what it held is decided again, later.
    was_refused: bool,
    /// What the last fetch asked for.
    awaits: Option<Offset>,
    tally: Tally,
    sent_tally: Tally,
}

struct Flight {
    offsets: Vec<u64>,
}

struct Answer {
    decided: Vec<u64>,
    /// It has state that no log takes.
    is_big: bool,
}

struct Page {
    offsets: Vec<u64>,
    bytes: usize,
    buffer: Bytes,
}

/// What is under way to the log.
struct Sent {
    /// What each output stems from.
    outputs: Vec<Vec<u64>>,
    progress: Progress,
}

struct Away {
    not_before: Timestamp,
    tries: u32,
    probe: Option<DeliveryId>,
}

/// What the feed's counts must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    records_in: u64,
    records_out: u64,
    handled: u64,
    dead_lettered: Ended,
    dropped: Ended,
    invocations: u64,
}

impl Model {
    pub fn new(scene: &Scene, first: Offset) -> Self {
        Self {
            progress: Progress::at(first),
            told: Progress::at(first),
            memo: Memo::default(),
            noted: Noted::default(),
            kinds: scene.records.clone(),
            outputs: BTreeMap::new(),
            ended: BTreeMap::new(),
            handled: BTreeSet::new(),
            lost: BTreeSet::new(),
            state: BTreeMap::new(),
            start: 0,
            crashes: 0,
            flights: BTreeMap::new(),
            strays: BTreeMap::new(),
            good: BTreeMap::new(),
            hopeless: BTreeSet::new(),
            finals: BTreeSet::new(),
            excused: BTreeSet::new(),
            billed: BTreeMap::new(),
            errors: BTreeMap::new(),
            retry_at: BTreeMap::new(),
            answers: Vec::new(),
            away: None,
            fetched_at: BTreeMap::new(),
            aged_from: Timestamp(0),
            unsaid: false,
            handed: BTreeSet::new(),
            saw_gap: false,
            before: None,
            paused_until: Timestamp(0),
            broken: false,
            pages: Vec::new(),
            settling: None,
            was_refused: false,
            awaits: None,
            tally: Tally::default(),
            sent_tally: Tally::default(),
        }
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    pub fn state(&self, at: &StateKey) -> Option<Bytes> {
        self.state.get(at).cloned()
    }

    /// `is_damaged`: what the log gives back is no memo that anybody knows.
    pub fn restart(&mut self, before: Before, is_damaged: bool) -> (Progress, Memo) {
        self.crashes += u32::from(before == Before::Crashed);
        if is_damaged {
            self.memo = Memo::default();
            self.noted = Noted::default();
        } else {
            self.noted = memo::read(&self.memo);
        }
        self.told = self.progress.clone();
        self.flights.clear();
        self.strays.clear();
        self.forget();
        self.errors.clear();
        self.retry_at.clear();
        self.finals = self.noted.failing.iter().filter(|(.., last)| *last).map(|f| f.0.0).collect();
        self.hopeless = self.finals.clone();
        self.fetched_at.clear();
        self.settling = None;
        self.unsaid = false;
        self.broken = false;
        self.saw_gap = false;
        self.before = None;
        self.paused_until = Timestamp(0);
        self.aged_from = self.noted.aged_from;
        let tries = self.noted.circuit_tries;
        let not_before = Timestamp(0);
        self.away = (tries > 0).then_some(Away { not_before, tries, probe: None });
        self.billed = self.noted.failing.iter().map(|f| (f.0.0, f.1)).collect();
        (self.tally, self.sent_tally) = Default::default();
        let memo = if is_damaged { Memo(vec![9, 9, 9].into()) } else { self.memo.clone() };
        (self.progress.clone(), memo)
    }

    /// All that is not durable.
    fn forget(&mut self) {
        self.good.clear();
        self.hopeless = self.finals.clone();
        self.excused.clear();
        self.pages.clear();
        self.awaits = None;
        self.handed.clear();
        self.answers.clear();
    }

    /// The feed gives up what is not durable and reads it again.
    fn rewound(&mut self) {
        self.forget();
        if let Some(away) = &mut self.away {
            away.probe = None;
        }
        self.strays.append(&mut self.flights);
    }

    pub fn trimmed(&mut self, start: u64) {
        self.start = start;
    }

    /// The guilty record is the oldest that is open.
    pub fn is_killed_by_next(&self) -> bool {
        let open = |at: &u64| !self.progress.covers(Offset(*at));
        let oldest = self.kinds.iter().find(|(at, _)| open(at));
        oldest.is_some_and(|(_, record)| record.kind == Kind::Killer)
    }

    fn key<'a>(&'a self, scene: &Scene, at: u64) -> Option<&'a [u8]> {
        match scene.policy.ordering {
            Ordering::Partition => Some(b"all"),
            Ordering::Key => self.kinds[&at].key.as_deref(),
        }
    }

    fn is_settled(&self, at: u64) -> bool {
        self.progress.covers(Offset(at))
    }

    fn is_too_old(&self, now: Timestamp, scene: &Scene, at: u64) -> bool {
        let age = now.since(self.kinds[&at].appended_at.max(self.aged_from));
        scene.policy.retry.record_age_max.is_some_and(|age_max| age > age_max)
    }

    fn has_used_up(&self, scene: &Scene, at: u64) -> bool {
        let billed = self.billed.get(&at).copied().unwrap_or(0);
        scene.policy.retry.attempts_max.is_some_and(|max| billed >= max)
    }

    /// Its fate may be decided, though the log does not know yet. What is held is not.
    fn may_be_decided(&self, now: Timestamp, scene: &Scene, at: u64) -> bool {
        let is_given_up = self.hopeless.contains(&at)
            || self.has_used_up(scene, at)
            || self.is_too_old(now, scene, at);
        self.good.contains_key(&at) || (is_given_up && scene.policy.on_failure != OnFailure::Hold)
    }
}

/// What an output stems from, and which copy of it it is.
fn source(output: &Record<'_>) -> (u64, u8) {
    let (offset, rest) = output.value.expect("outputs have values").split_at(8);
    (u64::from_le_bytes(offset.try_into().expect("eight bytes")), rest[0])
}
