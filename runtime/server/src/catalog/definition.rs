//! What a user sets of a trigger, as the domain knows it, and what can be wrong with it by itself.
//! Never the wire's shape, never a default: the door fills those in.
use super::{FunctionRef, Problem};
use log_contract::{CursorName, Timestamp, TopicName, TriggerName};
use std::time::Duration;
use trigger::{BatchPolicy, Ordering, RetryPolicy};

/// A whole trigger. `retry.item_failures` holds the API's `item_failures`.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerDefinition {
    pub source: TopicName,
    pub function: FunctionRef,
    /// Where an output goes that names no topic.
    pub output: Option<TopicName>,
    /// Further topics that an output may name.
    pub outputs: Vec<TopicName>,
    pub cursor: CursorName,
    pub enabled: bool,
    pub start: Start,
    pub batch: BatchPolicy,
    pub ordering: Ordering,
    pub retry: RetryPolicy,
    pub on_failure: OnFailure,
    /// `None`: the trigger's own, `<name>.dead-letters`.
    pub dead_letters: Option<TopicName>,
    /// Halts when more than this share of the last decided records failed for good.
    pub halt_on_failure_share: f64,
    /// A pattern as the user wrote it.
    pub filter: Option<serde_json::Value>,
    pub window: Option<Window>,
    pub scaling: Scaling,
}

/// Where a cursor without a position begins. Fixed when the trigger is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    At(Timestamp),
}

/// What becomes of a record whose attempts are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    DeadLetter,
    Hold,
    Drop,
}

/// Tumbling windows of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub length: Duration,
}

/// How many attempts may run at once, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    pub concurrency_min: u32,
    pub concurrency_max: u32,
    pub lag_target: Duration,
}

/// Records of one batch, at most.
pub const BATCH_RECORDS_MAX: usize = 10_000;
/// Bytes of one batch, at most.
pub const BATCH_BYTES_MAX: usize = 16 << 20;
/// How long a batch may wait to fill.
pub const BATCH_WAIT_MAX: Duration = Duration::from_secs(300);
/// Attempts of one trigger at once, at most.
pub const CONCURRENCY_MAX: u32 = 10_000;
/// Topics that one trigger may write to.
pub const OUTPUTS_MAX: usize = 100;

impl TriggerDefinition {
    /// Where dead letters go.
    ///
    /// # Panics
    /// Never: a trigger's name leaves room for the suffix in a topic's.
    #[must_use]
    pub fn dead_letter_topic(&self, name: &TriggerName) -> TopicName {
        self.dead_letters.clone().unwrap_or_else(|| {
            TopicName::parse_internal(&format!("{name}.dead-letters"))
                .expect("200 characters and a suffix are under 249")
        })
    }

    /// All that is wrong with it by itself, at once.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_batch(&mut problems);
        self.check_retry(&mut problems);
        self.check_scaling(&mut problems);
        if !(0.0..=1.0).contains(&self.halt_on_failure_share) {
            let message = format!("{} is not between 0 and 1", self.halt_on_failure_share);
            problems.push(Problem::new("halt_on_failure_share", message).with_hint("1 = never"));
        }
        if self.outputs.len() > OUTPUTS_MAX {
            let message = format!("{} topics are more than {OUTPUTS_MAX}", self.outputs.len());
            problems.push(Problem::new("outputs", message));
        }
        if self.dead_letters.as_ref() == Some(&self.source) {
            let message = "dead letters into the source would come back for ever";
            problems.push(Problem::new("dead_letters", message));
        }
        if self.filter.is_some() {
            problems.push(Problem::new("filter", "filters are not built yet: leave it null"));
        }
        if self.window.is_some() {
            problems.push(Problem::new("window", "windows are not built yet: leave it null"));
        }
        problems
    }

    fn check_batch(&self, problems: &mut Vec<Problem>) {
        let BatchPolicy { records_max, bytes_max, wait } = self.batch;
        within("batch.records_max", records_max, 1, BATCH_RECORDS_MAX, problems);
        within("batch.bytes_max", bytes_max, 1, BATCH_BYTES_MAX, problems);
        if wait > BATCH_WAIT_MAX {
            problems.push(Problem::new("batch.wait", "it is above 300s"));
        }
    }

    fn check_retry(&self, problems: &mut Vec<Problem>) {
        let retry = &self.retry;
        if retry.attempts_max == Some(0) {
            let hint = "1 = no retry, null = for ever";
            problems.push(Problem::new("retry.attempts_max", "0 is below 1").with_hint(hint));
        }
        if retry.backoff_min.is_zero() {
            problems.push(Problem::new("retry.backoff_min", "it is 0"));
        }
        if retry.backoff_min > retry.backoff_max {
            problems.push(Problem::new("retry.backoff_max", "it is below `retry.backoff_min`"));
        }
        if retry.record_age_max == Some(Duration::ZERO) {
            let hint = "null = no limit";
            problems.push(Problem::new("retry.record_age_max", "it is 0").with_hint(hint));
        }
    }

    fn check_scaling(&self, problems: &mut Vec<Problem>) {
        let Scaling { concurrency_min, concurrency_max, lag_target } = self.scaling;
        within("scaling.concurrency_max", concurrency_max, 1, CONCURRENCY_MAX, problems);
        if concurrency_min > concurrency_max {
            let message = "it is above `scaling.concurrency_max`";
            problems.push(Problem::new("scaling.concurrency_min", message));
        }
        if lag_target.is_zero() {
            problems.push(Problem::new("scaling.lag_target", "it is 0"));
        }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    field: &str,
    value: T,
    min: T,
    max: T,
    problems: &mut Vec<Problem>,
) {
    if value < min {
        problems.push(Problem::new(field, format!("{value} is below {min}")));
    } else if value > max {
        problems.push(Problem::new(field, format!("{value} is above {max}")));
    }
}
