//! Performs what `trigger` decides: reads, invokes, settles, waits; and shows how it goes. Never a
//! branch on what is in a record.
//!
//! **Invariant:** one task has a lease, and it alone settles under it. Everything else sends it words,
//! widths and orders.
mod board;
mod context;
mod control;
mod effects;
mod endings;
mod events;
mod feed;
mod figures;
mod function_logs;
mod letters;
mod member;
mod metered;
mod once;
mod permits;
mod plan;
mod reconcile;
mod running;
mod scaler;
mod standing;
mod status;
mod supervisor;

pub use control::{ControlError, Moved, SeekReport, SeekTo};
pub use events::{Events, Happened, Kind};
pub use function_logs::{FunctionLogs, Line};
pub use letters::{Story, StoryError, split as split_dead_letter};
pub use once::{InvokeOnceError, Once, OnceOutput};
pub use status::{Concurrency, NotReady, PartitionStatus, State, TriggerStatus};
pub use supervisor::{Parts, Supervisor};
