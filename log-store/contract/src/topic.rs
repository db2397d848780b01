//! What a topic is.
use crate::{TopicId, TopicName};
use std::time::Duration;

/// What a user sets of a topic. Valid by construction of its parts; `partitions` is at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: TopicName,
    /// 1 to [`TopicSpec::PARTITIONS_MAX`]. May grow, never shrink.
    pub partitions: u32,
    pub retention: Retention,
    /// Keeps the newest record of each key for ever.
    pub compacted: bool,
}

/// What is taken away, oldest first, by the log itself: at most a minute or so after it may be, and no sooner.
/// Of a topic that is altered it holds what is said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// What was appended (`appended_at`) longer ago goes. `None` = nothing does for its age.
    pub age: Option<Duration>,
    /// Of one partition: keys, values and headers. The oldest go as long as so many bytes stay; what was
    /// appended together may go together. `None` = nothing goes for its size.
    pub bytes: Option<u64>,
    /// What lies behind the `next` of a cursor that has a position stays nevertheless: up to a bound of
    /// bytes for each partition ([`Retention::HELD_BYTES_MAX`], where a log has no setting of its own),
    /// beyond which the oldest go.
    pub hold_for_triggers: bool,
}

impl TopicSpec {
    pub const PARTITIONS_MAX: u32 = 10_000;

    /// With the default retention (7 days, held for triggers), not compacted.
    #[must_use]
    pub fn new(name: TopicName, partitions: u32) -> Self {
        Self { name, partitions, retention: Retention::DEFAULT, compacted: false }
    }
}

impl Retention {
    /// See `hold_for_triggers`.
    pub const HELD_BYTES_MAX: u64 = 1 << 30;

    pub const DEFAULT: Self = Self {
        age: Some(Duration::from_secs(7 * 24 * 3600)),
        bytes: None,
        hold_for_triggers: true,
    };
}

/// A topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    pub id: TopicId,
    pub spec: TopicSpec,
}
