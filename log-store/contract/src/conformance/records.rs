//! Records as tests write and compare them. Never a call to a log.
use crate::{Attributes, BatchBuilder, HeadersBuf, Offset, Record, RecordBatch, Timestamp};
use std::sync::Arc;

/// What a test says of a record: all that the log must keep, and nothing that it gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) timestamp: Timestamp,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) attributes: Option<Arc<Attributes>>,
}

/// A record that was read: the fact, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) offset: Offset,
    pub(super) appended_at: Timestamp,
    pub(super) fact: Fact,
}

impl Fact {
    pub(super) fn keyed(key: &str, value: &str) -> Self {
        Self { key: Some(key.into()), ..Self::keyless(value) }
    }

    pub(super) fn keyless(value: &str) -> Self {
        Self { timestamp: Timestamp(7), value: Some(value.into()), ..Self::default() }
    }

    /// Without key; a value of so many bytes.
    pub(super) fn of_bytes(bytes: usize) -> Self {
        Self { value: Some(vec![b'x'; bytes]), ..Self::default() }
    }

    /// The value as text.
    pub(super) fn text(&self) -> String {
        self.value.as_deref().map(|value| String::from_utf8_lossy(value).into()).unwrap_or_default()
    }

    fn of(record: &Record<'_>, attributes: Option<&Arc<Attributes>>) -> Self {
        let headers = record.headers.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self {
            timestamp: record.timestamp,
            key: record.key.map(Into::into),
            value: record.value.map(Into::into),
            headers: headers.collect(),
            attributes: attributes.cloned(),
        }
    }
}

impl Found {
    pub(super) fn all_of(batch: &RecordBatch) -> impl Iterator<Item = Self> {
        batch.records().map(|record| Self {
            offset: record.offset,
            appended_at: record.appended_at,
            fact: Fact::of(&record, batch.attributes()),
        })
    }
}

/// A batch of them. Attributes are the first one's: a batch has one set.
pub(super) fn batch_of(facts: &[Fact]) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    if let Some(attributes) = facts.first().and_then(|fact| fact.attributes.clone()) {
        builder.set_attributes(attributes);
    }
    for Fact { timestamp, key, value, headers, .. } in facts {
        let mut encoded = HeadersBuf::default();
        for (name, value) in headers {
            encoded.push(name, value);
        }
        builder.push_new(*timestamp, key.as_deref(), value.as_deref(), encoded.as_headers());
    }
    builder.build()
}

/// `count` records without key, whose values begin with `name` and count up.
pub(super) fn counted(name: &str, count: usize) -> Vec<Fact> {
    (0..count).map(|nth| Fact::keyless(&format!("{name}{nth}"))).collect()
}

/// What a function's answer carries.
pub(super) fn some_attributes() -> Arc<Attributes> {
    Arc::new(Attributes {
        trigger: "orders-to-mail".into(),
        function: "mail".into(),
        version: 7,
        invocation: "0192-ab".into(),
        hops: 3,
    })
}

pub(super) fn texts(found: &[Found]) -> Vec<String> {
    found.iter().map(|found| found.fact.text()).collect()
}
