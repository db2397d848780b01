//! What is decided and not durable yet, and the one settlement that may be under way.
//!
//! Pieces reach the log in the order in which they were decided. The feed runs ahead of the log by a
//! bounded number of them; all that waits joins the next settlement, as far as the log takes it.
use crate::{
    overlay::Overlay,
    pages::Pages,
    piece::{Effect, Piece},
    seam::Settle,
    spec::{Bounds, OnFailure, Ordering},
};
use log_contract::{
    Memo, Offset, Progress, RefusedOutput, Settlement, Span, StateWrite, Timestamp,
};
use std::{collections::VecDeque, iter::repeat_n, ops::Range};

#[derive(Debug)]
pub(crate) struct Ledger {
    /// As the log has it.
    durable: Progress,
    unsettled: VecDeque<Piece>,
    /// Stretches without a record to settle: holes, and what retention took.
    gaps: Vec<Gap>,
    sent: Option<Sent>,
    not_before: Timestamp,
    overlay: Overlay,
    decided: u64,
    bytes: usize,
    waits_for_ranges: bool,
    /// So many of the oldest pieces go one answer at a time: together they were too large.
    singly: usize,
    /// Offsets that retention took unread, ever, as the log has it.
    lost: u64,
}

#[derive(Debug)]
struct Gap {
    stretch: Range<Offset>,
    /// Offsets in it that retention took.
    lost: u64,
}

#[derive(Debug)]
struct Sent {
    pieces: usize,
    gaps: usize,
    progress: Progress,
}

/// Whom a refusal is about.
#[derive(Debug)]
pub(crate) enum Culprit {
    /// The function, by what it answered for this span.
    Function { span: Span, version: u32 },
    /// Nobody: too many answers went together. They will go one by one.
    Company,
    /// Nobody: they are too large together, and fewer of them have too many ranges.
    Crowd,
    /// The topic of an output is gone: the operator's doing. Another attempt may name another.
    Gone,
    /// A dead letter: what is to be done about it is no function's to do.
    Ours,
}

impl Ledger {
    pub(crate) fn new(durable: Progress, lost: u64) -> Self {
        Self {
            durable,
            unsettled: VecDeque::new(),
            gaps: Vec::new(),
            sent: None,
            not_before: Timestamp(0),
            overlay: Overlay::default(),
            decided: 0,
            bytes: 0,
            waits_for_ranges: false,
            singly: 0,
            lost,
        }
    }

    pub(crate) fn durable(&self) -> &Progress {
        &self.durable
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    /// Nothing is under way and nothing waits, save what no settlement can carry.
    pub(crate) fn is_idle(&self) -> bool {
        self.sent.is_none() && (!self.has_work() || self.waits_for_ranges)
    }

    pub(crate) fn waits_for_ranges(&self) -> bool {
        self.waits_for_ranges
    }

    /// Changes whenever something is decided or begins to wait for ranges.
    pub(crate) fn stage(&self) -> (u64, bool) {
        (self.decided, self.waits_for_ranges)
    }

    /// Whether the feed has run as far ahead as it may.
    pub(crate) fn is_full(&self, bounds: &Bounds) -> bool {
        self.unsettled.len() >= bounds.unsettled_pieces || self.bytes >= bounds.unsettled_bytes
    }

    pub(crate) fn decide(&mut self, piece: Piece) {
        self.decided += 1;
        self.bytes += piece.weight();
        if let Effect::Handled { state, .. } = &piece.effect {
            state.iter().for_each(|write| self.overlay.write(write, self.decided));
        }
        self.waits_for_ranges = false;
        self.unsettled.push_back(piece);
    }

    pub(crate) fn skip(&mut self, stretch: Range<Offset>, is_lost: bool) {
        if !self.durable.contains(&stretch) {
            self.waits_for_ranges = false;
            let lost = if is_lost { unfinished(&self.durable, &stretch) } else { 0 };
            self.gaps.push(Gap { stretch, lost });
        }
    }

    pub(crate) fn overlay_entries(&self) -> usize {
        self.overlay.len()
    }

    pub(crate) fn overlay(&self, span: &Span, ordering: Ordering) -> Vec<StateWrite> {
        self.overlay.of(span, ordering)
    }

    /// All that is decided, or as much of it as the log takes. The memo is the caller's.
    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        pages: &Pages,
        bounds: &Bounds,
        on_failure: OnFailure,
        has_news: bool,
    ) -> Option<Settle> {
        if self.sent.is_some() || now < self.not_before {
            return None;
        }
        if !has_news && (!self.has_work() || self.waits_for_ranges) {
            return None;
        }
        let (pieces, gaps, progress) = self.longest_fitting(pages, bounds);
        self.waits_for_ranges = self.has_work() && (pieces, gaps) == (0, 0);
        if self.waits_for_ranges && !has_news {
            return None;
        }
        let mut settle = Settle {
            settlement: Settlement {
                outputs: Vec::new(),
                state: Vec::new(),
                progress: vec![progress.clone()],
                memo: Memo::default(),
                rewind: false,
            },
            dead_letters: Vec::new(),
            dropped: Vec::new(),
        };
        for piece in self.unsettled.iter().take(pieces) {
            fill(&mut settle, piece, on_failure);
        }
        self.sent = Some(Sent { pieces, gaps, progress });
        Some(settle)
    }

    fn has_work(&self) -> bool {
        !self.unsettled.is_empty() || !self.gaps.is_empty()
    }

    /// How many pieces and gaps may settle now, and the progress after them. Joining more may close
    /// ranges again, so all are tried first, then each prefix of whole answers.
    fn longest_fitting(&self, pages: &Pages, bounds: &Bounds) -> (usize, usize, Progress) {
        let start = || {
            let mut start = self.durable.clone();
            self.gaps.iter().for_each(|gap| start.add(gap.stretch.clone()));
            start
        };
        let add = |progress: &mut Progress, piece: &Piece| {
            pages.stretches(&piece.span).for_each(|stretch| progress.add(stretch));
        };
        let has_ranges = |progress: &Progress| progress.ahead().len() <= bounds.ranges;
        if self.singly == 0 && self.bytes <= bounds.settlement_bytes {
            let mut whole = start();
            self.unsettled.iter().for_each(|piece| add(&mut whole, piece));
            if has_ranges(&whole) {
                return (self.unsettled.len(), self.gaps.len(), whole);
            }
        }
        let mut longest = (0, 0, self.durable.clone());
        let (mut trial, mut weight, mut answers) = (start(), 0, 0);
        for nth in 0..=self.unsettled.len() {
            let is_whole = nth == 0 || !self.unsettled[nth - 1].goes_on;
            if is_whole {
                let is_light = weight <= bounds.settlement_bytes && self.singly == 0;
                if answers > 1 && !is_light && longest.0 > 0 {
                    break;
                }
                if has_ranges(&trial) {
                    longest = (nth, self.gaps.len(), trial.clone());
                }
                answers += 1;
            }
            if let Some(piece) = self.unsettled.get(nth) {
                weight += piece.weight();
                add(&mut trial, piece);
            }
        }
        longest
    }

    /// What has become durable, in order.
    pub(crate) fn settled(&mut self) -> impl Iterator<Item = Piece> {
        let Sent { pieces, gaps, progress } = self.take_sent();
        self.durable = progress;
        self.lost += self.gaps.drain(..gaps).map(|gap| gap.lost).sum::<u64>();
        self.bytes -= self.unsettled.iter().take(pieces).map(Piece::weight).sum::<usize>();
        self.singly = self.singly.saturating_sub(pieces);
        let before = self.decided - (self.unsettled.len() - pieces) as u64;
        self.overlay.settled(before);
        self.unsettled.drain(..pieces)
    }

    /// What will be lost for good once the settlement that is being made is durable.
    pub(crate) fn lost_with_sent(&self) -> u64 {
        let gaps = self.sent.as_ref().map_or(0, |sent| sent.gaps);
        self.lost + self.gaps.iter().take(gaps).map(|gap| gap.lost).sum::<u64>()
    }

    /// Nothing was applied: the same (and what was decided meanwhile) is sent again.
    pub(crate) fn not_applied(&mut self, until: Timestamp) {
        self.take_sent();
        self.not_before = until;
    }

    /// Nothing is sent before.
    pub(crate) fn wait_until(&mut self, until: Timestamp) {
        self.not_before = until;
    }

    /// Nothing was applied, for this reason. Whatever lies behind the outputs is a dead letter.
    pub(crate) fn refused(&mut self, output: usize, why: &RefusedOutput) -> Culprit {
        let Sent { pieces, .. } = self.take_sent();
        let owner = self.owner(pieces, output);
        let answers = self.unsettled.iter().take(pieces).filter(|piece| !piece.goes_on).count();
        let guilty = match why {
            RefusedOutput::NoTopic(_) if owner.is_some() => return Culprit::Gone,
            RefusedOutput::NoTopic(_) => None,
            RefusedOutput::TooLarge { .. } if answers > 1 && self.singly == 0 => {
                self.singly = pieces;
                return Culprit::Company;
            }
            RefusedOutput::TooLarge { .. } if answers > 1 => return Culprit::Crowd,
            RefusedOutput::TooLarge { .. } => {
                let handled =
                    |nth: &usize| matches!(self.unsettled[*nth].effect, Effect::Handled { .. });
                (0..pieces).find(handled)
            }
            RefusedOutput::RecordTooLarge { .. } => owner,
            RefusedOutput::StateTooLarge { name, bytes, .. } => self.writer(pieces, name, *bytes),
        };
        match guilty.map(|nth| &self.unsettled[nth]) {
            Some(Piece { span, effect: Effect::Handled { version, .. }, .. }) => {
                Culprit::Function { span: span.clone(), version: *version }
            }
            Some(Piece { effect: Effect::Ended(_), .. }) | None => Culprit::Ours,
        }
    }

    /// The piece that this output of a settlement of so many pieces is of. `None`: a dead letter.
    fn owner(&self, pieces: usize, output: usize) -> Option<usize> {
        let outputs = |nth: usize| self.unsettled[nth].outputs().len();
        (0..pieces).flat_map(|nth| repeat_n(nth, outputs(nth))).nth(output)
    }

    /// The piece whose state does not fit: by name and size, else the last that wrote any.
    fn writer(&self, pieces: usize, name: &str, bytes: usize) -> Option<usize> {
        let state = |nth: &usize| match &self.unsettled[*nth].effect {
            Effect::Handled { state, .. } => state.as_slice(),
            Effect::Ended(_) => &[],
        };
        let is_it = |write: &StateWrite| {
            let len = write.value.as_ref().map_or(0, bytes::Bytes::len);
            &*write.at.name == name && len == bytes
        };
        let exact = (0..pieces).find(|nth| state(nth).iter().any(is_it));
        exact.or_else(|| (0..pieces).rev().find(|nth| !state(nth).is_empty()))
    }

    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        (self.sent.is_none()).then_some(self.not_before)
    }

    fn take_sent(&mut self) -> Sent {
        self.sent.take().expect("answers a settlement")
    }
}

/// Offsets of a stretch that are not finished.
fn unfinished(progress: &Progress, stretch: &Range<Offset>) -> u64 {
    let start = stretch.start.max(progress.next()).0;
    let overlap = |done: &Range<Offset>| {
        done.end.0.min(stretch.end.0).saturating_sub(done.start.0.max(start))
    };
    let finished: u64 = progress.ahead().iter().map(overlap).sum();
    stretch.end.0.saturating_sub(start) - finished
}

fn fill(settle: &mut Settle, piece: &Piece, on_failure: OnFailure) {
    match &piece.effect {
        Effect::Handled { outputs, state, .. } => {
            settle.settlement.outputs.extend(outputs.iter().cloned());
            settle.settlement.state.extend(state.iter().cloned());
        }
        Effect::Ended(_) => match on_failure {
            OnFailure::Drop => settle.dropped.extend(piece.letters()),
            // What was decided before an operator chose to hold ends as it was decided.
            OnFailure::DeadLetter(_) | OnFailure::Hold => {
                settle.dead_letters.extend(piece.letters());
            }
        },
    }
}
