//! `{"records": [{"value": …}, …]}`: read in one pass, values as the bytes that were sent. Never the
//! shape of one record: `wire::record` has that.
use std::fmt;

use log_contract::HeadersBuf;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::draft::{Draft, New};
use crate::http::{
    error::ApiResult,
    wire::{
        Problems,
        nearest::unknown,
        record::{RawRecord, RecordSeed},
    },
};

/// Reads a whole body into the draft.
pub(super) fn read(body: &[u8], draft: &mut Draft) -> ApiResult<()> {
    let Ok(text) = std::str::from_utf8(body) else {
        draft.problems.add("", "the body is no UTF-8");
        return Ok(());
    };
    let mut read = serde_json::Deserializer::from_str(text);
    let mut whole = Whole { draft, is_too_long: false };
    let ended = whole.deserialize_all(&mut read).and_then(|()| read.end());
    if whole.is_too_long {
        return Err(whole.draft.too_many());
    }
    if let Err(error) = ended {
        let mut problems = Problems::default();
        problems.add("", format!("the body is no JSON of this form: {error}"));
        let hint = "send {\"records\": [{\"value\": …}]}, or JSON lines as application/x-ndjson";
        return Err(problems.or(()).expect_err("one was added").hint(hint));
    }
    Ok(())
}

/// Takes in one record that was read as raw pieces.
pub(super) fn take(
    raw: &RawRecord<'_>,
    headers: &mut HeadersBuf,
    path: &dyn Fn() -> String,
    draft: &mut Draft,
) {
    let read = raw.read(headers, path, &mut draft.problems);
    let record = New {
        timestamp: read.timestamp,
        key: read.key.as_deref(),
        value: read.value.as_deref(),
        headers: headers.as_headers(),
        partition: read.partition,
    };
    draft.push(&record, path);
}

struct Whole<'a> {
    draft: &'a mut Draft,
    is_too_long: bool,
}

impl Whole<'_> {
    fn deserialize_all<'de, D: Deserializer<'de>>(&mut self, read: D) -> Result<(), D::Error> {
        read.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `records`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_given = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "records" && !is_given {
                is_given = true;
                map.next_value_seed(Records(&mut *self))?;
                continue;
            }
            let message = match name.as_str() {
                "records" => "given twice".into(),
                _ => unknown("field", &name, &["records"]),
            };
            self.draft.problems.add(name, message);
            map.next_value::<de::IgnoredAny>()?;
        }
        if !is_given {
            self.draft.problems.add("records", "missing; give [{\"value\": …}]");
        }
        Ok(())
    }
}

struct Records<'a, 'b>(&'a mut Whole<'b>);

impl<'de> DeserializeSeed<'de> for Records<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, read: D) -> Result<(), D::Error> {
        read.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Whole { draft, is_too_long } = self.0;
        let mut headers = HeadersBuf::default();
        let mut at = 0;
        loop {
            let path = || format!("records[{at}]");
            let problems = &mut draft.problems;
            let seed = RecordSeed { path: &path, problems, is_envelope: false };
            let Some(raw) = seq.next_element_seed(seed)? else { return Ok(()) };
            if !draft.has_room() || draft.problems.is_full() {
                // The rest would not be taken anyway: no need to read it.
                *is_too_long = !draft.has_room();
                while seq.next_element::<de::IgnoredAny>()?.is_some() {}
                return Ok(());
            }
            if let Some(raw) = raw {
                take(&raw, &mut headers, &path, draft);
            }
            at += 1;
        }
    }
}
