//! Function state as the log keeps it: small values under the cursor and partition of a lease.
use bytes::Bytes;
use std::sync::Arc;

/// Longest name of a state entry, in bytes.
pub const STATE_NAME_MAX: usize = 256;
/// Largest value of a state entry, in bytes.
pub const STATE_VALUE_MAX: usize = 1 << 20;

/// Addresses one value under a lease's cursor and partition, never by batch or width.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey {
    /// The record key whose state it is. `None`: the partition's own.
    pub key: Option<Bytes>,
    pub name: Arc<str>,
}

/// What a key has from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateWrite {
    pub at: StateKey,
    /// `None` deletes.
    pub value: Option<Bytes>,
}
