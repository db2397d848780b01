//! The times that stand in logs, all read to RFC 3339 with as much as the line tells: a date, a time of day, a
//! fraction, an offset. Nothing is converted to another zone, and nothing guessed but a year.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A time at the front of a text, and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamped<'a> {
    pub(super) time: String,
    pub(super) has_offset: bool,
    pub(super) rest: &'a str,
}

/// `2026-11-24T14:15:21.5+01:00`, with a blank or `/` for `T` or `-`, a comma for the point, with less or no offset.
pub(super) fn iso(text: &str) -> Option<Stamped<'_>> {
    let bytes = text.as_bytes();
    let separator = *bytes.get(4).filter(|byte| matches!(byte, b'-' | b'/'))?;
    let (year, month, day) = (digits(text, 0, 4)?, digits(text, 5, 2)?, digits(text, 8, 2)?);
    if bytes.get(7) != Some(&separator) || !is_day(month, day) {
        return None;
    }
    let mut time = format!("{}-{}-{}", &year, &month, &day);
    let clock = matches!(bytes.get(10), Some(b'T' | b't' | b' '))
        .then(|| text.get(11..).and_then(clock))
        .flatten();
    let Some((clock, mut end)) = clock else {
        // A date alone; what follows must not touch it.
        let rest = text.get(10..)?;
        return is_apart(rest).then_some(Stamped { time, has_offset: false, rest });
    };
    time.push('T');
    time.push_str(clock);
    end += 11;
    if matches!(bytes.get(end), Some(b'.' | b',')) {
        let fraction = text[end + 1..].bytes().take_while(u8::is_ascii_digit).count();
        if fraction > 0 {
            time.push('.');
            time.push_str(&text[end + 1..end + 1 + fraction]);
            end += 1 + fraction;
        }
    }
    let mut has_offset = false;
    if let Some((offset, length)) = offset(&text[end..]) {
        time.push_str(&offset);
        end += length;
        has_offset = true;
    }
    let rest = &text[end..];
    is_apart(rest).then_some(Stamped { time, has_offset, rest })
}

/// `Nov 24 14:15:21`, also ` 4` for the day, also with a year before or after the clock or a fraction.
pub(super) fn syslog(text: &str, now_ms: u64) -> Option<Stamped<'_>> {
    let month = MONTHS.iter().position(|name| text.starts_with(name))? + 1;
    let rest = text[3..].strip_prefix(' ')?;
    let rest = rest.trim_start_matches(' ');
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let day: usize = if length <= 2 { rest[..length].parse().ok()? } else { return None };
    let mut rest = rest[length..].strip_prefix(' ')?;
    let mut year = None;
    if let (Some(given), Some(b' ')) = (digits(rest, 0, 4), rest.as_bytes().get(4)) {
        year = given.parse().ok();
        rest = &rest[5..];
    }
    let (clock, length) = clock(rest)?;
    rest = &rest[length..];
    let mut fraction = "";
    if rest.starts_with('.') {
        let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        (fraction, rest) = rest.split_at(1 + digits);
    }
    if !(1..=31).contains(&day) || !is_apart(rest) {
        return None;
    }
    let year: u64 = year.unwrap_or_else(|| likely_year(month, now_ms));
    Some(Stamped {
        time: format!("{year:04}-{month:02}-{day:02}T{clock}{fraction}"),
        has_offset: false,
        rest,
    })
}

/// `24/Nov/2026:14:15:21 +0100`, whole.
pub(super) fn access(text: &str) -> Option<String> {
    let (day, month, year) = (digits(text, 0, 2)?, text.get(3..6)?, digits(text, 7, 4)?);
    let month = MONTHS.iter().position(|name| month == *name)? + 1;
    let bytes = text.as_bytes();
    if (bytes[2], bytes[6], *bytes.get(11)?) != (b'/', b'/', b':') {
        return None;
    }
    let (clock, length) = clock(text.get(12..)?)?;
    let zone = &text[12 + length..];
    let offset = match zone {
        "" => String::new(),
        _ => offset(zone.strip_prefix(' ')?).filter(|(_, length)| *length == zone.len() - 1)?.0,
    };
    Some(format!("{year}-{month:02}-{day}T{clock}{offset}"))
}

/// The year in which a day of this month is nearest before the record's time: a line of December that is read in January
/// is last year's. One month ahead is a clock that differs, not a line from eleven months ago.
fn likely_year(month: usize, now_ms: u64) -> u64 {
    let mut days = now_ms / DAY_MS;
    let mut year = 1970;
    let length = |year: u64| {
        if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) {
            366
        } else {
            365
        }
    };
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    // Good to a day or two, which is all that is asked.
    let current = usize::try_from(days * 12 / 366).unwrap_or(11) + 1;
    if month > current + 1 && year > 1970 {
        year - 1
    } else if current == 12 && month == 1 {
        year + 1
    } else {
        year
    }
}

/// `14:15:21` at the front, and its length.
fn clock(text: &str) -> Option<(&str, usize)> {
    let clock = text.get(..8)?;
    let number = |at| digits(clock, at, 2).and_then(|digits| digits.parse::<u8>().ok());
    let in_range = number(0)? < 24 && number(3)? < 60 && number(6)? <= 60;
    let bytes = clock.as_bytes();
    (in_range && bytes[2] == b':' && bytes[5] == b':').then_some((clock, 8))
}

/// `Z`, `+01:00`, `+0100` or `+01` at the front as RFC 3339 has it, and its length.
fn offset(text: &str) -> Option<(String, usize)> {
    if text.starts_with(['Z', 'z']) {
        return Some(("Z".to_owned(), 1));
    }
    if !text.starts_with(['+', '-']) {
        return None;
    }
    let (sign, hours) = (&text[..1], digits(text, 1, 2)?);
    if let (Some(b':'), Some(minutes)) = (text.as_bytes().get(3), digits(text, 4, 2)) {
        return Some((format!("{sign}{hours}:{minutes}"), 6));
    }
    match digits(text, 3, 2) {
        Some(minutes) => Some((format!("{sign}{hours}:{minutes}"), 5)),
        None => Some((format!("{sign}{hours}:00"), 3)),
    }
}

fn digits(text: &str, from: usize, count: usize) -> Option<&str> {
    text.get(from..from + count).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_day(month: &str, day: &str) -> bool {
    let in_range =
        |text: &str, last: u8| text.parse().is_ok_and(|number: u8| (1..=last).contains(&number));
    in_range(month, 12) && in_range(day, 31)
}

/// A time ends where a word does.
fn is_apart(rest: &str) -> bool {
    !rest.starts_with(|next: char| next.is_alphanumeric() || next == '-' || next == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iso_time(text: &str) -> Option<(String, &str)> {
        iso(text).map(|stamped| (stamped.time, stamped.rest))
    }

    #[test]
    fn iso_times_are_read_as_far_as_they_go() {
        for (text, time, rest) in [
            ("2026-11-24 14:15:21 status", "2026-11-24T14:15:21", " status"),
            ("2026-11-24T14:15:21.123456+01:00 host", "2026-11-24T14:15:21.123456+01:00", " host"),
            ("2026-11-24T14:15:21+0100", "2026-11-24T14:15:21+01:00", ""),
            ("2026-11-24T14:15:21Z: x", "2026-11-24T14:15:21Z", ": x"),
            ("2026-11-24 14:15:21,747 - INFO", "2026-11-24T14:15:21.747", " - INFO"),
            ("2026/11/24 14:15:21 [error]", "2026-11-24T14:15:21", " [error]"),
            ("2026-11-24 rotated", "2026-11-24", " rotated"),
        ] {
            assert_eq!(iso_time(text), Some((time.to_owned(), rest)), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_time_is_none() {
        for text in [
            "2026-13-01 x",
            "2026-11-32 x",
            "2026-11/24 x",
            "2026-11-245",
            "1.2.3.4 - -",
            "",
            "2026-11-2é x",
        ] {
            assert_eq!(iso_time(text), None, "{text}");
        }
        for text in [
            "Nov",
            "Nov ",
            "Nov 24",
            "Nov x 14:15:21 h",
            "Nov 32 14:15:21 h",
            "Nov 24 25:15:21 h",
            "Nova 1",
        ] {
            assert_eq!(syslog(text, 0), None, "{text}");
        }
    }

    #[test]
    fn a_year_that_a_line_lacks_is_the_nearest() {
        let at = |text, now_ms| syslog(text, now_ms).expect("a time").time;
        let (november, january, end_of_december) =
            (1_795_529_721_000, 1_799_000_000_000, 1_798_700_000_000);
        assert_eq!(at("Nov 24 14:15:21 h", november), "2026-11-24T14:15:21");
        assert_eq!(at("Nov  4 14:15:21 h", november), "2026-11-04T14:15:21");
        assert_eq!(at("Dec 31 23:59:59 h", january), "2026-12-31T23:59:59");
        assert_eq!(at("Jan  1 00:00:00 h", january), "2027-01-01T00:00:00");
        assert_eq!(at("Jan  1 00:00:00 h", end_of_december), "2027-01-01T00:00:00");
        assert_eq!(at("Nov 24 2019 14:15:21.5 h", november), "2019-11-24T14:15:21.5");
    }

    #[test]
    fn access_times_are_read_whole() {
        assert_eq!(
            access("24/Nov/2026:14:15:21 +0100").as_deref(),
            Some("2026-11-24T14:15:21+01:00")
        );
        assert_eq!(access("24/Nov/2026:14:15:21").as_deref(), Some("2026-11-24T14:15:21"));
        for text in [
            "",
            "24/Nov/2026",
            "24/Nov/2026:14:15:21 CET",
            "24/11/2026:14:15:21 +0100",
            "24/Növ/2026:14:15:21",
        ] {
            assert_eq!(access(text), None, "{text}");
        }
    }
}
