//! Reads off a feed how it stands. Changes nothing.
use crate::{
    circuit::Circuit,
    delivery::Delivery,
    feed::{Feed, Mode},
    stand::{Reason, Stand, State},
};
use log_contract::Timestamp;

/// The part of a stand that depends on the state.
#[derive(Default)]
struct About<'a> {
    reason: Option<Reason>,
    delivery: Option<&'a Delivery>,
    next_try: Option<Timestamp>,
}

impl Feed {
    /// How the partition stands. Costs little: a driver may ask after every event.
    #[must_use]
    pub fn stand(&self, now: Timestamp) -> Stand {
        let state = self.state(now);
        let About { reason, delivery, next_try } = self.about(state, now);
        let at_next = matches!(reason, Some(Reason::Poison { .. })) || state == State::OneByOne;
        let head = delivery.map(|delivery| delivery.span().head());
        let next = self.ledger.durable().next();
        Stand {
            state,
            since: if state == self.was.0 { self.was.1 } else { now },
            record: head.or(at_next.then_some(next)),
            attempt: head.map(|head| self.failing.failures(head).saturating_add(1)),
            reason,
            next_try,
            is_blocked: self.is_blocked(state),
            next,
            end: self.end,
            oldest: self.pages.oldest(next),
            open_records: self.pages.records(),
            open_bytes: self.pages.bytes(),
            unsettled: self.ledger.unsettled(),
            ranges: self.ledger.durable().ahead().len(),
            waits_for_ranges: self.ledger.waits_for_ranges(),
            overlay: self.ledger.overlay_entries(),
            flying: self.deliveries.flying(),
            sleeping: self.deliveries.sleeping(),
            held_records: self.deliveries.held_records(),
            lost_records: self.ledger.lost(),
        }
    }

    /// The first that applies.
    pub(crate) fn state(&self, now: Timestamp) -> State {
        match self.mode {
            Mode::Stopped => return State::Stopped,
            Mode::Draining => return State::Draining,
            Mode::Running => (),
        }
        let is_held = self.guard.is_held()
            || self.trouble.reason(now).is_some()
            || self.deliveries.held_records() > 0;
        let lacks_ranges = self.ledger.waits_for_ranges() || self.batcher.lacks_ranges();
        let is_busy = self.deliveries.flying() > 0;
        let states = [
            (is_held, State::Held),
            (self.circuit != Circuit::Closed, State::CircuitOpen),
            (self.width == 0, State::Paused),
            (lacks_ranges, State::WaitingForRanges),
            (self.guard.is_one_by_one() && self.pages.records() > 0, State::OneByOne),
            (is_busy, State::Running),
            (self.deliveries.sleeping() > 0, State::WaitingForRetry),
            (self.pages.records() > 0, State::Running),
        ];
        states.iter().find(|(holds, _)| *holds).map_or(State::Idle, |(_, state)| *state)
    }

    /// Nothing goes on, however much width there is.
    fn is_blocked(&self, state: State) -> bool {
        let has_no_other =
            self.deliveries.flying() == 0 && (self.batcher.is_empty() || self.batcher.is_held_up());
        let only_held =
            has_no_other && self.deliveries.held_records() > 0 && self.deliveries.all_are_held();
        match state {
            State::Held => {
                let is_halted = self.guard.is_held()
                    || self.trouble.bug.is_some()
                    || self.trouble.log.is_some()
                    || self.trouble.host.is_some();
                is_halted || only_held
            }
            State::CircuitOpen | State::Draining | State::Stopped => true,
            // Width is what a paused one waits for, unless it is a retry that it waits for.
            State::Paused | State::WaitingForRetry | State::Running => {
                has_no_other && self.deliveries.sleeping() > 0
            }
            State::WaitingForRanges | State::OneByOne | State::Idle => false,
        }
    }

    fn about(&self, state: State, now: Timestamp) -> About<'_> {
        match state {
            State::Held => self.about_held(now),
            State::CircuitOpen => About {
                reason: self.trouble.away.clone().map(Reason::Unavailable),
                delivery: self.deliveries.next(),
                next_try: match self.circuit {
                    Circuit::Open { until, .. } => Some(until),
                    Circuit::Closed | Circuit::Probing { .. } => None,
                },
            },
            State::WaitingForRanges => {
                let ranges = self.batcher.taken().ahead().len();
                About { reason: Some(Reason::Ranges { ranges }), ..self.about_next() }
            }
            State::OneByOne => {
                let starts = self.guard.unclean();
                let reason = match self.guard.suspects_poison() {
                    true => Reason::Poison { starts },
                    false => Reason::TooLarge,
                };
                About { reason: Some(reason), ..About::default() }
            }
            State::WaitingForRetry => self.about_next(),
            State::Running | State::Idle | State::Paused | State::Draining | State::Stopped => {
                About::default()
            }
        }
    }

    fn about_held(&self, now: Timestamp) -> About<'_> {
        if self.guard.is_held() {
            let reason = Some(Reason::Poison { starts: self.guard.unclean() });
            return About { reason, ..About::default() };
        }
        if let Some(reason) = self.trouble.reason(now) {
            let until = match reason {
                Reason::HostFault(_) => Some(self.trouble.held_until),
                Reason::NotSettled(_) => self.ledger.wake_at(),
                _ => None,
            };
            let next_try = until.filter(|until| now < *until);
            return About { reason: Some(reason), next_try, delivery: None };
        }
        let Some(delivery) = self.deliveries.first_held() else { return About::default() };
        let error = self.failing.error(delivery.span().head()).cloned();
        let reason = delivery.held().map(|condition| Reason::GivenUp { condition, error });
        About { reason, delivery: Some(delivery), next_try: None }
    }

    /// The retry that comes next.
    fn about_next(&self) -> About<'_> {
        let Some(delivery) = self.deliveries.next() else { return About::default() };
        let head = delivery.span().head();
        let before = || {
            let failures = self.failing.failures(head);
            (failures > 0).then_some(Reason::FailedBefore { failures })
        };
        let reason = self.failing.error(head).cloned().map(Reason::Failed).or_else(before);
        About { reason, delivery: Some(delivery), next_try: Some(delivery.not_before()) }
    }
}
