//! Turns log lines into structured records.
//!
//! Here is the handler; how a line is read lives below `line`, which knows no runtime.

mod line;

use std::env;
use std::sync::LazyLock;

use millstream::{Output, Record, Reject};
use serde::Serialize;

use self::line::Parsed;

/// Whether the line itself comes out beside what was read from it.
static KEEP_LINE: LazyLock<bool> =
    LazyLock::new(|| env::var("LINE").is_ok_and(|line| line == "keep"));

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    parsed: Parsed<'a>,
    line: &'a str,
}

#[millstream::function]
fn handle(record: Record<'_>) -> Result<Output, Reject> {
    let value = record
        .value()
        .ok_or_else(|| Reject::permanent("the record has no value (it is a tombstone)"))?;
    // Daemons log what clients send; a stray byte is no reason to lose the line.
    let text = String::from_utf8_lossy(value);
    let line = text.trim_end_matches(['\n', '\r']);
    let parsed = line::parse(line, record.timestamp_ms()).map_err(Reject::permanent)?;
    let output =
        if *KEEP_LINE { Output::json(&Entry { parsed, line }) } else { Output::json(&parsed) };
    Ok(output?)
}

#[cfg(test)]
mod tests;
