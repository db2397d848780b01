//! The durable default log: one journal shared by all partitions, one thread that writes it, one sync
//! for all that waits. What lies on disk: `FORMAT.md`.
//!
//! Bytes (`wire`, `frame`, `segment`, `block`, `entry`) refuse what is not as written, and never guess.
//! `index` and `snapshot` are derived from them, so that neither memory nor an opening grows with history.
//! `state` is the fold over all durable entries; `plan` decides, purely, what the next frame holds.
//! `writer` alone changes anything, after it is durable; `log` answers the contract. `retention` decides
//! what goes, and `housekeeper` has it go.
mod wire;

mod block;
mod cold;
mod crc;
mod entry;
mod frame;
mod frame_buf;
mod index;
mod segment;

mod plan;
mod request;
mod retention;
mod snapshot;
mod state;

mod disk;
mod journal;
mod prepare;
mod recovery;
mod tail;

mod housekeeper;
mod leases;
mod queue;
mod reader;
mod shared;
mod spare;
mod writer;

mod aligned;
mod blobs;
mod documents;
mod log;
mod open;
mod options;

pub use disk::{Call, Disk, DiskFile, LockedFile, OsDisk, RecordingDisk};
pub use log::EmbeddedLog;
pub use options::{Fatal, Observer, OpenError, Options, Stats, Unobserved};

#[cfg(test)]
mod tests;
