//! What a feed says of itself must be so.
use super::Model;
use crate::{
    is_poisoned,
    scene::{Kind, Scene},
};
use log_contract::*;
use trigger::*;

impl Model {
    pub fn check_stand(
        &mut self,
        now: Timestamp,
        scene: &Scene,
        stand: &Stand,
        commands: &[Command],
    ) {
        let settles = commands.iter().any(|command| matches!(command, Command::Settle(_)));
        let may_settle = self.settling.is_none() && self.paused_until <= now && !self.broken;
        let is_said = settles || !self.unsaid || !may_settle || stand.state == State::Stopped;
        assert!(is_said, "what was billed is written down at once");
        assert!(!(settles && self.broken), "what is invalid is not sent again");
        self.check_gaps(scene, stand, commands);
        self.before = Some(stand.clone());
        assert!(stand.unsettled > 0 || stand.overlay == 0, "the overlay dies with its pieces");
        let invokes = commands.iter().any(|command| matches!(command, Command::Invoke { .. }));
        // What is given up on the way (too old, used up) needs no attempt and is not held back.
        let is_exact = scene.policy.retry.record_age_max.is_none() && self.billed.is_empty();
        if invokes && is_exact && !stand.waits_for_ranges {
            let pieces = scene.policy.bounds.unsettled_pieces;
            assert!(stand.unsettled < pieces, "runs ahead too far");
        }
        let started = commands.iter().filter(|command| matches!(command, Command::Invoke { .. }));
        assert_eq!(stand.flying, self.flights.len() + started.count());
        self.check_state_of_stand(now, scene, stand);
    }

    fn check_gaps(&self, scene: &Scene, stand: &Stand, commands: &[Command]) {
        let settles = commands.iter().any(|command| matches!(command, Command::Settle(_)));
        let waits = |stand: &Stand| {
            stand.waits_for_ranges && stand.unsettled >= scene.policy.bounds.unsettled_pieces
        };
        let may_rewind =
            self.kinds.values().any(|record| matches!(record.kind, Kind::Refused | Kind::BigState));
        let is_exact = !self.saw_gap
            && !may_rewind
            && !scene.faults
            && self.start == 0
            && scene.away.is_empty();
        if !is_exact || settles || !self.before.as_ref().is_some_and(waits) || !waits(stand) {
            return;
        }
        for command in commands {
            let Command::Invoke { span, .. } = command else { continue };
            let mut first = span.records().map(|r| r.offset.0);
            let fills = |at: u64| {
                let is_later_out = self.handed.range(at + 1..).next().is_some();
                let ahead = self.progress.ahead().last();
                let is_later_settled = ahead.is_some_and(|last| at < last.end.0);
                self.handed.contains(&at) || is_later_out || is_later_settled
            };
            assert!(first.all(fills), "out of ranges only what fills a gap is taken");
        }
    }

    /// No buffer of a page is kept alive that is not counted.
    pub fn check_memory(&self, scene: &Scene, stand: &Stand) {
        if scene.policy.ordering == Ordering::Key && stand.state != State::Stopped {
            let pinned = self.pages.iter().filter(|page| !page.buffer.is_unique());
            let pinned: usize = pinned.map(|page| page.bytes).sum();
            assert!(pinned <= stand.open_bytes, "{pinned} bytes are pinned: {stand:?}");
        }
    }

    fn check_state_of_stand(&self, now: Timestamp, scene: &Scene, stand: &Stand) {
        assert!(stand.since <= now);
        assert_eq!(stand.next, self.told.next(), "status says what is durable");
        let holds = scene.policy.on_failure == OnFailure::Hold;
        assert!(holds || stand.held_records == 0, "only `hold` holds");
        if is_poisoned(stand) {
            assert!(self.crashes >= 6, "a hand-over is not a crash");
        }
        if stand.state == State::OneByOne && stand.reason != Some(Reason::TooLarge) {
            assert!(self.crashes >= 3, "nor makes it suspicious");
        }
        if let Some(Reason::GivenUp { condition, .. }) = &stand.reason {
            let at = stand.record.expect("a held record has a name").0;
            let is_so = match condition {
                Condition::AttemptsExhausted => self.has_used_up(scene, at),
                Condition::Permanent => self.hopeless.contains(&at),
                Condition::RecordTooOld => self.is_too_old(now, scene, at),
            };
            assert!(is_so || !scene.policy.retry.bisect, "{at} is held for {condition:?}");
        }
        if stand.state == State::WaitingForRetry {
            let (at, try_at) = (stand.record.expect("one"), stand.next_try.expect("a time"));
            assert!(now <= try_at || stand.sleeping > 0);
            let billed = self.billed.get(&at.0).copied().unwrap_or(0);
            let is_exact = scene.policy.retry.bisect;
            assert!(!is_exact || stand.attempt == Some(billed + 1), "status tells the attempt");
        }
    }

    pub fn check_counts(&self, scene: &Scene, stand: &Stand, counts: &Counts) {
        let Counts { records_in, records_out, records_handled, dead_lettered, dropped, .. } =
            *counts;
        let tally = super::Tally {
            records_in,
            records_out,
            handled: records_handled,
            dead_lettered,
            dropped,
            invocations: counts.invocations.total(),
        };
        if stand.state != State::Stopped {
            assert_eq!(tally, self.tally, "counts say what is durable");
        }
        let bisects = scene.policy.retry.bisect || counts.bisects == 0;
        assert!(bisects, "no halves without `bisect`");
    }

    pub fn stopped(&self, stand: &Stand, lease_gone: bool) {
        if !lease_gone {
            assert!(self.flights.is_empty(), "a drain waits for its attempts");
            assert!(self.strays.is_empty(), "also for those of before a rewind");
            let left = self.good.keys().any(|at| !self.is_settled(*at));
            assert!(!left || stand.unsettled > 0, "a drain settles what is handled");
            assert!(
                stand.unsettled == 0 || stand.waits_for_ranges || self.broken,
                "all that can settle"
            );
            assert!(self.settling.is_none(), "and waits for the answer");
        }
    }
}
