//! Bodies of lines: JSON lines whose bytes stay untouched, records in envelopes, plain text. The fast way
//! in: one check and one copy per record.
use std::borrow::Cow;

use log_contract::HeadersBuf;
use serde::de::{DeserializeSeed as _, IgnoredAny};

use super::{
    draft::{Draft, New},
    json,
    pointer::{Pointer, key_of},
};
use crate::http::{error::ApiResult, wire::record::RecordSeed};

/// Each line is one JSON value, kept as it is. Blank lines are nothing.
pub(super) fn read_json(body: &[u8], key: Option<&Pointer>, draft: &mut Draft) -> ApiResult<()> {
    for_each_json(body, draft, |line, number, draft| {
        let path = || format!("line {number}");
        let found = match key {
            None => serde_json::from_str::<IgnoredAny>(line).map(|_| None),
            Some(pointer) => pointer.find(line).map(|found| Some((pointer, found))),
        };
        let key: Option<Cow<'_, [u8]>> = match found {
            Err(error) => {
                draft.problems.add(path(), told(&error));
                return;
            }
            Ok(None) => None,
            Ok(Some((pointer, found))) => match found.and_then(key_of) {
                Some(key) => Some(key),
                None => {
                    let message =
                        format!("it has no text, number or truth value at `{}`", pointer.as_str());
                    draft.problems.add(path(), message);
                    return;
                }
            },
        };
        let record = New { key: key.as_deref(), ..New::value(line.as_bytes()) };
        draft.push(&record, &path);
    })
}

/// Each line is one record in the form in which it is shown.
pub(super) fn read_envelopes(body: &[u8], draft: &mut Draft) -> ApiResult<()> {
    let mut headers = HeadersBuf::default();
    for_each_json(body, draft, |line, number, draft| {
        let path = || format!("line {number}");
        let mut read = serde_json::Deserializer::from_str(line);
        let seed = RecordSeed { path: &path, problems: &mut draft.problems, is_envelope: true };
        match seed.deserialize(&mut read).and_then(|raw| read.end().map(|()| raw)) {
            Ok(Some(raw)) => json::take(&raw, &mut headers, &path, draft),
            Ok(None) => {}
            Err(error) => draft.problems.add(path(), told(&error)),
        }
    })
}

/// Each line is one value, whatever its bytes; only its end is left out.
pub(super) fn read_text(body: &[u8], draft: &mut Draft) -> ApiResult<()> {
    let whole = body.strip_suffix(b"\n").unwrap_or(body);
    if body.is_empty() {
        return Ok(());
    }
    for (at, line) in whole.split(|byte| *byte == b'\n').enumerate() {
        if !draft.has_room() {
            return Err(draft.too_many());
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        draft.push(&New::value(line), &|| format!("line {}", at + 1));
    }
    Ok(())
}

fn for_each_json(
    body: &[u8],
    draft: &mut Draft,
    mut take: impl FnMut(&str, usize, &mut Draft),
) -> ApiResult<()> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            let before = &body[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            draft.problems.add(format!("line {line}"), "it is no UTF-8");
            return Ok(());
        }
    };
    for (at, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        if !draft.has_room() {
            return Err(draft.too_many());
        }
        if draft.problems.is_full() {
            break;
        }
        take(line, at + 1, draft);
    }
    Ok(())
}

/// What is wrong with a line, by column: the line is named already.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("no JSON at column {}: {what}", error.column())
}
