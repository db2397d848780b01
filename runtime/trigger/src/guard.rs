//! Against records that take the host down with them. A start marks itself in the memo before its
//! first attempt; moving `next` or ending cleanly clears the mark. After `SUSPECT_AT` starts that left
//! their mark at the same `next`, records go one at a time, each durable before the next; after
//! `HOLD_AT` the feed holds, and the guilty record is known: it is the one at `next`.
//!
//! `next` and nothing else: under `ordering: key` other keys' ranges move on beside a killer. A start
//! that was handed over is no crash: its own mark is taken back.
use log_contract::{Before, Offset};

#[derive(Debug)]
pub(crate) struct Guard {
    /// As the next settlement will say it.
    unclean: u32,
    /// One of `unclean` is of this very start.
    own_mark: bool,
    mark: Mark,
    /// The log's memo calls a mark its writer's own, and that start is over: it must not be taken back
    /// when this one is handed over.
    stale: Mark,
    /// Records yet to be fetched that the crashed start may have had out.
    suspects: usize,
    /// Everything before it goes alone.
    alone_below: Offset,
    held: bool,
    /// Cleared by passing the last that goes alone.
    one_by_one: bool,
    /// Because of starts that ended without a word.
    suspects_poison: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Unset,
    Wanted,
    /// In the settlement that is under way.
    Sent,
    Durable,
}

impl Guard {
    pub(crate) const SUSPECT_AT: u32 = 3;
    pub(crate) const HOLD_AT: u32 = 6;

    pub(crate) fn restore(
        unclean: u32,
        is_own_mark: bool,
        before: Before,
        next: Offset,
        open_records: usize,
    ) -> Self {
        let was_none = is_own_mark && before == Before::HandedOver;
        let unclean = unclean.saturating_sub(u32::from(was_none));
        let one_by_one = unclean >= Self::SUSPECT_AT;
        Self {
            unclean,
            own_mark: false,
            mark: Mark::Unset,
            stale: if is_own_mark { Mark::Wanted } else { Mark::Unset },
            suspects: if one_by_one { open_records } else { 0 },
            alone_below: next,
            held: unclean >= Self::HOLD_AT,
            one_by_one,
            suspects_poison: one_by_one,
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    pub(crate) fn unclean(&self) -> u32 {
        self.unclean
    }

    pub(crate) fn suspects_poison(&self) -> bool {
        self.suspects_poison
    }

    pub(crate) fn is_one_by_one(&self) -> bool {
        self.one_by_one
    }

    pub(crate) fn alone_below(&self) -> Offset {
        self.alone_below
    }

    pub(crate) fn is_marked(&self) -> bool {
        self.mark == Mark::Durable
    }

    /// Asks for the mark: something is ready to start.
    pub(crate) fn want_mark(&mut self) {
        if self.mark == Mark::Unset {
            self.mark = Mark::Wanted;
            self.unclean = self.unclean.saturating_add(1);
            self.own_mark = true;
        }
    }

    pub(crate) fn is_news(&self) -> bool {
        self.mark == Mark::Wanted || self.stale == Mark::Wanted
    }

    pub(crate) fn fetched(&mut self, records: usize, next: Offset) {
        if self.suspects > 0 {
            self.suspects = self.suspects.saturating_sub(records);
            self.alone_below = self.alone_below.max(next);
        }
    }

    /// A settlement was refused for an output of this span: narrow it down, one record at a time.
    pub(crate) fn narrow(&mut self, below: Offset) {
        self.alone_below = self.alone_below.max(below);
    }

    /// Answers are too large to settle together: each shall be durable before the next, up to here.
    pub(crate) fn go_one_by_one(&mut self, below: Offset) {
        self.narrow(below);
        self.one_by_one = true;
    }

    /// What the settlement that is being made shall say: how many, and whether one is our own.
    pub(crate) fn memo(&mut self, next_moves: bool, ends_cleanly: bool) -> (u32, bool) {
        for mark in [&mut self.mark, &mut self.stale] {
            if *mark == Mark::Wanted {
                *mark = Mark::Sent;
            }
        }
        if ends_cleanly && !self.held {
            (self.unclean, self.own_mark) = (0, false);
        } else if next_moves {
            self.unclean = if self.suspects_poison { Self::SUSPECT_AT } else { 0 };
            self.own_mark = false;
        }
        (self.unclean, self.own_mark)
    }

    pub(crate) fn needs_clean_end(&self) -> bool {
        self.unclean > 0 && !self.held
    }

    pub(crate) fn settled(&mut self, next: Offset) {
        for mark in [&mut self.mark, &mut self.stale] {
            if *mark == Mark::Sent {
                *mark = Mark::Durable;
            }
        }
        if self.suspects == 0 && self.alone_below <= next {
            (self.one_by_one, self.suspects_poison) = (false, false);
        }
    }

    pub(crate) fn not_settled(&mut self) {
        for mark in [&mut self.mark, &mut self.stale] {
            if *mark == Mark::Sent {
                *mark = Mark::Wanted;
            }
        }
    }

    /// What is released for another reason is as suspicious as before.
    pub(crate) fn release(&mut self) {
        if std::mem::take(&mut self.held) {
            (self.unclean, self.own_mark) = (0, false);
        }
    }
}
