//! How a person writes a duration, a size, an instant, and how the program shows them: the one parser
//! of API, manifest, flags and environment. Never a limit or a default.
use std::{fmt::Write as _, time::Duration};

use log_contract::Timestamp;

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// `"250ms"`, `"5s"`, `"1h30m"`, `"1.5s"`. Nothing finer than a millisecond.
///
/// # Errors
/// What is wrong with the text and how to write it, for people.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let fail =
        || format!("`{text}` is no duration: write it as `250ms`, `5s`, `10m`, `2h` or `7d`");
    let (mut rest, mut total) = (text.trim(), 0_u64);
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let value = scaled(number, unit.trim(), &DURATION_UNITS).ok_or_else(fail)?;
        total = total.checked_add(value).ok_or_else(fail)?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// `"64KiB"`, `"10GiB"`, `"1.5MB"`, `"512B"`.
///
/// # Errors
/// What is wrong with the text and how to write it, for people.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text.trim());
    scaled(number, unit.trim(), &SIZE_UNITS).ok_or_else(|| {
        format!("`{text}` is no size: write it as `512B`, `64KiB`, `6MiB` or `10GiB`")
    })
}

/// RFC 3339, with `Z` or an offset.
///
/// # Errors
/// What is wrong with the text and how to write it, for people.
pub fn parse_instant(text: &str) -> Result<Timestamp, String> {
    let fail = || format!("`{text}` is no instant: write it as `2026-01-31T12:00:00Z`");
    let at: jiff::Timestamp = text.parse().map_err(|_| fail())?;
    u64::try_from(at.as_millisecond()).map(Timestamp).map_err(|_| fail())
}

/// In the largest unit in which it is a whole number above 1, so that `"60s"` comes back as it was
/// written: `"7d"`, `"90s"`, `"250ms"`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = |(unit, of): &&(&str, u64)| {
        ms.is_multiple_of(*of) && (ms / of > 1 || (*unit == "s" && ms == 1_000))
    };
    match DURATION_UNITS.iter().rev().find(fits) {
        Some((unit, of)) => format!("{}{unit}", ms / of),
        None if ms == 0 => "0s".into(),
        None => format!("{ms}ms"),
    }
}

/// In the largest binary unit in which it is a whole number: `"64KiB"`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let fits = |(_, of): &&(&str, u64)| bytes >= *of && bytes.is_multiple_of(*of);
    let (unit, of) = SIZE_UNITS[..5].iter().rev().find(fits).unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / of)
}

/// RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn show_instant(at: Timestamp) -> String {
    let mut shown = String::with_capacity(24);
    write_instant(&mut shown, at);
    shown
}

/// The same, into a buffer: records have two of them each.
pub(crate) fn write_instant(out: &mut String, at: Timestamp) {
    let known = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let at = known.unwrap_or(jiff::Timestamp::MAX);
    write!(out, "{at:.3}").expect("a string takes all");
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

/// Exact, or none: `1.5s` is 1,500, `0.0001s` is nothing that we can keep.
fn scaled(number: &str, unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (_, of) = units.iter().find(|(known, _)| *known == unit)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if part.is_empty() || part.len() > 9 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(*of)?;
    let parts = u128::from(part.parse::<u64>().ok()?) * u128::from(*of);
    let tens = 10_u128.pow(u32::try_from(part.len()).ok()?);
    if !parts.is_multiple_of(tens) {
        return None;
    }
    whole.checked_add(u64::try_from(parts / tens).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_a_person_writes_them() {
        let ms = |text: &str| parse_duration(text).map(|found| found.as_millis());
        assert_eq!(ms("250ms"), Ok(250));
        assert_eq!(ms("5s"), Ok(5_000));
        assert_eq!(ms("7d"), Ok(604_800_000));
        assert_eq!(ms("1h30m"), Ok(5_400_000));
        assert_eq!(ms("1.5s"), Ok(1_500));
        assert_eq!(ms("0s"), Ok(0));
        for wrong in
            ["", "5", "s", "5 parsecs", "-1s", "0.0001s", "1.s", "99999999999999999d", "5S"]
        {
            let told = ms(wrong).expect_err(wrong);
            assert!(told.contains("is no duration"), "{told}");
        }
    }

    #[test]
    fn sizes_are_read_as_a_person_writes_them() {
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("10GiB"), Ok(10 << 30));
        assert_eq!(parse_size("1.5MB"), Ok(1_500_000));
        assert_eq!(parse_size("0B"), Ok(0));
        for wrong in ["", "64", "64kib", "KiB", "-1B", "0.5B", "99999999999TiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for text in ["0s", "250ms", "1s", "5s", "60s", "90s", "2h", "7d"] {
            assert_eq!(show_duration(parse_duration(text).expect(text)), text);
        }
        for text in ["0B", "512B", "64KiB", "6MiB", "10GiB"] {
            assert_eq!(show_size(parse_size(text).expect(text)), text);
        }
        let at = parse_instant("2026-01-31T14:00:00.5+02:00").expect("an instant");
        assert_eq!(show_instant(at), "2026-01-31T12:00:00.500Z");
        assert_eq!(parse_instant(&show_instant(at)), Ok(at));
        assert!(parse_instant("1969-12-31T23:59:59Z").is_err());
        assert!(parse_instant("yesterday").is_err());
    }
}
