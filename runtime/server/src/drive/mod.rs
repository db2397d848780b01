//! Performs what `trigger` decides: reads, invokes, settles, waits; and shows how it goes. Never a
//! branch on what is in a record.
mod events;
mod function_logs;
mod once;
mod status;
mod supervisor;

pub use events::{Events, Happened, Kind};
pub use function_logs::{FunctionLogs, Line};
pub use once::{InvokeOnceError, Once, OnceOutput};
pub use status::{Concurrency, NotReady, PartitionStatus, State, TriggerStatus};
pub use supervisor::{ControlError, Moved, SeekReport, SeekTo, Supervisor};
