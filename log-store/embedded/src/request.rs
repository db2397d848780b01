//! What can be asked of the writer, and what it answers: the whole seam between the face and the
//! thread that writes.
use bytes::Bytes;
use log_contract::{
    AlterTopicError, AppendBatch, AppendError, AppendGuard, Appended, CreateTopicError, CursorName,
    DeleteCursorError, DeleteTopicError, Expect, Generation, GrantId, LogUnavailable, Offset,
    PartitionRef, PutDocumentError, Retention, SettleError, Settled, Settlement, TopicId,
    TopicSpec, TrimError, check,
};

use crate::entry::Seat;

/// The right to settle, as a lease states it.
#[derive(Clone, Debug)]
pub(crate) struct Right {
    pub(crate) seat: Seat,
    pub(crate) inputs: Vec<TopicId>,
    pub(crate) generation: Generation,
    pub(crate) grant: GrantId,
}

/// See the module.
#[derive(Debug)]
pub(crate) enum Request {
    Append {
        topic: TopicId,
        batch: AppendBatch,
        guard: AppendGuard,
    },
    Settle {
        right: Right,
        settlement: Settlement,
    },
    Trim {
        partition: PartitionRef,
        before: Offset,
        /// Bytes of all records that the partition ever had before `before`.
        bytes_before: u64,
        /// What was said of the topic when it was decided: if that has changed, nothing is to be done.
        given: Option<Retention>,
    },
    Release(Right),
    CreateTopic(TopicSpec),
    AlterTopic {
        topic: TopicId,
        spec: TopicSpec,
    },
    DeleteTopic(TopicId),
    DeleteCursor(CursorName),
    PutDocument {
        key: String,
        value: Option<Bytes>,
        expect: Expect,
    },
    Close,
}

/// What became of a request. Said only when it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Append(Result<Appended, AppendError>),
    Settle(Result<Settled, SettleError>),
    Trim(Result<(), TrimError>),
    Release,
    CreateTopic(Result<TopicId, CreateTopicError>),
    AlterTopic(Result<(), AlterTopicError>),
    DeleteTopic(Result<(), DeleteTopicError>),
    DeleteCursor(Result<(), DeleteCursorError>),
    PutDocument(Result<u64, PutDocumentError>),
    Close,
}

impl Request {
    /// Whether it adds to what is stored: a full disk refuses only those.
    pub(crate) fn needs_space(&self) -> bool {
        match self {
            Self::Append { .. } | Self::CreateTopic(_) | Self::AlterTopic { .. } => true,
            Self::Settle { settlement, .. } => check::needs_space(settlement),
            Self::PutDocument { value, .. } => value.is_some(),
            Self::Trim { .. }
            | Self::Release(_)
            | Self::DeleteTopic(_)
            | Self::DeleteCursor(_)
            | Self::Close => false,
        }
    }

    /// Whether it has a frame to itself, so that nothing is planned against what it changes.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(
            self,
            Self::CreateTopic(_)
                | Self::AlterTopic { .. }
                | Self::DeleteTopic(_)
                | Self::DeleteCursor(_)
                | Self::PutDocument { .. }
                | Self::Close
        )
    }

    /// What it takes of the queue's bound, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Append { batch, .. } => {
                let records = batch.records.len();
                batch.records.bytes(0..records) + records * 8
            }
            Self::Settle { settlement, .. } => {
                let outputs = settlement.outputs.iter();
                let outputs: usize = outputs.map(|out| out.span.bytes() + out.span.len() * 8).sum();
                outputs + settlement.state.iter().map(check::bytes_of_state).sum::<usize>()
            }
            Self::PutDocument { value, .. } => value.as_ref().map_or(0, Bytes::len),
            _ => 0,
        }
    }

    /// The answer when it was not done at all.
    pub(crate) fn unavailable(&self, why: LogUnavailable) -> Outcome {
        match self {
            Self::Append { .. } => Outcome::Append(Err(why.into())),
            Self::Settle { .. } => Outcome::Settle(Err(SettleError::NotApplied {
                retry_after: retry_after(&why),
                why,
            })),
            Self::Trim { .. } => Outcome::Trim(Err(why.into())),
            Self::Release(_) => Outcome::Release,
            Self::CreateTopic(_) => Outcome::CreateTopic(Err(why.into())),
            Self::AlterTopic { .. } => Outcome::AlterTopic(Err(why.into())),
            Self::DeleteTopic(_) => Outcome::DeleteTopic(Err(why.into())),
            Self::DeleteCursor(_) => Outcome::DeleteCursor(Err(why.into())),
            Self::PutDocument { .. } => Outcome::PutDocument(Err(why.into())),
            Self::Close => Outcome::Close,
        }
    }
}

fn retry_after(why: &LogUnavailable) -> std::time::Duration {
    match why {
        LogUnavailable::StorageFull { retry_after } | LogUnavailable::Away { retry_after, .. } => {
            *retry_after
        }
        LogUnavailable::Closed => std::time::Duration::from_secs(1),
    }
}
