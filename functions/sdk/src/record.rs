//! A record as the function sees it: a borrowed view. It copies nothing and keeps nothing.

use serde::Deserialize;

use crate::decode;
use crate::{Reject, State, bindings};

/// One record of the batch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    index: u32,
    inner: &'a bindings::Record,
}

impl<'a> Record<'a> {
    pub(crate) fn new(index: usize, inner: &'a bindings::Record) -> Self {
        let index = u32::try_from(index).expect("a list in 32-bit memory has fewer elements");
        Self { index, inner }
    }

    /// Where the record stands in its batch.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Where the record stands in its partition.
    pub fn offset(self) -> u64 {
        self.inner.offset
    }

    /// The producer's time, in milliseconds since 1970.
    pub fn timestamp_ms(self) -> u64 {
        self.inner.timestamp_ms
    }

    /// When the log took the record; never goes back within a partition.
    pub fn appended_at_ms(self) -> u64 {
        self.inner.appended_at_ms
    }

    pub fn key(self) -> Option<&'a [u8]> {
        self.inner.key.as_deref()
    }

    /// `None` is a tombstone: "this key is gone".
    pub fn value(self) -> Option<&'a [u8]> {
        self.inner.value.as_deref()
    }

    /// The first header of this name.
    pub fn header(self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(each, _)| *each == name).map(|(_, value)| value)
    }

    pub fn headers(self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> {
        self.inner.headers.iter().map(|header| (header.name.as_str(), header.value.as_slice()))
    }

    /// The value as text; a [`Reject::Permanent`] if it is none.
    pub fn text(self) -> Result<&'a str, Reject> {
        let value = self.value().ok_or_else(|| Reject::permanent(decode::NO_VALUE))?;
        str::from_utf8(value)
            .map_err(|error| Reject::permanent(format!("the value is not UTF-8: {error}")))
    }

    /// The value as JSON, borrowing from it where `T` does; a [`Reject::Permanent`] that names the field if it does
    /// not decode. A tombstone is `null`.
    pub fn json<T: Deserialize<'a>>(self) -> Result<T, Reject> {
        decode::json(self.value()).map_err(Reject::Permanent)
    }

    /// The state of this record's key. Traps for a record without a key.
    pub fn state(self) -> State {
        State::of_key(self.index)
    }
}
