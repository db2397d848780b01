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

/// What may be taken away, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// By `appended_at`. `None` = for ever.
    pub age: Option<Duration>,
    /// Of one partition. `None` = without bound.
    pub bytes: Option<u64>,
    /// What a trigger has not read yet stays.
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
