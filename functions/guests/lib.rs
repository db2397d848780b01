//! How the guests beside this file read the marker that awakens their vice. Nothing else: a guest is its own file.

use millstream::Record;

/// Does the record's value hold this text?
pub fn says(record: Record<'_>, marker: &str) -> bool {
    after(record, marker).is_some()
}

/// The number that follows the marker in the record's value: 50 in `burn:50`.
pub fn number_after(record: Record<'_>, marker: &str) -> Option<u64> {
    let digits = word_after(record, marker)?;
    let end = digits.find(|each: char| !each.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// What follows the marker, up to a blank, a quote or the end: `_catalog` in `{"note": "to:_catalog"}`.
pub fn word_after<'a>(record: Record<'a>, marker: &str) -> Option<&'a str> {
    let rest = after(record, marker)?;
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'"';
    let end = rest.iter().position(is_end).unwrap_or(rest.len());
    str::from_utf8(&rest[..end]).ok()
}

fn after<'a>(record: Record<'a>, marker: &str) -> Option<&'a [u8]> {
    let value = record.value()?;
    let at = value.windows(marker.len()).position(|window| window == marker.as_bytes())?;
    Some(&value[at + marker.len()..])
}
