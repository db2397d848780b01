//! What the table of answers (architecture, section 5) says about each record.
use super::{Answer, Away, Model, Page};
use crate::scene::Scene;
use log_contract::*;
use std::collections::BTreeSet;
use trigger::*;

/// An answer and what came with it.
struct Given<'a> {
    outcome: &'a Outcome,
    version: u32,
    jitter: u16,
}

impl Model {
    pub fn answered(&mut self, now: Timestamp, scene: &Scene, event: &Event) {
        match event {
            Event::Drain => self.awaits = None,
            Event::Fetched { from, page } if self.awaits == Some(*from) => self.fetched(now, page),
            Event::FetchFailed { from } | Event::Trimmed { from, .. }
                if self.awaits == Some(*from) =>
            {
                self.awaits = None;
            }
            Event::Invoked { delivery, result, version, jitter } => {
                self.tally.invocations += 1;
                if self.strays.remove(delivery).is_some() {
                    return;
                }
                let flight = self.flights.remove(delivery).expect("it was invoked");
                self.judge_circuit(now, scene, *delivery, result, *jitter);
                if let Ok(outcome) = result {
                    let before: BTreeSet<_> = self.decided().collect();
                    let given = Given { outcome, version: *version, jitter: *jitter };
                    self.judge(now, scene, &flight.offsets, &given);
                    let decided = self.decided().filter(|at| !before.contains(at)).collect();
                    let is_big = matches!(outcome, Outcome::Handled(response)
                        if response.state.iter().any(|write| &*write.at.name == "big"));
                    self.answers.push(Answer { decided, is_big });
                }
            }
            Event::Settled => {
                let sent = self.settling.take().expect("answers a settlement");
                self.told = sent.progress;
                let sent = std::mem::take(&mut self.sent_tally);
                self.tally.records_out += sent.records_out;
                self.tally.handled += sent.handled;
                add(&mut self.tally.dead_lettered, &sent.dead_lettered);
                add(&mut self.tally.dropped, &sent.dropped);
            }
            Event::SettleFailed(SettleError::NotApplied { retry_after, .. }) => {
                self.settling = None;
                self.unsaid = true;
                let pause = scene.policy.bounds.fault_pause;
                self.paused_until =
                    now.after(if retry_after.is_zero() { pause } else { *retry_after });
            }
            Event::SettleFailed(SettleError::Invalid(_)) => {
                self.settling = None;
                (self.unsaid, self.broken) = (true, true);
            }
            Event::Release => self.released(now, scene),
            _ => (),
        }
    }

    fn fetched(&mut self, now: Timestamp, page: &ReadPage) {
        self.awaits = None;
        self.saw_gap |= page.batches.is_empty();
        for batch in &page.batches {
            let offsets: Vec<_> = (0..batch.len()).map(|at| batch.offset(at).0).collect();
            for at in &offsets {
                let is_new = !self.fetched_at.contains_key(at) && !self.is_settled(*at);
                self.tally.records_in += u64::from(is_new);
                self.fetched_at.insert(*at, now);
            }
            let bytes = batch.bytes(0..batch.len());
            self.pages.push(Page { offsets, bytes, buffer: batch.buffer().clone() });
        }
    }

    /// New budgets where they were used up, and age begins anew.
    fn released(&mut self, now: Timestamp, scene: &Scene) {
        self.paused_until = Timestamp(0);
        if scene.policy.on_failure == OnFailure::Hold {
            self.unsaid = true;
            let all: Vec<_> = self.kinds.keys().copied().collect();
            for at in all {
                if self.is_too_old(now, scene, at) {
                    // Held for its age, it goes on at once.
                    self.retry_at.remove(&at);
                }
                if self.hopeless.contains(&at) || self.has_used_up(scene, at) {
                    self.billed.remove(&at);
                    self.errors.remove(&at);
                    self.retry_at.remove(&at);
                }
            }
            // What was hopeless is decided anew.
            for answer in &mut self.answers {
                answer.decided.retain(|at| !self.hopeless.contains(at));
            }
            self.hopeless.clear();
            self.finals.clear();
            if scene.policy.retry.record_age_max.is_some() {
                self.aged_from = now;
            }
        }
        if std::mem::take(&mut self.broken) {
            self.unsaid = true;
            self.rewound();
        }
    }

    fn decided(&self) -> impl Iterator<Item = u64> {
        self.good.keys().chain(&self.hopeless).copied()
    }

    fn judge_circuit(
        &mut self,
        now: Timestamp,
        scene: &Scene,
        from: DeliveryId,
        result: &Result<Outcome, HostFault>,
        jitter: u16,
    ) {
        let is_probe = self.away.as_ref().is_some_and(|away| away.probe == Some(from));
        match (result, &mut self.away) {
            (Ok(Outcome::Unavailable { retry_after, .. }), away) if away.is_none() || is_probe => {
                let tries = away.as_ref().map_or(0, |away| away.tries) + 1;
                let backoff = backoff(scene, tries, jitter);
                let not_before = now.after(backoff.max(retry_after.unwrap_or_default()));
                *away = Some(Away { not_before, tries, probe: None });
            }
            (Err(_), Some(away)) if is_probe => away.probe = None,
            (Ok(Outcome::Handled(_) | Outcome::Failed(_)), away) if is_probe => *away = None,
            _ => (),
        }
    }

    fn bill(&mut self, at: u64, kind: FailureKind, version: u32) {
        *self.billed.entry(at).or_default() += 1;
        self.errors.insert(at, (kind, version));
        self.unsaid = true;
    }

    /// The whole span failed.
    fn judge_failed(&mut self, scene: &Scene, span: &[u64], kind: FailureKind, version: u32) {
        if span.len() > 1 && scene.policy.retry.bisect {
            return;
        }
        span.iter().for_each(|at| self.bill(*at, kind, version));
        if kind == FailureKind::Permanent {
            self.hopeless.extend(span);
            if scene.policy.on_failure == OnFailure::Hold {
                self.finals.insert(span[0]);
            }
        }
    }

    fn judge(&mut self, now: Timestamp, scene: &Scene, span: &[u64], given: &Given<'_>) {
        let before = self.billed.clone();
        match given.outcome {
            Outcome::Unavailable { .. } => (),
            Outcome::Failed(failure) => {
                self.judge_failed(scene, span, failure.kind, given.version);
            }
            Outcome::Handled(response) => {
                self.judge_response(scene, span, response, given.version);
            }
        }
        for at in span {
            let billed = self.billed.get(at).copied().unwrap_or(0);
            if before.get(at).copied().unwrap_or(0) < billed {
                self.retry_at.insert(*at, now.after(backoff(scene, billed, given.jitter)));
            }
        }
    }

    fn judge_response(&mut self, scene: &Scene, span: &[u64], response: &Response, version: u32) {
        if response.failures.iter().any(|failed| failed.index as usize >= span.len()) {
            return self.judge_failed(scene, span, FailureKind::BoundBroken, version);
        }
        let failed = |at: usize| {
            let found = response.failures.iter().find(|failed| failed.index as usize == at)?;
            Some(match found.blame {
                Blame::Rejected => FailureKind::Rejected,
                Blame::Permanent => FailureKind::Permanent,
            })
        };
        let Some(lowest) = (0..span.len()).find(|at| failed(*at).is_some()) else {
            self.good.extend(span.iter().map(|at| (*at, span.len())));
            return;
        };
        let kind = failed(lowest).expect("found above");
        let each = scene.policy.retry.item_failures == ItemFailures::Each;
        if span.len() == 1 || (!each && lowest == 0) {
            return self.judge_failed(scene, span, kind, version);
        }
        let is_attributed =
            response.state.is_empty() && response.sources.iter().all(Option::is_some);
        match (each, is_attributed) {
            (false, true) => self.good.extend(span[..lowest].iter().map(|at| (*at, lowest))),
            (false, false) => (),
            (true, false) => self.bill(span[lowest], kind, version),
            (true, true) => {
                let good = (0..span.len()).filter(|nth| failed(*nth).is_none()).count();
                for (nth, at) in span.iter().enumerate() {
                    let Some(kind) = failed(nth) else {
                        self.good.insert(*at, good);
                        continue;
                    };
                    self.bill(*at, kind, version);
                    self.excused.insert(*at);
                    if kind == FailureKind::Permanent {
                        self.hopeless.insert(*at);
                        if scene.policy.on_failure == OnFailure::Hold {
                            self.finals.insert(*at);
                        }
                    }
                }
            }
        }
    }

    /// What a refusal does can be told from what the feed does next only where it has a choice.
    pub fn follow(
        &mut self,
        now: Timestamp,
        scene: &Scene,
        event: &Event,
        stand: &Stand,
        commands: &[Command],
    ) {
        let Event::SettleFailed(SettleError::Refused { output, why }) = event else { return };
        let sent = self.settling.take().expect("answers a settlement");
        let settles = commands.iter().any(|command| matches!(command, Command::Settle(_)));
        (self.unsaid, self.was_refused) = (true, true);
        let has_rewound = stand.open_records == 0;
        let guilty = match why {
            RefusedOutput::NoTopic(_) => None,
            RefusedOutput::RecordTooLarge { .. } => sent.outputs[*output].first().copied(),
            RefusedOutput::StateTooLarge { .. } => {
                let is_sent = |answer: &&Answer| {
                    answer.is_big
                        && answer.decided.iter().any(|at| self.good.contains_key(at))
                        && answer.decided.iter().all(|at| sent.progress.covers(Offset(*at)))
                };
                self.answers.iter().find(is_sent).and_then(|answer| answer.decided.first().copied())
            }
            // Whatever one record gives finds room: several are never billed.
            RefusedOutput::TooLarge { .. } if settles && !has_rewound => return,
            RefusedOutput::TooLarge { .. } => None,
        };
        let is_ours = match why {
            RefusedOutput::NoTopic(_) => sent.outputs.len() <= *output,
            RefusedOutput::TooLarge { .. } => !has_rewound,
            _ => false,
        };
        if is_ours {
            assert_eq!(stand.state, held_unless_ending(stand), "what is ours is said");
            self.paused_until = now.after(scene.policy.bounds.fault_pause);
            return;
        }
        assert!(has_rewound, "all that is not durable is given up");
        if let Some(guilty) = guilty
            && self.good[&guilty] == 1
        {
            // Of which version it was is in the answer that was refused; a letter's kind must do.
            self.bill(guilty, FailureKind::OutputRefused, 0);
            let wait = backoff(scene, self.billed[&guilty], 1_000);
            self.retry_at.insert(guilty, now.after(wait));
        }
        self.rewound();
    }
}

fn held_unless_ending(stand: &Stand) -> State {
    if stand.state == State::Draining { State::Draining } else { State::Held }
}

fn add(sum: &mut Ended, more: &Ended) {
    sum.attempts_exhausted += more.attempts_exhausted;
    sum.permanent += more.permanent;
    sum.record_too_old += more.record_too_old;
}

fn backoff(scene: &Scene, failures: u32, jitter: u16) -> std::time::Duration {
    let retry = scene.policy.retry;
    let whole = (retry.backoff_min * 2_u32.pow((failures - 1).min(20))).min(retry.backoff_max);
    (whole * u32::from(jitter) / 1_000).max(std::time::Duration::from_millis(1))
}
