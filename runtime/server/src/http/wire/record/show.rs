//! A record as one line of JSON. Never read back here.
use std::{fmt, io::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use log_contract::{Attributes, Headers, PartitionId, Record};
use serde::de;

use crate::http::wire::quantity;

/// Where a shown record lies. `None`: it lies nowhere (an output of an invocation).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) partition: PartitionId,
}

/// Appends a record as one line of JSON, without the line end.
pub(crate) fn write(
    out: &mut Vec<u8>,
    place: Option<Place>,
    record: &Record<'_>,
    attributes: Option<&Attributes>,
) {
    out.push(b'{');
    if let Some(Place { partition }) = place {
        let offset = record.offset;
        put(out, format_args!("\"partition\":{partition},\"offset\":{offset},\"timestamp\":\""));
        let mut instant = String::with_capacity(24);
        quantity::write_instant(&mut instant, record.timestamp);
        out.extend_from_slice(instant.as_bytes());
        out.extend_from_slice(b"\",\"appended_at\":\"");
        instant.clear();
        quantity::write_instant(&mut instant, record.appended_at);
        out.extend_from_slice(instant.as_bytes());
        out.extend_from_slice(b"\",");
    }
    if let Some(key) = record.key {
        write_text_or_base64(out, "key", "key_base64", key);
        out.push(b',');
    }
    match record.value {
        None => out.extend_from_slice(b"\"value\":null"),
        Some(value) if is_shown_as_json(value) => {
            out.extend_from_slice(b"\"value\":");
            // Line ends in JSON stand between tokens only, where a space says the same.
            let one_line = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
            out.extend(value.iter().map(one_line));
        }
        Some(value) => write_text_or_base64(out, "value_text", "value_base64", value),
    }
    out.extend_from_slice(b",\"headers\":");
    write_headers(out, record.headers, attributes);
    out.push(b'}');
}

/// The bytes are JSON, and no `null`, which stands for a tombstone.
fn is_shown_as_json(value: &[u8]) -> bool {
    let begins = value.trim_ascii_start().first();
    let may_be = begins.is_some_and(|first| {
        matches!(first, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f')
    });
    may_be
        && std::str::from_utf8(value).is_ok()
        && serde_json::from_slice::<de::IgnoredAny>(value).is_ok()
}

fn write_text_or_base64(out: &mut Vec<u8>, text: &str, base64: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(shown) => {
            put(out, format_args!("\"{text}\":"));
            write_text(out, shown);
        }
        Err(_) => put(out, format_args!("\"{base64}\":\"{}\"", BASE64.encode(bytes))),
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("memory takes all");
}

fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory takes all");
}

/// `{"a": "b"}`; a name that comes again makes a list, a value that is no text `{"base64": "…"}`.
fn write_headers(out: &mut Vec<u8>, headers: Headers<'_>, attributes: Option<&Attributes>) {
    if headers.is_empty() && attributes.is_none() {
        out.extend_from_slice(b"{}");
        return;
    }
    let origin = attributes.map(origin_of).unwrap_or_default();
    let own = headers.into_iter();
    let all: Vec<(&str, &[u8])> =
        own.chain(origin.iter().map(|(name, value)| (*name, value.as_bytes()))).collect();
    for (at, (name, _)) in all.iter().enumerate() {
        if all[..at].iter().any(|(before, _)| before == name) {
            continue;
        }
        out.push(if at == 0 { b'{' } else { b',' });
        write_text(out, name);
        out.push(b':');
        let mut values = all[at..].iter().filter(|(other, _)| other == name).peekable();
        let (_, first) = values.next().expect("the name itself is there");
        if values.peek().is_none() {
            write_header_value(out, first);
            continue;
        }
        out.push(b'[');
        write_header_value(out, first);
        for (_, value) in values {
            out.push(b',');
            write_header_value(out, value);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn write_header_value(out: &mut Vec<u8>, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(text) => write_text(out, text),
        Err(_) => put(out, format_args!("{{\"base64\":\"{}\"}}", BASE64.encode(value))),
    }
}

/// What a batch says of all its records, as headers.
fn origin_of(attributes: &Attributes) -> Vec<(&'static str, String)> {
    let Attributes { trigger, function, version, invocation, hops } = attributes;
    vec![
        ("millstream-trigger", trigger.to_string()),
        ("millstream-function", function.to_string()),
        ("millstream-version", version.to_string()),
        ("millstream-invocation", invocation.to_string()),
        ("millstream-hops", hops.to_string()),
    ]
}
