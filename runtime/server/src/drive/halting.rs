//! Carries what a trigger's feeds decided to the one that may halt it. Never the decision itself.
use std::{collections::VecDeque, sync::Arc};

/// Of all feeds of one trigger.
#[derive(Debug)]
pub(super) struct Halting {
    share: f64,
    window: VecDeque<bool>,
}

const WINDOW: usize = 200;

impl Halting {
    pub(super) fn new(share: f64) -> Self {
        Self { share, window: VecDeque::new() }
    }

    /// By another share from now on.
    pub(super) fn set_share(&mut self, share: f64) {
        self.share = share;
    }

    /// So many records were decided, so many of them for good against the function. Why to halt.
    pub(super) fn decided(&mut self, handled: u64, blamed: u64) -> Option<Arc<str>> {
        let outcomes = (0..blamed.min(WINDOW as u64))
            .map(|_| true)
            .chain((0..handled.min(WINDOW as u64)).map(|_| false));
        for is_blamed in outcomes {
            if self.window.len() == WINDOW {
                self.window.pop_front();
            }
            self.window.push_back(is_blamed);
        }
        let failed = self.window.iter().filter(|is_blamed| **is_blamed).count();
        #[expect(clippy::cast_precision_loss, reason = "at most 200")]
        let share = failed as f64 / WINDOW as f64;
        (self.window.len() == WINDOW && share > self.share).then(|| {
            format!("{failed} of the last {WINDOW} records failed for good: fix the function, then resume")
                .into()
        })
    }

    /// Begins a new window.
    pub(super) fn reset(&mut self) {
        self.window.clear();
    }
}
