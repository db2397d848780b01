//! A span on its way: what is invoked next, what ends, what is parted from it. What an answer means is
//! in `answer`. Depth first, left first, so that order holds.
use crate::{
    age::Ageing,
    counts::Counts,
    failing::{Failing, Pause},
    pages::Copied,
    piece::{Effect, Piece, Story},
    seam::{Condition, LastError},
    spec::{Ordering, RetryPolicy},
};
use log_contract::{KeyHash, RecordBatch, Span, Timestamp};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

#[derive(Debug)]
pub(crate) struct Delivery {
    /// Last is next. Together they are what is left of the delivery: one slice, unless something failed.
    stack: SmallVec<[Slice; 1]>,
    /// Answers that were billed to the function.
    pub(crate) billed: u64,
    billed_max: u64,
}

/// Records that are invoked together.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) span: Span,
    pub(crate) not_before: Timestamp,
    /// Given up, and an operator shall look first (`on_failure: hold`).
    pub(crate) held: Option<Condition>,
}

/// What decides about a delivery works with besides it.
pub(crate) struct Bill<'a> {
    pub(crate) now: Timestamp,
    pub(crate) retry: &'a RetryPolicy,
    pub(crate) ageing: Ageing,
    pub(crate) ordering: Ordering,
    /// What is given up waits for an operator.
    pub(crate) holds: bool,
    /// Of the answer at hand.
    pub(crate) jitter: u16,
    pub(crate) version: u32,
    pub(crate) failing: &'a mut Failing,
    pub(crate) counts: &'a mut Counts,
    /// Decided by the answer, in order.
    pub(crate) pieces: &'a mut SmallVec<[Piece; 1]>,
}

impl Delivery {
    pub(crate) fn new(span: Span, not_before: Timestamp, retry: &RetryPolicy) -> Self {
        Self::of(smallvec![Slice { span, not_before, held: None }], retry)
    }

    /// Records too old before any attempt, which wait for an operator.
    pub(crate) fn of_held(span: Span, condition: Condition, retry: &RetryPolicy) -> Self {
        Self::of(smallvec![Slice::held(span, condition)], retry)
    }

    fn of(stack: SmallVec<[Slice; 1]>, retry: &RetryPolicy) -> Self {
        let records: usize = stack.iter().map(|slice| slice.span.len()).sum();
        assert!(records > 0, "a delivery has records");
        // Splitting n records visits at most 2n slices, and each fails at most so often.
        let attempts_max = u64::from(retry.attempts_max.unwrap_or(u32::MAX));
        let billed_max = (2 * records as u64).saturating_mul(attempts_max + 1);
        Self { stack, billed: 0, billed_max }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stack.is_empty()
    }

    /// What is invoked next.
    pub(crate) fn span(&self) -> &Span {
        &self.top().span
    }

    pub(crate) fn not_before(&self) -> Timestamp {
        self.top().not_before
    }

    /// Why an operator must look before anything else of it is tried.
    pub(crate) fn held(&self) -> Option<Condition> {
        self.top().held
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = (&RecordBatch, usize)> {
        self.stack.iter().flat_map(|slice| slice.span.places())
    }

    pub(crate) fn moved(&mut self, copied: &Copied) {
        for slice in &mut self.stack {
            if let Some(span) = copied.span(&slice.span) {
                slice.span = span;
            }
        }
    }

    /// A probe is one record.
    pub(crate) fn narrow(&mut self) {
        let Slice { span, not_before, .. } = self.pop();
        let (first, others) = span.split_at(1);
        self.push(others, not_before);
        self.push(first, not_before);
    }

    /// Gives up what needs no attempt: records that are too old, what has used up its budget,
    /// what the function called pointless before a restart. In this order.
    pub(crate) fn give_up(&mut self, bill: &mut Bill<'_>) {
        while let Some(Slice { span, held: None, .. }) = self.stack.last() {
            let failure = bill.failing.of(span.head());
            if bill.ageing.is_too_old(bill.now, span.oldest()) {
                let Slice { span, not_before, .. } = self.pop();
                let is_old = |at: &Timestamp| bill.ageing.is_too_old(bill.now, *at);
                let old = span.places().map(|(batch, at)| batch.appended_at(at));
                let old = old.take_while(is_old).count();
                let (old, young) = span.split_at(old);
                // What is left is another span, and free to go unless it backs off by itself.
                self.push(young, not_before.min(bill.now));
                self.end(old, Condition::RecordTooOld, bill);
            } else if bill.retry.is_exhausted(failure.map_or(0, |failure| failure.failures)) {
                let span = self.pop().span;
                self.end(span, Condition::AttemptsExhausted, bill);
            } else if failure.is_some_and(|failure| failure.is_final) {
                let span = self.pop().span;
                self.end(span, Condition::Permanent, bill);
            } else {
                return;
            }
        }
    }

    /// No attempt will be made any more: the span is decided, or waits for an operator.
    pub(crate) fn end(&mut self, span: Span, condition: Condition, bill: &mut Bill<'_>) {
        if bill.holds {
            self.stack.push(Slice::held(span, condition));
        } else {
            bill.ended(span, condition);
        }
    }

    /// An operator has looked: what is held is tried again, at once.
    pub(crate) fn release(&mut self, now: Timestamp) {
        for slice in self.stack.iter_mut().filter(|slice| slice.held.is_some()) {
            (slice.held, slice.not_before) = (None, now);
            // Its answers are billed anew, too.
            self.billed = 0;
        }
    }

    /// A failure of the whole span: halves, or one more of its attempts.
    pub(crate) fn on_failure(&mut self, error: LastError, is_permanent: bool, bill: &mut Bill<'_>) {
        let Slice { span, .. } = self.pop();
        if span.len() > 1 && bill.retry.bisect {
            // No blame yet: the halves start with clean budgets, and at once.
            bill.failing.forgive(span.head());
            bill.counts.bisects += 1;
            let middle = span.len() / 2;
            let (left, right) = span.split_at(middle);
            self.push(right, bill.now);
            self.push(left, bill.now);
            return;
        }
        let not_before = bill.charge(&span, error);
        match is_permanent {
            true => self.end_permanently(span, bill),
            false => self.push(span, not_before),
        }
    }

    pub(crate) fn end_permanently(&mut self, span: Span, bill: &mut Bill<'_>) {
        if bill.holds {
            bill.failing.finish(span.head());
        }
        self.end(span, Condition::Permanent, bill);
    }

    /// Under `ordering: key` a record that backs off, or is held, holds its own key and no other: each
    /// such slice becomes a delivery with all that waits here behind its keys, and the others go on. It
    /// stays if an earlier record of its key goes on: two deliveries never share a key.
    pub(crate) fn part(self, now: Timestamp, ordering: Ordering, retry: &RetryPolicy) -> Vec<Self> {
        let backs_off = |slice: &Slice| {
            slice.held.is_some() || (slice.not_before > now && slice.span.len() == 1)
        };
        if ordering == Ordering::Partition
            || self.stack.len() < 2
            || !self.stack.iter().any(backs_off)
        {
            return vec![self];
        }
        let mut parts: Vec<Vec<Slice>> = vec![Vec::new()];
        let mut part_of: HashMap<KeyHash, usize> = HashMap::new();
        for slice in self.stack.into_iter().rev() {
            let mut shares: Vec<(usize, Span)> = Vec::new();
            let fresh = if backs_off(&slice) { parts.len() } else { 0 };
            for (batch, at) in slice.span.places() {
                let key = batch.key_hash(at);
                let part = key.map_or(fresh, |key| *part_of.entry(key).or_insert(fresh));
                if part == parts.len() {
                    parts.push(Vec::new());
                }
                match shares.iter_mut().find(|(of, _)| *of == part) {
                    Some((_, span)) => span.push_one(batch, at),
                    None => {
                        let mut span = Span::default();
                        span.push_one(batch, at);
                        shares.push((part, span));
                    }
                }
            }
            for (part, span) in shares {
                let Slice { not_before, held, .. } = slice;
                parts[part].push(Slice { span, not_before, held });
            }
        }
        let some = parts.into_iter().filter(|stack| !stack.is_empty());
        some.map(|stack| Self::of(stack.into_iter().rev().collect(), retry)).collect()
    }

    pub(crate) fn assert_terminates(&self) {
        assert!(self.billed <= self.billed_max, "a delivery terminates");
    }

    pub(crate) fn pop(&mut self) -> Slice {
        self.stack.pop().expect("asked of a delivery that is not done")
    }

    pub(crate) fn push(&mut self, span: Span, not_before: Timestamp) {
        if !span.is_empty() {
            self.stack.push(Slice { span, not_before, held: None });
        }
    }

    fn top(&self) -> &Slice {
        self.stack.last().expect("asked of a delivery that is not done")
    }
}

impl Slice {
    fn held(span: Span, condition: Condition) -> Self {
        Self { span, not_before: Timestamp(u64::MAX), held: Some(condition) }
    }
}

impl Bill<'_> {
    /// One more failure of what begins with this span's head; says when it may be tried again.
    pub(crate) fn charge(&mut self, span: &Span, error: LastError) -> Timestamp {
        let pause = Pause { retry: self.retry, jitter: self.jitter };
        self.failing.bill(self.now, span.head(), error, pause)
    }

    pub(crate) fn ended(&mut self, span: Span, condition: Condition) {
        let failure = self.failing.of(span.head());
        let story = Story {
            condition,
            attempts: failure.map_or(0, |failure| failure.failures),
            first_failed_at: failure.map(|failure| failure.since),
            error: self.failing.error(span.head()).cloned(),
        };
        self.pieces.push(Piece::new(span, Effect::Ended(story)));
    }
}
