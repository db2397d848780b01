//! What a settlement may say, and what becomes visible with it.
use super::{Model, Sent, source};
use crate::{
    guest, memo,
    scene::{Kind, Scene},
};
use bytes::Bytes;
use log_contract::*;
use std::collections::BTreeMap;
use trigger::*;

impl Model {
    pub fn settling(&mut self, scene: &Scene, settle: &Settle) {
        assert!(self.settling.is_none(), "one settlement at a time");
        let Settlement { progress, outputs, memo, rewind, .. } = &settle.settlement;
        assert!(!rewind && progress.len() == 1, "one input, and never back");
        let progress = progress[0].clone();
        let bounds = scene.policy.bounds;
        assert!(progress.ahead().len() <= bounds.ranges, "ranges are bounded");
        let noted = memo::read(memo);
        assert!(noted.failing.len() <= bounds.memo_entries, "the memo is bounded");
        assert_eq!(noted.aged_from, self.aged_from, "age is remembered");
        self.unsaid = false;
        if scene.policy.retry.bisect && bounds.memo_entries >= 40 {
            let open = |at: &u64| self.start <= *at && !progress.covers(Offset(*at));
            let said = noted.failing.iter().map(|(head, failures, _)| (head.0, *failures));
            let said: Vec<_> = said.filter(|(at, _)| open(at)).collect();
            let billed = self.billed.iter().map(|(at, billed)| (*at, *billed));
            let billed: Vec<_> = billed.filter(|(at, _)| open(at)).collect();
            assert_eq!(said, billed, "the memo says what was billed");
            let finals = noted.failing.iter().filter(|(.., last)| *last).map(|(head, ..)| head.0);
            let finals: Vec<_> = finals.filter(open).collect();
            let known: Vec<_> = self.finals.iter().copied().filter(open).collect();
            assert_eq!(finals, known, "and what is final");
        }
        let outputs = outputs.iter().map(|output| {
            output.span.records().map(|record| source(&record).0).collect::<Vec<_>>()
        });
        let outputs: Vec<_> = outputs.collect();
        assert!(outputs.iter().all(|output| !output.is_empty()), "no output is empty");
        self.check_company(scene, settle);
        self.settling = Some(Sent { outputs, progress });
    }

    /// Answers join a settlement as long as it stays within its bound.
    fn check_company(&self, scene: &Scene, settle: &Settle) {
        let Settle { settlement, dead_letters, dropped } = settle;
        let covers = |at: &u64| settlement.progress[0].covers(Offset(*at));
        let settles = |at: &u64| !self.is_settled(*at) && covers(at);
        let answers = self.answers.iter().filter(|answer| answer.decided.iter().any(settles));
        let answers = answers.count();
        let outputs: usize = settlement.outputs.iter().map(|output| output.span.bytes()).sum();
        let ended: usize = dead_letters.iter().chain(dropped).map(|one| one.record.bytes()).sum();
        let is_light = outputs + ended <= scene.policy.bounds.settlement_bytes;
        // Unless fewer have too many ranges.
        let has_ranges = scene.policy.bounds.ranges > 40;
        assert!(is_light || answers <= 1 || !has_ranges, "{answers} answers are too much together");
    }

    pub fn apply(&mut self, now: Timestamp, scene: &Scene, settle: &Settle) {
        let Settlement { progress, outputs, state, memo, .. } = &settle.settlement;
        let progress = &progress[0];
        assert!(progress.next() <= Offset(scene.end), "nothing is settled before it is there");
        let mut letters = self.letters(scene, settle);
        for answer in &self.answers {
            let settles = |at: &&u64| !self.is_settled(**at) && progress.covers(Offset(**at));
            let settling = answer.decided.iter().filter(settles).count();
            let whole = answer.decided.len();
            let is_held = scene.policy.on_failure == OnFailure::Hold;
            assert!(settling == 0 || settling == whole || is_held, "one answer settles at once");
        }
        self.answers.retain(|answer| !answer.decided.iter().all(|at| progress.covers(Offset(*at))));
        let mut expected = BTreeMap::new();
        let mut lost = 0;
        let kinds: Vec<_> = self.kinds.keys().copied().collect();
        for at in kinds {
            match (self.is_settled(at), progress.covers(Offset(at))) {
                (false, false) | (true, true) => continue,
                (true, false) => panic!("the cursor went back over {at}"),
                (false, true) => (),
            }
            if let Some(letter) = letters.remove(&at) {
                self.check_end(now, scene, at, &letter);
                self.ended.insert(at, letter.condition);
            } else if self.good.remove(&at).is_some() {
                self.handled.insert(at);
                self.sent_tally.handled += 1;
                for copy in 0..self.kinds[&at].outputs {
                    expected.insert((at, copy, guest::topic(scene, at, copy)), 1);
                }
            } else {
                assert!(at < self.start, "{at} is settled and nobody handled it");
                self.lost.insert(at);
                lost += 1;
                continue;
            }
            self.check_settled_in_order(scene, progress, at);
        }
        assert!(letters.is_empty(), "a dead letter settles its record");
        self.check_lost(memo, progress, lost);
        self.publish(outputs, &expected);
        for write in state {
            match &write.value {
                Some(value) => _ = self.state.insert(write.at.clone(), value.clone()),
                None => _ = self.state.remove(&write.at),
            }
        }
        self.progress = progress.clone();
        self.memo = memo.clone();
        self.noted = memo::read(memo);
        if scene.state {
            self.check_state(scene);
        }
    }

    fn letters(&mut self, scene: &Scene, settle: &Settle) -> BTreeMap<u64, DeadLetter> {
        let (kept, other, tally) = match scene.policy.on_failure {
            OnFailure::Drop => {
                (&settle.dropped, &settle.dead_letters, &mut self.sent_tally.dropped)
            }
            OnFailure::DeadLetter(_) | OnFailure::Hold => {
                (&settle.dead_letters, &settle.dropped, &mut self.sent_tally.dead_lettered)
            }
        };
        assert!(other.is_empty(), "records end as the policy says");
        let holds = scene.policy.on_failure == OnFailure::Hold;
        assert!(!holds || kept.is_empty(), "what is held is never given up");
        let mut letters = BTreeMap::new();
        for letter in kept {
            let at = letter.record.head().0;
            *match letter.condition {
                Condition::AttemptsExhausted => &mut tally.attempts_exhausted,
                Condition::Permanent => &mut tally.permanent,
                Condition::RecordTooOld => &mut tally.record_too_old,
            } += 1;
            assert!(letter.record.len() == 1 && letters.insert(at, letter.clone()).is_none());
        }
        letters
    }

    fn check_lost(&self, memo: &Memo, progress: &Progress, lost: u64) {
        let before = self.noted.lost;
        let told = memo::read(memo).lost;
        let span = self.progress.next().0..self.start.max(self.progress.next().0);
        let is_new = |at: &u64| !self.is_settled(*at) && progress.covers(Offset(*at));
        let most = span.filter(is_new).count() as u64;
        assert!(before + lost <= told && told <= before + most, "lost: {before} {lost} {told}");
    }

    fn publish(&mut self, outputs: &[Output], expected: &BTreeMap<(u64, u8, TopicId), u32>) {
        let mut given: BTreeMap<(u64, u8, TopicId), u32> = BTreeMap::new();
        for output in outputs {
            for record in output.span.records() {
                let (at, copy) = source(&record);
                *given.entry((at, copy, output.topic)).or_default() += 1;
            }
        }
        assert_eq!(&given, expected, "outputs: one set for each record that settles as handled");
        for (output, times) in given {
            self.sent_tally.records_out += u64::from(times);
            *self.outputs.entry(output).or_default() += times;
        }
    }

    /// Of one key, later records settle with earlier ones or after them; but a record that was named
    /// as failed stays behind those that its span's answer let settle.
    fn check_settled_in_order(&self, scene: &Scene, progress: &Progress, at: u64) {
        let Some(key) = self.key(scene, at) else { return };
        for (before, _) in self.kinds.range(progress.next().0.min(at)..at) {
            let is_fine = progress.covers(Offset(*before))
                || self.key(scene, *before) != Some(key)
                || self.excused.contains(before);
            assert!(is_fine, "{at} settles before {before} of its key");
        }
    }

    fn check_end(&self, now: Timestamp, scene: &Scene, at: u64, letter: &DeadLetter) {
        let kind = self.kinds[&at].kind;
        let bisect = scene.policy.retry.bisect;
        let record = letter.record.batch().record(letter.record.range().start);
        assert_eq!(record.key, self.kinds[&at].key.as_deref(), "a dead letter is the record");
        match letter.condition {
            Condition::RecordTooOld => {
                assert!(self.is_too_old(now, scene, at));
                let age_max = scene.policy.retry.record_age_max.unwrap_or_default();
                let due = self.kinds[&at].appended_at.after(age_max).max(self.fetched_at[&at]);
                let is_punctual = !scene.faults
                    && !self.was_refused
                    && scene.policy.bounds.settlement_bytes > 2_000
                    && scene.policy.ordering == Ordering::Partition;
                let late = now.since(due).as_millis();
                assert!(!is_punctual || late < 100, "no wait outlasts the age: {late} ms late");
            }
            Condition::Permanent => assert!(self.hopeless.contains(&at)),
            Condition::AttemptsExhausted => {
                assert!(self.has_used_up(scene, at) || !bisect, "given up early");
            }
        }
        let is_judged = letter.condition != Condition::RecordTooOld && bisect;
        let is_guilty = !matches!(kind, Kind::Good | Kind::Heavy | Kind::Killer);
        assert!(!is_judged || is_guilty, "bisecting condemns only the guilty");
        if bisect {
            let billed = self.billed.get(&at).copied().unwrap_or(0);
            assert_eq!(letter.attempts, billed, "a dead letter counts what was billed");
            assert_eq!(letter.first_failed_at.is_some(), billed > 0);
            let error = letter.error.as_ref().map(|error| (error.kind, error.version));
            let known = self.errors.get(&at).copied();
            let same = match (error, known) {
                (Some((kind, _)), Some((FailureKind::OutputRefused, _))) => {
                    kind == FailureKind::OutputRefused
                }
                (error, known) => error == known,
            };
            assert!(same, "the last error is kept: {error:?}, not {known:?}");
        }
    }

    /// Exactly once: each counter says how many records of its key were handled; what was deleted is
    /// not there.
    fn check_state(&self, scene: &Scene) {
        let mut counts: BTreeMap<&[u8], (u64, u64)> = BTreeMap::new();
        for at in &self.handled {
            if let Some(key) = &self.kinds[at].key {
                let (count, last) = counts.entry(key).or_default();
                (*count, *last) = (*count + 1, *at);
            }
        }
        let state = |key: Option<&[u8]>, name: &str| {
            let key = key.map(Bytes::copy_from_slice);
            let value = self.state(&StateKey { key, name: name.into() })?;
            Some(u64::from_le_bytes(value[..].try_into().expect("eight bytes")))
        };
        for (key, (count, last)) in counts {
            assert_eq!(state(Some(key), "n"), Some(count), "a counter is how many were handled");
            let last = (count % 2 == 1).then_some(last);
            assert_eq!(state(Some(key), "last"), last, "a delete is an effect, too");
        }
        let total = self.handled.len() as u64;
        if scene.policy.ordering == Ordering::Partition && total > 0 {
            assert_eq!(state(None, "total"), Some(total), "the partition's own state");
        }
    }
}
