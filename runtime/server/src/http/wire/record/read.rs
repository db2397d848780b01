//! A record from the form in which it is shown. Never where it goes.
use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose};
use log_contract::{HeadersBuf, PartitionId, Timestamp};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::wire::{
    fields::{Problems, noun_of},
    nearest::unknown,
    quantity,
};

/// Padding may be left out.
const BASE64_IN: general_purpose::GeneralPurpose = general_purpose::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    general_purpose::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// A record as it came: pieces of the body, looked at one by one only where they are used.
#[derive(Debug, Default)]
pub(crate) struct RawRecord<'a> {
    fields: [Option<&'a RawValue>; FIELDS.len()],
}

const FIELDS: [&str; 10] = [
    "key",
    "key_base64",
    "value",
    "value_text",
    "value_base64",
    "headers",
    "partition",
    "timestamp",
    "offset",
    "appended_at",
];
const KEY: usize = 0;
const KEY_BASE64: usize = 1;
const VALUE: usize = 2;
const VALUE_TEXT: usize = 3;
const VALUE_BASE64: usize = 4;
const HEADERS: usize = 5;
const PARTITION: usize = 6;
const TIMESTAMP: usize = 7;

/// How many of [`FIELDS`] a producer may give. Those after it are only shown; where a record is read back
/// as it was shown, they are let in and ignored.
const GIVEN: usize = 8;

/// Reads one record, telling what is wrong with it under `path`. Answers `None` for what is no object.
pub(crate) struct RecordSeed<'a> {
    pub(crate) path: &'a dyn Fn() -> String,
    pub(crate) problems: &'a mut Problems,
    /// Lets in what only a shown record has.
    pub(crate) is_envelope: bool,
}

impl<'de> DeserializeSeed<'de> for RecordSeed<'_> {
    type Value = Option<RawRecord<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, read: D) -> Result<Self::Value, D::Error> {
        read.deserialize_any(self)
    }
}

/// The visits of everything but an object, each of them a problem.
macro_rules! no_object {
    ($($visit:ident($type:ty),)*) => {
        $(fn $visit<E>(self, found: $type) -> Result<Self::Value, E> {
            self.refuse(&serde_json::Value::from(found));
            Ok(None)
        })*

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            self.refuse(&serde_json::Value::Null);
            Ok(None)
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<de::IgnoredAny>()?.is_some() {}
            self.refuse(&serde_json::Value::Array(Vec::new()));
            Ok(None)
        }
    };
}

impl<'de> Visitor<'de> for RecordSeed<'_> {
    type Value = Option<RawRecord<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    no_object! { visit_bool(bool), visit_u64(u64), visit_i64(i64), visit_f64(f64), visit_str(&str), }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let allowed = if self.is_envelope { FIELDS.len() } else { GIVEN };
        let mut record = RawRecord::default();
        while let Some(name) = entries.next_key_seed(FieldName)? {
            let value: &'de RawValue = entries.next_value()?;
            match name {
                Ok(field) if field < allowed => {
                    if record.fields[field].replace(value).is_some() {
                        self.problems
                            .add(format!("{}.{}", (self.path)(), FIELDS[field]), "given twice");
                    }
                }
                Ok(field) => {
                    let message = format!("`{}` is the log's to give", FIELDS[field]);
                    self.problems.add(format!("{}.{}", (self.path)(), FIELDS[field]), message);
                }
                Err(name) => {
                    let message = unknown("field", &name, &FIELDS[..allowed]);
                    self.problems.add(format!("{}.{name}", (self.path)()), message);
                }
            }
        }
        Ok(Some(record))
    }
}

impl RecordSeed<'_> {
    fn refuse(self, found: &serde_json::Value) {
        self.problems
            .add((self.path)(), format!("{} is no record: give {{\"value\": …}}", noun_of(found)));
    }
}

/// The index of a field, or the name that is none.
struct FieldName;

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, read: D) -> Result<Self::Value, D::Error> {
        read.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(FIELDS.iter().position(|field| *field == name).ok_or_else(|| name.to_owned()))
    }
}

/// A record whose parts are understood.
#[derive(Debug)]
pub(crate) struct ReadRecord<'a> {
    pub(crate) key: Option<Cow<'a, [u8]>>,
    /// `None` is a tombstone.
    pub(crate) value: Option<Cow<'a, [u8]>>,
    pub(crate) partition: Option<PartitionId>,
    pub(crate) timestamp: Option<Timestamp>,
}

impl<'a> RawRecord<'a> {
    /// Understands the parts; headers go into `headers`. What is wrong is told under `path`.
    pub(crate) fn read(
        &self,
        headers: &mut HeadersBuf,
        path: &dyn Fn() -> String,
        problems: &mut Problems,
    ) -> ReadRecord<'a> {
        let mut wrong = |field: usize, message: String| {
            problems.add(format!("{}.{}", path(), FIELDS[field]), message);
        };
        let mut key = None;
        let is_null = |field: usize| self.fields[field].is_some_and(|raw| raw.get() == "null");
        match (self.fields[KEY], self.fields[KEY_BASE64]) {
            (Some(_), Some(_)) => wrong(KEY_BASE64, "give `key` or `key_base64`, not both".into()),
            (Some(_), None) if is_null(KEY) => {}
            (Some(raw), None) => match text_of(raw) {
                Some(text) => key = Some(bytes_of(text)),
                None => wrong(KEY, format!("{} is not text or null", noun_of_raw(raw))),
            },
            (None, Some(raw)) => match base64_of(raw) {
                Ok(bytes) => key = Some(Cow::Owned(bytes)),
                Err(why) => wrong(KEY_BASE64, why),
            },
            (None, None) => {}
        }
        let given = [VALUE, VALUE_TEXT, VALUE_BASE64].map(|field| self.fields[field]);
        let value = match given {
            [None, None, None] => {
                wrong(VALUE, "missing; a tombstone is `\"value\": null`".into());
                None
            }
            [Some(raw), None, None] if raw.get() == "null" => None,
            [Some(raw), None, None] => Some(Cow::Borrowed(raw.get().as_bytes())),
            [None, Some(raw), None] => {
                let text = text_of(raw);
                if text.is_none() {
                    wrong(VALUE_TEXT, format!("{} is not text", noun_of_raw(raw)));
                }
                text.map(bytes_of)
            }
            [None, None, Some(raw)] => {
                base64_of(raw).map(Cow::Owned).map_err(|why| wrong(VALUE_BASE64, why)).ok()
            }
            _ => {
                let message = "give one of `value`, `value_text`, `value_base64`";
                wrong(VALUE, message.into());
                None
            }
        };
        let partition = self.fields[PARTITION].and_then(|raw| {
            let found = raw.get().parse().map(PartitionId);
            let message = || format!("{} is no partition: give a number", noun_of_raw(raw));
            found.map_err(|_| wrong(PARTITION, message())).ok()
        });
        let timestamp = self.fields[TIMESTAMP].and_then(|raw| {
            let text = text_of(raw).ok_or_else(|| {
                format!("{} is no instant: write it as \"2026-01-31T12:00:00Z\"", noun_of_raw(raw))
            });
            let found = text.and_then(|text| quantity::parse_instant(&text));
            found.map_err(|why| wrong(TIMESTAMP, why)).ok()
        });
        headers.clear();
        if let Some(raw) = self.fields[HEADERS] {
            read_headers(raw, headers, path, problems);
        }
        ReadRecord { key, value, partition, timestamp }
    }
}

/// The text that a raw value is, borrowed unless it has escapes.
fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

fn bytes_of(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn base64_of(raw: &RawValue) -> Result<Vec<u8>, String> {
    let text = text_of(raw).ok_or_else(|| format!("{} is not text", noun_of_raw(raw)))?;
    BASE64_IN.decode(text.as_bytes()).map_err(|why| format!("it is no base64: {why}"))
}

fn noun_of_raw(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).map_or_else(|_| "it".into(), |value| noun_of(&value))
}

fn read_headers(
    raw: &RawValue,
    headers: &mut HeadersBuf,
    path: &dyn Fn() -> String,
    problems: &mut Problems,
) {
    let found: Result<Pairs<'_>, _> = serde_json::from_str(raw.get());
    let Ok(Pairs(pairs)) = found else {
        let message =
            format!("{} is no object of texts: give {{\"name\": \"text\"}}", noun_of_raw(raw));
        problems.add(format!("{}.headers", path()), message);
        return;
    };
    for (name, raw) in pairs {
        let one = |raw: &RawValue, headers: &mut HeadersBuf| match text_of(raw) {
            Some(text) => {
                headers.push(&name, text.as_bytes());
                true
            }
            None => {
                match serde_json::from_str::<Packed<'_>>(raw.get()).map(|it| base64_of(it.base64)) {
                    Ok(Ok(bytes)) => {
                        headers.push(&name, &bytes);
                        true
                    }
                    _ => false,
                }
            }
        };
        let is_fine = match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
            Ok(list) => list.iter().all(|raw| one(raw, headers)),
            Err(_) => one(raw, headers),
        };
        if !is_fine {
            let message = "give text, {\"base64\": \"…\"}, or a list of those";
            problems.add(format!("{}.headers.{name}", path()), message);
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed<'a> {
    #[serde(borrow)]
    base64: &'a RawValue,
}

/// An object in its order, duplicates included.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> de::Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(read: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    pairs.push((Cow::Owned(name), value));
                }
                Ok(Pairs(pairs))
            }
        }
        read.deserialize_map(Visit)
    }
}
