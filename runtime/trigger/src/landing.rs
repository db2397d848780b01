//! What comes back to a feed: answers of the function, and of the log to a settlement. Changes the
//! state; what follows from it is decided in `advance`.
use crate::{
    failing::Pause,
    feed::{Feed, Mode},
    ledger::Culprit,
    outcome::{FailureKind, HostFault, Outcome},
    seam::{DeliveryId, LastError},
};
use log_contract::{RefusedOutput, SettleError, Span, Timestamp};

impl Feed {
    pub(crate) fn on_invoked(
        &mut self,
        now: Timestamp,
        id: DeliveryId,
        version: u32,
        jitter: u16,
        result: Result<Outcome, HostFault>,
    ) {
        self.counts.invocations.count(&result);
        let Some(mut delivery) = self.deliveries.land(id) else {
            // Of before a rewind: its answer is void.
            self.strays = self.strays.saturating_sub(1);
            return;
        };
        let before = self.circuit;
        let pause = Pause { retry: &self.spec.retry, jitter };
        self.circuit = match &result {
            Ok(Outcome::Unavailable { retry_after, .. }) => {
                before.unavailable(now, id, *retry_after, pause)
            }
            Ok(Outcome::Handled(_) | Outcome::Failed(_)) => before.answered(id),
            Err(HostFault { .. }) => before.unproven(now, Some(id)),
        };
        self.circuit_is_news |= self.circuit.tries() != before.tries();
        match result {
            Ok(Outcome::Unavailable { reason, .. }) => self.trouble.away = Some(reason),
            Ok(outcome) => {
                self.trouble.host = None;
                self.bill(now, (version, jitter), |bill| delivery.on_outcome(outcome, bill));
            }
            Err(HostFault { reason }) => {
                self.trouble.host = Some(reason);
                self.trouble.held_until = self.pause_from(now);
            }
        }
        if !delivery.is_done() {
            let ordering = self.batcher.ordering();
            for part in delivery.part(now, ordering, &self.spec.retry) {
                self.put_to_sleep(now, part);
            }
        }
    }

    pub(crate) fn on_settled(&mut self) {
        self.trouble.log = None;
        let lost = self.ledger.lost();
        for piece in self.ledger.settled() {
            self.counts.settle(&piece, self.spec.on_failure);
            // Not before: were the settlement refused, the count would begin anew, for ever.
            self.failing.forget(&piece.span);
            piece.span.runs().iter().for_each(|run| self.pages.settle(run));
        }
        self.counts.records_lost += self.ledger.lost() - lost;
        self.guard.settled(self.ledger.durable().next());
    }

    pub(crate) fn on_settle_failed(&mut self, now: Timestamp, error: SettleError) {
        self.guard.not_settled();
        match error {
            SettleError::LeaseVoid => self.mode = Mode::Stopped,
            SettleError::NotApplied { retry_after, why } => {
                self.not_settled(why.to_string());
                let until = match retry_after.is_zero() {
                    true => self.pause_from(now),
                    false => now.after(retry_after),
                };
                self.ledger.not_applied(until);
            }
            SettleError::Refused { output, why } => self.on_refused(now, output, &why),
            SettleError::Invalid(why) => {
                // Sent again it would be invalid again, and so would what a new lease leads to.
                self.ledger.not_applied(now);
                self.failing.is_news = true;
                self.trouble.bug = Some(why.to_string().into());
            }
        }
    }

    fn not_settled(&mut self, why: String) {
        self.failing.is_news = true;
        self.trouble.log = Some(why.into());
    }

    /// What was decided later may build on the refused answer's state, so all that is not durable is
    /// given up and read again. Only the guilty span is billed; of several records it is narrowed
    /// down by handing them out one at a time.
    fn on_refused(&mut self, now: Timestamp, output: usize, why: &RefusedOutput) {
        match self.ledger.refused(output, why) {
            Culprit::Company => {
                self.trouble.log = None;
                self.failing.is_news = true;
                self.ledger.wait_until(now);
            }
            Culprit::Crowd => {
                self.trouble.log = None;
                self.guard.go_one_by_one(self.cursor);
                self.rewind();
            }
            Culprit::Function { span, version } => {
                self.trouble.log = None;
                self.blame(now, &span, version, why);
                self.rewind();
            }
            Culprit::Gone => {
                self.not_settled(why.to_string());
                self.rewind();
                self.trouble.held_until = self.pause_from(now);
            }
            Culprit::Ours => {
                self.not_settled(why.to_string());
                self.ledger.wait_until(self.pause_from(now));
            }
        }
    }

    fn blame(&mut self, now: Timestamp, span: &Span, version: u32, why: &RefusedOutput) {
        if span.len() > 1 {
            let end = self.pages.stretches(span).last().map(|stretch| stretch.end);
            self.guard.narrow(end.expect("a span has a stretch"));
            return;
        }
        let kind = FailureKind::OutputRefused;
        let error = LastError { kind, reason: why.to_string().into(), version };
        let pause = Pause { retry: &self.spec.retry, jitter: 1_000 };
        self.failing.bill(now, span.head(), error, pause);
    }
}
