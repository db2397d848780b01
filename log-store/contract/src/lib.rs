//! What every log and every decider agree on: records that travel in batches, places, leases,
//! settlements, and the trait [`Log`]. No I/O, no policy, no vendor.
mod batch;
pub mod check;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod documents;
mod error;
mod headers;
mod lease;
mod log;
mod names;
mod partitioner;
mod position;
mod progress;
mod read;
pub mod route;
mod settlement;
mod span;
mod state;
mod topic;

pub use batch::{
    AppendBatch, Attributes, BatchBuilder, Entry, KeyHash, MalformedBatch, Record, RecordBatch,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use documents::{Blobs, DOCUMENT_BYTES_MAX, Digest, Document, Documents, Expect, NoDigest};
pub use error::{
    AlterTopicError, AppendError, BlobError, CreateTopicError, DeleteCursorError, DeleteTopicError,
    InvalidSettlement, JoinError, LogUnavailable, PutDocumentError, ReadError, RefusedOutput,
    SettleError, StateError, TrimError,
};
pub use headers::{Headers, HeadersBuf, HeadersIter};
pub use lease::{
    Before, CursorInfo, CursorPosition, Generation, GrantId, Lease, Membership, MembershipEvent,
    Memo, Release,
};
pub use log::{Log, LogLimits};
pub use names::{CursorName, FunctionName, NameError, TopicName, TriggerName};
pub use partitioner::partition_of_key;
pub use position::{Offset, PartitionId, PartitionRef, Timestamp, TopicId};
pub use progress::Progress;
pub use read::{AppendGuard, Appended, AppendedRun, OffsetBounds, ReadBudget, ReadPage};
pub use settlement::{Output, Settled, Settlement};
pub use span::{Run, Span};
pub use state::{STATE_NAME_MAX, STATE_VALUE_MAX, StateKey, StateWrite};
pub use topic::{Retention, TopicInfo, TopicSpec};
