//! A trigger as the catalogue keeps it: what the user set, what was fixed when it was put, and the
//! operator's flags. Never what its feeds are doing.
use super::{Etag, TriggerDefinition};
use log_contract::{Offset, PartitionId, Timestamp, TopicId, TriggerName};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    pub name: TriggerName,
    pub definition: TriggerDefinition,
    /// Of the definition; flags do not change it.
    pub etag: Etag,
    /// The topic that `definition.source` named when it was put.
    pub source: TopicId,
    /// Where partitions begin whose cursor has no position. Others begin at their beginning.
    pub starts: BTreeMap<PartitionId, Offset>,
    pub created_at: Timestamp,
    pub flags: Flags,
}

/// What an operator, or `Halt`, has said. Survives a restart and a put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Since when.
    pub paused: Option<Timestamp>,
    pub halted: Option<Halted>,
}

/// Too many records failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    pub since: Timestamp,
    pub reason: Arc<str>,
}

/// What a put did.
#[derive(Clone, Debug)]
pub struct PutTrigger {
    pub trigger: Arc<Trigger>,
    pub change: Change,
    /// Positions that the cursor had already, if the trigger is new.
    pub resumed_from: BTreeMap<PartitionId, Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Created,
    Altered,
    Unchanged,
}
