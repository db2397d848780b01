//! What the user and the operator set. No defaults here: the caller knows better. `validate` says all
//! that is wrong at once; a feed takes what it would refuse at its nearest bound and never panics, as a
//! stored spec may be older than a rule.
use log_contract::{Progress, TopicId};
use std::time::Duration;

/// In which order records are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// The whole partition is one key.
    Partition,
    Key,
}

/// What an answer with item failures lets settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemFailures {
    /// All but the failed ones.
    Each,
    /// What lies before the lowest failed one (Lambda's rule, R-8.2).
    Lowest,
}

/// What becomes of a record whose attempts are used up, or that is permanent or too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    DeadLetter(TopicId),
    /// The partition or key waits for an operator (`Event::Release`), who gives it a new budget and
    /// from whose word on its age counts. Without `bisect` a whole span waits.
    Hold,
    /// Counted, and named in the log.
    Drop,
}

/// When a batch leaves, and how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    pub records_max: usize,
    /// A record above it goes alone.
    pub bytes_max: usize,
    /// How long its first record waits for others.
    pub wait: Duration,
}

/// How failures are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Failures that one record (or, without `bisect`, one span) may cost; Lambda's
    /// MaximumRetryAttempts + 1. `None` = for ever.
    pub attempts_max: Option<u32>,
    pub bisect: bool,
    pub item_failures: ItemFailures,
    pub record_age_max: Option<Duration>,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}

/// What one feed may hold. The memory sum of the server is made of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Counted by whole batches, as one record pins the buffer of its batch.
    pub open_records: usize,
    pub open_bytes: usize,
    pub page_records: usize,
    pub page_bytes: usize,
    /// Decided and not durable yet: how far the feed runs ahead of the log.
    pub unsettled_pieces: usize,
    pub unsettled_bytes: usize,
    /// What one settlement may weigh, as the log states it. A single answer that is larger goes alone.
    pub settlement_bytes: usize,
    /// As the log states it.
    pub ranges: usize,
    pub memo_entries: usize,
    /// Pause after a fault that is ours.
    pub fault_pause: Duration,
}

/// All policies of one trigger that a feed goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerSpec {
    pub ordering: Ordering,
    pub batch: BatchPolicy,
    pub retry: RetryPolicy,
    pub on_failure: OnFailure,
    pub bounds: Bounds,
}

/// One thing that is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {message}")]
pub struct Problem {
    /// As the API calls it.
    pub field: &'static str,
    pub message: String,
}

impl BatchPolicy {
    pub const RECORDS_MAX: usize = 10_000;
    pub const BYTES_MAX: usize = 64 << 20;
    /// Lambda's bound (SEMANTICS 1.2).
    pub const WAIT_MAX: Duration = Duration::from_secs(300);
}

impl RetryPolicy {
    /// Below it a record that fails for ever would loop hot.
    pub const BACKOFF_LEAST: Duration = Duration::from_millis(1);
    pub const BACKOFF_MOST: Duration = Duration::from_secs(24 * 3_600);

    /// Jitter in parts per 1,000 is the driver's draw: the plan stays a function of its inputs.
    pub(crate) fn backoff(&self, failures: u32, jitter: u16) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        let wait = self.backoff_min.saturating_mul(factor).min(self.backoff_max);
        let wait = wait.saturating_mul(u32::from(jitter.clamp(800, 1_200))) / 1_000;
        wait.max(Self::BACKOFF_LEAST)
    }

    pub(crate) fn is_exhausted(&self, failures: u32) -> bool {
        self.attempts_max.is_some_and(|max| failures >= max)
    }
}

impl TriggerSpec {
    /// All that is wrong, in the order of the fields.
    ///
    /// # Errors
    /// At least one problem.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut check = |field, message: Option<String>| {
            problems.extend(message.map(|message| Problem { field, message }));
        };
        let Self { batch, retry, bounds, .. } = self;
        check("batch.records_max", within(batch.records_max, 1, BatchPolicy::RECORDS_MAX));
        check("batch.bytes_max", within(batch.bytes_max, 1, BatchPolicy::BYTES_MAX));
        check("batch.wait", lasts(batch.wait, Duration::ZERO, BatchPolicy::WAIT_MAX));
        check("retry.attempts_max", retry.attempts_max.and_then(|max| within(max, 1, u32::MAX)));
        let age = retry.record_age_max;
        check(
            "retry.record_age_max",
            age.and_then(|age| lasts(age, Duration::from_millis(1), Duration::MAX)),
        );
        let (least, most) = (RetryPolicy::BACKOFF_LEAST, RetryPolicy::BACKOFF_MOST);
        check("retry.backoff_min", lasts(retry.backoff_min, least, most));
        check("retry.backoff_max", lasts(retry.backoff_max, retry.backoff_min.max(least), most));
        let sizes = [
            ("bounds.open_records", bounds.open_records),
            ("bounds.open_bytes", bounds.open_bytes),
            ("bounds.page_records", bounds.page_records),
            ("bounds.page_bytes", bounds.page_bytes),
            ("bounds.unsettled_pieces", bounds.unsettled_pieces),
            ("bounds.unsettled_bytes", bounds.unsettled_bytes),
            ("bounds.settlement_bytes", bounds.settlement_bytes),
        ];
        for (field, size) in sizes {
            check(field, within(size, 1, usize::MAX));
        }
        check("bounds.ranges", within(bounds.ranges, 1, Progress::RANGES_MAX));
        let pause = bounds.fault_pause;
        check("bounds.fault_pause", lasts(pause, Duration::from_millis(1), Duration::MAX));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The nearest spec that `validate` accepts.
    #[must_use]
    pub(crate) fn nearest_valid(mut self) -> Self {
        let Self { batch, retry, bounds, .. } = &mut self;
        batch.records_max = batch.records_max.clamp(1, BatchPolicy::RECORDS_MAX);
        batch.bytes_max = batch.bytes_max.clamp(1, BatchPolicy::BYTES_MAX);
        batch.wait = batch.wait.min(BatchPolicy::WAIT_MAX);
        retry.attempts_max = retry.attempts_max.map(|max| max.max(1));
        let least = Duration::from_millis(1);
        retry.record_age_max = retry.record_age_max.map(|age| age.max(least));
        let (shortest, longest) = (RetryPolicy::BACKOFF_LEAST, RetryPolicy::BACKOFF_MOST);
        retry.backoff_min = retry.backoff_min.clamp(shortest, longest);
        retry.backoff_max = retry.backoff_max.clamp(retry.backoff_min, longest);
        for size in [
            &mut bounds.open_records,
            &mut bounds.open_bytes,
            &mut bounds.page_records,
            &mut bounds.page_bytes,
            &mut bounds.unsettled_pieces,
            &mut bounds.unsettled_bytes,
            &mut bounds.settlement_bytes,
        ] {
            *size = (*size).max(1);
        }
        bounds.ranges = bounds.ranges.clamp(1, Progress::RANGES_MAX);
        bounds.fault_pause = bounds.fault_pause.max(least);
        self
    }
}

fn within<N: PartialOrd + std::fmt::Display>(value: N, least: N, most: N) -> Option<String> {
    if value < least {
        Some(format!("{value} is below {least}"))
    } else if most < value {
        Some(format!("{value} is above {most}"))
    } else {
        None
    }
}

fn lasts(value: Duration, least: Duration, most: Duration) -> Option<String> {
    if value < least {
        Some(format!("{value:?} is shorter than {least:?}"))
    } else if most < value {
        Some(format!("{value:?} is longer than {most:?}"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_nearest_valid_spec_is_valid_and_a_valid_one_is_its_own(
            sizes in prop::array::uniform11(prop::sample::select(vec![0, 1, 7, 20_000, usize::MAX])),
            times in prop::array::uniform5(prop::sample::select(vec![0, 1, 500, 400_000, u64::MAX])),
            attempts_max in prop::option::of(0_u32..3),
            has_age: bool,
        ) {
            let [wait, age, backoff_min, backoff_max, pause] = times.map(Duration::from_millis);
            let spec = TriggerSpec {
                ordering: Ordering::Key,
                batch: BatchPolicy { records_max: sizes[0], bytes_max: sizes[1], wait },
                retry: RetryPolicy {
                    attempts_max,
                    bisect: true,
                    item_failures: ItemFailures::Each,
                    record_age_max: has_age.then_some(age),
                    backoff_min,
                    backoff_max,
                },
                on_failure: OnFailure::Drop,
                bounds: Bounds {
                    open_records: sizes[2],
                    open_bytes: sizes[3],
                    page_records: sizes[4],
                    page_bytes: sizes[5],
                    unsettled_pieces: sizes[6],
                    unsettled_bytes: sizes[7],
                    settlement_bytes: sizes[8],
                    ranges: sizes[9],
                    memo_entries: sizes[10],
                    fault_pause: pause,
                },
            };
            prop_assert_eq!(spec.nearest_valid().validate(), Ok(()));
            prop_assert_eq!(spec.validate().is_ok(), spec.nearest_valid() == spec);
        }
    }
}
