//! What a function gives back. Nothing is sent from here: it all travels in the answer, so that a failed invocation
//! leaves nothing behind.

use serde::Serialize;

use crate::bindings::{self, Blame, FailedRecord, Header};
use crate::{Failure, Record, Reject};

/// One record to append. Unless told otherwise it goes to the trigger's output topic, under the key of the record it
/// came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    topic: Option<String>,
    key: Key,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    OfSource,
    Given(Option<Vec<u8>>),
}

/// An answer of exactly one thing, as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl Output {
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(Self::bytes)
    }

    pub fn bytes(value: impl Into<Vec<u8>>) -> Self {
        Self { topic: None, key: Key::OfSource, value: Some(value.into()), headers: Vec::new() }
    }

    /// "This key is gone."
    pub fn tombstone() -> Self {
        Self { topic: None, key: Key::OfSource, value: None, headers: Vec::new() }
    }

    /// To a topic that the trigger declares among its outputs; any other fails the invocation.
    #[must_use]
    pub fn to(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Key::Given(Some(key.into()));
        self
    }

    #[must_use]
    pub fn without_key(mut self) -> Self {
        self.key = Key::Given(None);
        self
    }

    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// `key_of_source` is asked only if the key is kept.
    fn lower(
        self,
        source: Option<u32>,
        key_of_source: impl FnOnce() -> Option<Vec<u8>>,
    ) -> bindings::Output {
        bindings::Output {
            source,
            topic: self.topic,
            key: match self.key {
                Key::OfSource => key_of_source(),
                Key::Given(key) => key,
            },
            value: self.value,
            headers: self.headers.into_iter().map(|(name, value)| Header { name, value }).collect(),
        }
    }
}

/// The record as it came: value and headers, and its key.
impl From<Record<'_>> for Output {
    fn from(record: Record<'_>) -> Self {
        let headers =
            record.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        let value = record.value().map(<[u8]>::to_vec);
        Self { topic: None, key: Key::OfSource, value, headers }
    }
}

/// What a handler of batches gives back.
#[derive(Debug, Default)]
pub struct Outputs {
    made: Vec<bindings::Output>,
    failed: Vec<FailedRecord>,
}

impl Outputs {
    pub(crate) fn with_capacity(records: usize) -> Self {
        Self { made: Vec::with_capacity(records), failed: Vec::new() }
    }

    /// Appends what came from this record. If the record fails, this output is not appended.
    pub fn emit(&mut self, source: Record<'_>, output: Output) {
        let key = || source.key().map(<[u8]>::to_vec);
        self.made.push(output.lower(Some(source.index()), key));
    }

    /// Appends what came from no record alone, such as a sum over the batch. With it, a batch in which any record
    /// fails is cut and handed over again.
    pub fn emit_unsourced(&mut self, output: Output) {
        self.made.push(output.lower(None, || None));
    }

    /// Names a record that is to be tried again, by itself.
    pub fn rejected(&mut self, record: Record<'_>, reason: impl Into<String>) {
        self.blame(record.index(), Blame::Rejected, reason.into());
    }

    /// Names a record that is to be dead-lettered now.
    pub fn permanent(&mut self, record: Record<'_>, reason: impl Into<String>) {
        self.blame(record.index(), Blame::Permanent, reason.into());
    }

    /// Names a record as failed. An outage is not one record's: it comes back, to be the answer for the batch.
    pub fn fail(&mut self, record: Record<'_>, reject: Reject) -> Result<(), Failure> {
        self.fail_at(record.index(), reject)
    }

    pub(crate) fn fail_at(&mut self, index: u32, reject: Reject) -> Result<(), Failure> {
        match reject {
            Reject::Rejected(reason) => self.blame(index, Blame::Rejected, reason),
            Reject::Permanent(reason) => self.blame(index, Blame::Permanent, reason),
            outage @ Reject::Unavailable { .. } => return Err(outage.into()),
        }
        Ok(())
    }

    /// Appends all of one record's outputs; its key goes into the last one and is copied for the others only.
    pub(crate) fn take(
        &mut self,
        index: u32,
        key: &mut Option<Vec<u8>>,
        outputs: &mut Vec<Output>,
    ) {
        let mut left = outputs.len();
        for output in outputs.drain(..) {
            left -= 1;
            let key = || if left == 0 { key.take() } else { key.clone() };
            self.made.push(output.lower(Some(index), key));
        }
    }

    /// One verdict a record, the first; and what a failed record put out is not kept.
    pub(crate) fn finish(mut self) -> bindings::Response {
        if !self.failed.is_empty() {
            self.failed.sort_by_key(|failed| failed.index);
            self.failed.dedup_by_key(|failed| failed.index);
            let is_failed =
                |index| self.failed.binary_search_by_key(&index, |each| each.index).is_ok();
            self.made.retain(|output| !output.source.is_some_and(is_failed));
        }
        bindings::Response { outputs: self.made, failed: self.failed }
    }

    fn blame(&mut self, index: u32, blame: Blame, reason: String) {
        self.failed.push(FailedRecord { index, blame, reason });
    }
}
