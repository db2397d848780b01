//! What a seed draws: the trigger's policy, the records and their nature, which faults there are.
use crate::rng::Rng;
use log_contract::{Timestamp, TopicId};
use std::{collections::BTreeMap, time::Duration};
use trigger::*;

/// What a record does to the guest, each time it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Good,
    /// Fails the whole span, until it has been billed so often (0 = always).
    Fails(u32),
    Permanent,
    /// Named in the answer, until it has been billed so often (0 = always).
    Item(u32),
    ItemPermanent,
    /// The answer names a record that is not in the span.
    Confused,
    /// Fails unless it is alone.
    Heavy,
    /// Its output is never accepted by the log.
    Refused,
    /// Writes state that the log never accepts.
    BigState,
    /// Takes the host down.
    Killer,
}

#[derive(Clone, Debug)]
pub struct Planned {
    pub appended_at: Timestamp,
    pub key: Option<Vec<u8>>,
    pub bytes: usize,
    pub kind: Kind,
    pub outputs: u8,
}

#[derive(Debug)]
pub struct Scene {
    pub policy: TriggerSpec,
    pub records: BTreeMap<u64, Planned>,
    pub end: u64,
    /// The guest keeps a counter per key.
    pub state: bool,
    /// The guest says what its outputs stem from.
    pub sources: bool,
    /// Outputs go to so many topics.
    pub topics: u64,
    /// Bytes that each output has besides its identity.
    pub padding: usize,
    /// What the log takes in one settlement, outputs only.
    pub settlement_max: usize,
    pub faults: bool,
    /// Leases come and go, and nothing crashes.
    pub moves: bool,
    pub faults_until: Timestamp,
    /// What the function needs is away.
    pub away: Vec<(Timestamp, Timestamp)>,
}

pub const DEAD: TopicId = TopicId(99);
/// State that the log takes.
pub const STATE_MAX: usize = 40;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn draw(rng: &mut Rng) -> Scene {
    let ordering = if rng.chance(40) { Ordering::Partition } else { Ordering::Key };
    let endless = rng.chance(10);
    let retry = RetryPolicy {
        attempts_max: (!endless).then(|| 1 + rng.below(4) as u32),
        bisect: rng.chance(75),
        item_failures: if rng.chance(75) { ItemFailures::Each } else { ItemFailures::Lowest },
        record_age_max: rng.chance(15).then(|| ms(200 + rng.below(2_000))),
        backoff_min: ms(1 + rng.below(40)),
        backoff_max: ms(200),
    };
    let batch = BatchPolicy {
        records_max: 1 + rng.below(10) as usize,
        bytes_max: 10 + rng.below(150) as usize,
        wait: ms(if rng.chance(50) { 0 } else { rng.below(60) }),
    };
    let bounds = draw_bounds(rng);
    let on_failure = match rng.below(10) {
        0..6 => OnFailure::DeadLetter(DEAD),
        6..8 => OnFailure::Drop,
        _ => OnFailure::Hold,
    };
    let policy = TriggerSpec { ordering, batch, retry, on_failure, bounds };
    let state = rng.chance(40);
    let kinds = draw_kinds(rng, endless, retry.bisect, state);
    let (records, end) = draw_records(rng, &kinds);
    let faults = rng.chance(80);
    let away = (0..if rng.chance(25) { 1 + rng.below(3) } else { 0 }).map(|_| {
        let from = rng.below(2_000);
        (Timestamp(from), Timestamp(from + rng.below(600)))
    });
    let away = away.collect();
    Scene {
        policy,
        records,
        end,
        state,
        sources: rng.chance(70),
        topics: 1 + if rng.chance(50) { rng.below(3) } else { 0 },
        padding: if rng.chance(70) { 0 } else { rng.below(60) as usize },
        // Whatever one record gives finds room.
        settlement_max: 400 + rng.below(800) as usize,
        faults,
        moves: faults && rng.chance(15),
        faults_until: Timestamp(if faults { 3_000 } else { 0 }),
        away,
    }
}

fn draw_bounds(rng: &mut Rng) -> Bounds {
    let page_records = 1 + rng.below(12) as usize;
    Bounds {
        open_records: page_records + rng.below(60) as usize,
        open_bytes: 100 + rng.below(1_000) as usize,
        page_records,
        page_bytes: 40 + rng.below(200) as usize,
        unsettled_pieces: 1 + rng.below(8) as usize,
        unsettled_bytes: 20 + rng.below(200) as usize,
        settlement_bytes: if rng.chance(60) { 1 << 20 } else { 300 + rng.below(900) as usize },
        ranges: 1 + if rng.chance(50) { rng.below(4) as usize } else { 40 },
        memo_entries: if rng.chance(80) { 40 } else { rng.below(3) as usize },
        fault_pause: ms(20),
    }
}

fn draw_kinds(rng: &mut Rng, endless: bool, bisect: bool, state: bool) -> Vec<Kind> {
    let mut kinds = vec![Kind::Good; 4 + rng.below(16) as usize];
    let flaky = 1 + rng.below(3) as u32;
    let mortal = [
        Kind::Fails(0),
        Kind::Permanent,
        Kind::Item(0),
        Kind::ItemPermanent,
        Kind::Confused,
        Kind::Fails(flaky),
        Kind::Item(flaky),
        Kind::Refused,
        Kind::BigState,
    ];
    for kind in mortal {
        let ends = !endless || matches!(kind, Kind::Fails(n) | Kind::Item(n) if n > 0);
        if ends && rng.chance(30) && (state || kind != Kind::BigState) {
            kinds.push(kind);
        }
    }
    if rng.chance(10) && (bisect || !endless) {
        kinds.push(Kind::Heavy);
    }
    kinds
}

fn draw_records(rng: &mut Rng, kinds: &[Kind]) -> (BTreeMap<u64, Planned>, u64) {
    let mut records = BTreeMap::new();
    let (mut at, mut now) = (rng.below(5), 0);
    let keys = 1 + rng.below(8);
    let unkeyed = if rng.chance(30) { 40 } else { 0 };
    let pace = rng.below(30);
    for _ in 0..rng.below(70) {
        let key = (!rng.chance(unkeyed)).then(|| format!("key-{}", rng.below(keys)).into_bytes());
        let mut kind = kinds[rng.below(kinds.len() as u64) as usize];
        if kind == Kind::BigState && key.is_none() {
            kind = Kind::Good;
        }
        let bytes = 8 + rng.below(24) as usize;
        let outputs = if rng.chance(80) || kind == Kind::Refused { 1 } else { rng.below(3) as u8 };
        records.insert(at, Planned { appended_at: Timestamp(now), key, bytes, kind, outputs });
        at += 1 + if rng.chance(20) { rng.below(4) } else { 0 }; // holes, as Kafka has
        now += if rng.chance(50) { rng.below(1 + pace) } else { 0 };
    }
    if rng.chance(3) && !records.is_empty() {
        let nth = rng.below(records.len() as u64) as usize;
        let record = records.values_mut().nth(nth).expect("one of them");
        record.kind = Kind::Killer;
    }
    (records, at)
}
