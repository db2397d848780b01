//! What an answer of the function means for the span it was asked about (the table in the
//! architecture, section 5; SEMANTICS 6.1, 8).
use crate::{
    delivery::{Bill, Delivery},
    outcome::{Blame, FailureKind, ItemFailure, Outcome, Response, Targets},
    piece::{Effect, Outputs, Piece},
    seam::LastError,
    spec::{ItemFailures, Ordering},
};
use log_contract::{
    Output, RecordBatch, STATE_NAME_MAX, STATE_VALUE_MAX, Span, StateWrite, TopicId,
};
use std::{collections::HashSet, sync::Arc};

impl Delivery {
    pub(crate) fn on_outcome(&mut self, outcome: Outcome, bill: &mut Bill<'_>) {
        match outcome {
            Outcome::Unavailable { .. } => return,
            Outcome::Handled(response) => self.on_response(response, bill),
            Outcome::Failed(failure) => {
                let is_permanent = failure.kind == FailureKind::Permanent;
                let error = bill.error(failure.kind, failure.reason);
                self.on_failure(error, is_permanent, bill);
            }
        }
        self.billed += 1;
        self.assert_terminates();
    }

    fn on_response(&mut self, mut response: Response, bill: &mut Bill<'_>) {
        if let Some(wrong) = wrong_with(&response, self.span(), bill.ordering) {
            let error = bill.error(FailureKind::BoundBroken, wrong.into());
            return self.on_failure(error, false, bill);
        }
        response.failures.sort_by_key(|failure| failure.index);
        response.failures.dedup_by_key(|failure| failure.index);
        let Some(lowest) = response.failures.first().cloned() else {
            return self.settle_all(response, bill);
        };
        let each = bill.retry.item_failures == ItemFailures::Each;
        if self.span().len() == 1 || (!each && lowest.index == 0) {
            let (error, is_permanent) = bill.item_error(&lowest);
            return self.on_failure(error, is_permanent, bill);
        }
        let is_attributed =
            response.state.is_empty() && response.sources.iter().all(Option::is_some);
        match (each, is_attributed) {
            (true, true) => self.settle_items(response, bill),
            (true, false) => self.cut_out(&lowest, bill),
            (false, true) => self.settle_prefix(response, lowest.index as usize, bill),
            (false, false) => {
                let (prefix, rest) = self.pop().span.split_at(lowest.index as usize);
                bill.failing.forgive(prefix.head());
                self.push(rest, bill.now);
                self.push(prefix, bill.now);
            }
        }
    }

    fn settle_all(&mut self, response: Response, bill: &mut Bill<'_>) {
        let Response { outputs, targets, state, .. } = response;
        let span = self.pop().span;
        let outputs = by_topic(outputs, &targets, |_| true);
        let effect = Effect::Handled { outputs, state, version: bill.version };
        bill.pieces.push(Piece::new(span, effect));
    }

    /// Lambda's rule: what lies before the lowest failed record settles, the others go
    /// out again by themselves, at once and with a budget of their own.
    fn settle_prefix(&mut self, response: Response, lowest: usize, bill: &mut Bill<'_>) {
        let Response { outputs, targets, sources, state, .. } = response;
        let (prefix, rest) = self.pop().span.split_at(lowest);
        let outputs = by_topic(outputs, &targets, |nth| source(&sources, nth) < lowest);
        bill.failing.forgive(prefix.head());
        let effect = Effect::Handled { outputs, state, version: bill.version };
        bill.pieces.push(Piece::new(prefix, effect));
        self.push(rest, bill.now);
    }

    /// The good ones settle, the hopeless ones end with them, the others are tried again one by one.
    fn settle_items(&mut self, response: Response, bill: &mut Bill<'_>) {
        let Response { outputs, targets, sources, state, failures } = response;
        let is_failed =
            |at: usize| failures.binary_search_by_key(&at, |failed| failed.index as usize).is_ok();
        let outputs = by_topic(outputs, &targets, |nth| !is_failed(source(&sources, nth)));
        let span = self.pop().span;
        bill.failing.forgive(span.head());
        let (failed, good) = span.partition(|nth, _, _| is_failed(nth));
        if !good.is_empty() {
            let effect = Effect::Handled { outputs, state, version: bill.version };
            bill.pieces.push(Piece::new(good, effect));
        }
        let mut again = Vec::new();
        let mut left = failed;
        for failure in &failures {
            let (one, others) = left.split_at(1);
            left = others;
            let (error, is_permanent) = bill.item_error(failure);
            let not_before = bill.charge(&one, error);
            again.push((one, not_before, is_permanent));
        }
        // What ends, ends in order; what goes on lies on the stack, the first on top.
        let (ends, goes_on): (Vec<_>, Vec<_>) =
            again.into_iter().partition(|(_, _, is_permanent)| *is_permanent && !bill.holds);
        for (one, _, _) in ends {
            self.end_permanently(one, bill);
        }
        for (one, not_before, is_permanent) in goes_on.into_iter().rev() {
            match is_permanent {
                true => self.end_permanently(one, bill),
                false => self.push(one, not_before),
            }
        }
    }

    /// Nothing of the answer can be kept: the prefix again, then the failed record, then the rest.
    fn cut_out(&mut self, failed: &ItemFailure, bill: &mut Bill<'_>) {
        let span = self.pop().span;
        bill.failing.forgive(span.head());
        let (prefix, others) = span.split_at(failed.index as usize);
        let (one, rest) = others.split_at(1);
        let (error, _) = bill.item_error(failed);
        let not_before = bill.charge(&one, error);
        self.push(rest, bill.now);
        self.push(one, not_before);
        self.push(prefix, bill.now);
    }
}

impl Bill<'_> {
    fn error(&self, kind: FailureKind, reason: Arc<str>) -> LastError {
        LastError { kind, reason, version: self.version }
    }

    fn item_error(&self, failure: &ItemFailure) -> (LastError, bool) {
        let (kind, is_permanent) = match failure.blame {
            Blame::Rejected => (FailureKind::Rejected, false),
            Blame::Permanent => (FailureKind::Permanent, true),
        };
        (self.error(kind, failure.reason.clone()), is_permanent)
    }
}

/// What makes an answer impossible to settle: the function's error (R-8.3: the whole batch failed).
fn wrong_with(response: &Response, span: &Span, ordering: Ordering) -> Option<&'static str> {
    let Response { outputs, targets, sources, state, failures } = response;
    let is_inside = |index: u32| (index as usize) < span.len();
    if sources.len() != outputs.len() {
        return Some("not as many sources as outputs");
    }
    if matches!(targets, Targets::Each(topics) if topics.len() != outputs.len()) {
        return Some("not as many topics as outputs");
    }
    if !sources.iter().flatten().all(|source| is_inside(*source)) {
        return Some("an output names a record outside the batch");
    }
    if !failures.iter().all(|failure| is_inside(failure.index)) {
        return Some("a failure names a record outside the batch");
    }
    wrong_with_state(state, span, ordering)
}

/// A guest says whose state it means by naming a record, so another key's is out of its reach; that
/// the feed's overlay relies on it is reason enough to look again.
fn wrong_with_state(state: &[StateWrite], span: &Span, ordering: Ordering) -> Option<&'static str> {
    if state.is_empty() {
        return None;
    }
    let value_len = |write: &StateWrite| write.value.as_ref().map_or(0, bytes::Bytes::len);
    if state.iter().any(|write| write.at.name.len() > STATE_NAME_MAX) {
        return Some("the name of a state entry is too long");
    }
    if state.iter().any(|write| value_len(write) > STATE_VALUE_MAX) {
        return Some("the value of a state entry is too large");
    }
    if ordering == Ordering::Key {
        let keys: HashSet<_> = span.records().filter_map(|record| record.key).collect();
        let is_own = |write: &StateWrite| {
            write.at.key.as_ref().is_some_and(|key| keys.contains(key.as_ref()))
        };
        if !state.iter().all(is_own) {
            return Some("state of a key that the batch does not have");
        }
    }
    None
}

/// Checked above: each output has a source, and it lies in the span.
fn source(sources: &[Option<u32>], nth: usize) -> usize {
    sources.get(nth).copied().flatten().map_or(0, |source| source as usize)
}

/// One span for each topic that gets any of the outputs to keep, in their order.
fn by_topic(outputs: RecordBatch, targets: &Targets, keep: impl Fn(usize) -> bool) -> Outputs {
    if let Targets::All(topic) = targets
        && (0..outputs.len()).all(&keep)
    {
        let span = Span::from(outputs);
        let output = (!span.is_empty()).then_some(Output { topic: *topic, span });
        return output.into_iter().collect();
    }
    let mut kept = Outputs::new();
    for nth in (0..outputs.len()).filter(|nth| keep(*nth)) {
        let topic: TopicId = match targets {
            Targets::All(topic) => *topic,
            Targets::Each(topics) => topics[nth],
        };
        let at = kept.iter().position(|output| output.topic == topic).unwrap_or_else(|| {
            kept.push(Output { topic, span: Span::default() });
            kept.len() - 1
        });
        kept[at].span.push_one(&outputs, nth);
    }
    kept
}
