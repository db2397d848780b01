//! What is told of records that end unhandled: once, when it is durable. Never what becomes of them.
use super::{context::Context, events::Kind};
use log_contract::{PartitionId, TriggerName};
use trigger::{DeadLetter, Settle};

/// Of one settlement, until it is settled.
#[derive(Debug, Default)]
pub(super) struct Endings {
    dead_lettered: Told,
    dropped: Told,
}

/// Lines for the first few, and a count of the others.
#[derive(Debug, Default)]
struct Told {
    lines: Vec<String>,
    more: usize,
}

/// Lines of one settlement: it may end 10,000 records.
const LINES_MAX: usize = 10;

impl Endings {
    pub(super) fn of(settle: &Settle) -> Self {
        let Settle { dead_letters, dropped, .. } = settle;
        Self { dead_lettered: Told::of(dead_letters), dropped: Told::of(dropped) }
    }

    pub(super) fn tell(self, context: &Context, trigger: &TriggerName, partition: PartitionId) {
        for line in self.dead_lettered.lines() {
            context.tell(Kind::DeadLettered, trigger, Some(partition), line);
        }
        for line in self.dropped.lines() {
            tracing::warn!("dropped: {line}");
            context.tell(Kind::Dropped, trigger, Some(partition), line);
        }
    }
}

impl Told {
    fn of(ended: &[DeadLetter]) -> Self {
        let line = |letter: &DeadLetter| {
            let (offset, condition) = (letter.record.head(), letter.condition.name());
            let error = letter.error.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("record {offset}: {condition}, {error}")
        };
        let lines = ended.iter().take(LINES_MAX).map(line).collect();
        Self { lines, more: ended.len().saturating_sub(LINES_MAX) }
    }

    fn lines(self) -> impl Iterator<Item = String> {
        let more = (self.more > 0).then(|| format!("and {} records more", self.more));
        self.lines.into_iter().chain(more)
    }
}
