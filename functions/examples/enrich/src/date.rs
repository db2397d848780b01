//! RFC 3339 times to milliseconds since 1970. No time zones by name, no leap seconds, nothing before 1970.

/// `2026-11-24T14:15:21Z`, also with a fraction or an offset such as `+01:00`.
pub(crate) fn unix_ms(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, count: usize| -> Option<i64> {
        let digits = bytes.get(from..from + count)?;
        let digit =
            |sum: i64, byte: &u8| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'));
        digits.iter().try_fold(0, digit)
    };
    let is = |at: usize, any_of: &[u8]| bytes.get(at).is_some_and(|byte| any_of.contains(byte));
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let punctuated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let in_range = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !punctuated || !in_range {
        return None;
    }
    let mut at = 19;
    let mut fraction_ms = 0;
    if is(at, b".") {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        fraction_ms = match digits {
            0 => return None,
            1 => number(at + 1, 1)? * 100,
            2 => number(at + 1, 2)? * 10,
            _ => number(at + 1, 3)?,
        };
        at += 1 + digits;
    }
    let (offset_minutes, end) = match bytes.get(at)? {
        b'Z' | b'z' => (0, at + 1),
        sign @ (b'+' | b'-') if is(at + 3, b":") => {
            let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = hours * 60 + minutes;
            (if *sign == b'-' { -minutes } else { minutes }, at + 6)
        }
        _ => return None,
    };
    if end != bytes.len() {
        return None;
    }
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    u64::try_from((minutes * 60 + second) * 1000 + fraction_ms).ok()
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`: years start in March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::unix_ms;

    #[test]
    fn times_are_counted_from_1970() {
        assert_eq!(unix_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_ms("2000-02-29T12:30:15.250Z"), Some(951_827_415_250));
        assert_eq!(unix_ms("2026-11-24T15:15:21+01:00"), unix_ms("2026-11-24T14:15:21Z"));
        assert_eq!(unix_ms("2026-11-24T14:15:21Z"), Some(1_795_529_721_000));
        assert_eq!(unix_ms("2026-11-24T14:15:21.123456789Z"), Some(1_795_529_721_123));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2026-11-24",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T14:15:21",
            "2026-11-24T14:15:21.Z",
            "2026-11-24T14:15:21Zulu",
            "1969-12-31T23:59:59Z",
            "2026-11-24T14:15:21+99:00",
            "２０２６-11-24T14:15:21Z",
        ] {
            assert_eq!(unix_ms(text), None, "{text}");
        }
    }
}
