//! Records whose fate is decided, and what is to become visible with it. Nothing here decides.
use crate::seam::{Condition, DeadLetter, LastError};
use log_contract::{Output, Run, Span, StateWrite, Timestamp};
use smallvec::SmallVec;

/// Pieces of a feed settle in the order in which they were decided.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) span: Span,
    pub(crate) effect: Effect,
    /// Another piece of the same answer follows: the two settle together.
    pub(crate) goes_on: bool,
}

#[derive(Debug)]
pub(crate) enum Effect {
    Handled { outputs: Outputs, state: Vec<StateWrite>, version: u32 },
    Ended(Story),
}

/// By topic: most answers name one.
pub(crate) type Outputs = SmallVec<[Output; 1]>;

/// Why records end unhandled: of one span, so of each of its records.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) condition: Condition,
    pub(crate) attempts: u32,
    pub(crate) first_failed_at: Option<Timestamp>,
    pub(crate) error: Option<LastError>,
}

impl Piece {
    pub(crate) fn new(span: Span, effect: Effect) -> Self {
        Self { span, effect, goes_on: false }
    }

    pub(crate) fn outputs(&self) -> &[Output] {
        match &self.effect {
            Effect::Handled { outputs, .. } => outputs,
            Effect::Ended(_) => &[],
        }
    }

    /// What it adds to a settlement, in bytes, with room for each dead letter's headers.
    pub(crate) fn weight(&self) -> usize {
        // Names and numbers of a story's headers, beside its reason.
        const STORY: usize = 1_024;
        match &self.effect {
            Effect::Handled { outputs, state, .. } => {
                let outputs: usize = outputs.iter().map(|output| output.span.bytes()).sum();
                let state: usize = state.iter().map(state_bytes).sum();
                outputs + state
            }
            Effect::Ended(Story { error, .. }) => {
                let reason = error.as_ref().map_or(0, |error| error.reason.len());
                self.span.bytes() + self.span.len() * (STORY + reason)
            }
        }
    }

    /// Appends one letter for each record, if they end unhandled.
    pub(crate) fn letters(&self) -> impl Iterator<Item = DeadLetter> {
        let story = match &self.effect {
            Effect::Handled { .. } => None,
            Effect::Ended(story) => Some(story),
        };
        story.into_iter().flat_map(|story| {
            self.span.places().map(|(batch, at)| DeadLetter {
                record: Run::new(batch.clone(), at..at + 1),
                condition: story.condition,
                error: story.error.clone(),
                attempts: story.attempts,
                first_failed_at: story.first_failed_at,
            })
        })
    }
}

fn state_bytes(write: &StateWrite) -> usize {
    let key = write.at.key.as_ref().map_or(0, bytes::Bytes::len);
    key + write.at.name.len() + write.value.as_ref().map_or(0, bytes::Bytes::len)
}
