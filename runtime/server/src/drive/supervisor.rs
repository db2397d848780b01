//! Keeps the feeds that run in step with the triggers that there are.
use super::{Events, FunctionLogs, InvokeOnceError, NotReady, Once, TriggerStatus};
use crate::catalog::{ChangeTriggerError, FunctionRef, Guard, NotFound, Trigger};
use log_contract::{
    LogUnavailable, Offset, PartitionId, RecordBatch, Timestamp, TopicName, TriggerName,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Starts, stops and steers feeds.
#[derive(Debug)]
pub struct Supervisor {
    events: Arc<Events>,
    logs: Arc<FunctionLogs>,
}

/// Where a seek goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeekTo {
    Earliest,
    Latest,
    At(Timestamp),
    /// Partitions that are not named stay where they are.
    Offsets(BTreeMap<PartitionId, Offset>),
}

/// What a seek does, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeekReport {
    pub dry_run: bool,
    /// In their order.
    pub partitions: Vec<Moved>,
}

/// How one partition's position moves. Records are counted by offsets, so holes count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub partition: PartitionId,
    pub from: Offset,
    pub to: Offset,
    /// Not handled yet, and never will be.
    pub skipped: u64,
    /// Handled already, and will be again.
    pub repeated: u64,
}

/// Why an operator's word was not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// The partition or the offset is not there.
    #[error("{message}")]
    Invalid { field: &'static str, message: String, hint: String },
    /// A partition is not ours at the moment.
    #[error("partition {partition} is not held by this process now: {why}")]
    NotHeld { partition: PartitionId, why: String },
    /// What was out has not landed in time. What was asked for still holds.
    #[error("after {waited:?} the trigger is still finishing what it has out")]
    StillBusy { waited: Duration },
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

impl Supervisor {
    /// How a trigger stands. `None`: there is no such trigger.
    pub async fn status(&self, trigger: &TriggerName) -> Option<TriggerStatus> {
        let _ = trigger;
        unimplemented!("follows")
    }

    /// A barrier: when it returns nothing is being invoked, and nothing will be until `resume`. Survives
    /// a restart.
    ///
    /// # Errors
    /// There is no such trigger, or the flag cannot be made durable.
    pub async fn pause(&self, trigger: &TriggerName) -> Result<Arc<Trigger>, ControlError> {
        let _ = trigger;
        unimplemented!("follows")
    }

    /// Ends a pause, what is held, and a halt.
    ///
    /// # Errors
    /// There is no such trigger, or the flag cannot be made durable.
    pub async fn resume(&self, trigger: &TriggerName) -> Result<Arc<Trigger>, ControlError> {
        let _ = trigger;
        unimplemented!("follows")
    }

    /// Moves the position of a trigger; then it goes on as before.
    ///
    /// # Errors
    /// An offset is not there, or a partition is not ours.
    pub async fn seek(
        &self,
        trigger: &TriggerName,
        to: SeekTo,
        dry_run: bool,
    ) -> Result<SeekReport, ControlError> {
        let _ = (trigger, to, dry_run);
        unimplemented!("follows")
    }

    /// Leaves out one record that is not done yet.
    ///
    /// # Errors
    /// It is not there, done already, or the partition is not ours.
    pub async fn skip(
        &self,
        trigger: &TriggerName,
        partition: PartitionId,
        offset: Offset,
        reason: &str,
    ) -> Result<(), ControlError> {
        let _ = (trigger, partition, offset, reason);
        unimplemented!("follows")
    }

    /// Deletes a trigger: when it returns nothing of it runs any more. Its cursor stays.
    ///
    /// # Errors
    /// It is not there, or has changed.
    pub async fn delete(
        &self,
        trigger: &TriggerName,
        guard: Guard,
    ) -> Result<(), ChangeTriggerError> {
        let _ = (trigger, guard);
        unimplemented!("follows")
    }

    /// Pauses everybody who reads or writes a topic, before it is deleted by force. Says who.
    ///
    /// # Errors
    /// A flag cannot be made durable.
    pub async fn stop_users_of(&self, topic: &TopicName) -> Result<Vec<TriggerName>, ControlError> {
        let _ = topic;
        unimplemented!("follows")
    }

    /// Runs a function outside any topic.
    ///
    /// # Errors
    /// It is not there, or does not load.
    pub async fn invoke_once(
        &self,
        function: &FunctionRef,
        records: RecordBatch,
    ) -> Result<Once, InvokeOnceError> {
        let _ = (function, records);
        unimplemented!("follows")
    }

    /// Triggers that lag and make no progress. Empty: ready.
    #[must_use]
    pub fn not_ready(&self) -> Vec<NotReady> {
        Vec::new()
    }

    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    #[must_use]
    pub fn function_logs(&self) -> &Arc<FunctionLogs> {
        &self.logs
    }
}
