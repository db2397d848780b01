//! Syslog: RFC 3164 as daemons really write it, with or without the priority in front, also with an ISO time as
//! rsyslog and journald write now; and RFC 5424.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::time::{self, Stamped};

#[derive(Debug, Default, Serialize)]
pub(crate) struct Syslog<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    facility: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<&'a str>,
    /// Text: RFC 5424 allows anything, and daemons make use of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    /// RFC 5424's structured data: by element, then by parameter.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<&'a str, BTreeMap<&'a str, Cow<'a, str>>>,
    message: &'a str,
}

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// `None`: this is no syslog. An error: it is, but broken.
pub(super) fn parse(line: &str, now_ms: u64) -> Result<Option<Syslog<'_>>, String> {
    let (priority, rest) = split_priority(line);
    let mut parsed = if let (Some(_), Some(rest)) = (priority, rest.strip_prefix("1 ")) {
        rfc5424(rest).map_err(|what| format!("a line of syslog (RFC 5424), but {what}"))?
    } else if let Some(stamped) = time::syslog(rest, now_ms) {
        rfc3164(stamped)
    } else if let Some(parsed) = with_iso_time(rest, priority.is_some()) {
        parsed
    } else if priority.is_some() && !rest.trim().is_empty() {
        // RFC 3164: whatever follows a priority is a message.
        Syslog { message: rest.trim(), ..Syslog::default() }
    } else {
        return Ok(None);
    };
    if let Some(priority) = priority {
        parsed.facility = Some(FACILITIES[usize::from(priority / 8)]);
        parsed.severity = Some(SEVERITIES[usize::from(priority % 8)]);
    }
    Ok(Some(parsed))
}

/// `<34>` at the front, if it is a priority.
fn split_priority(line: &str) -> (Option<u8>, &str) {
    let inside = line.strip_prefix('<').and_then(|text| text.split_once('>'));
    match inside.and_then(|(number, rest)| {
        Some((number.parse().ok().filter(|number| *number < 192)?, rest))
    }) {
        Some((priority, rest)) => (Some(priority), rest),
        None => (None, line),
    }
}

/// The host, the program and the message behind a time.
fn rfc3164(stamped: Stamped<'_>) -> Syslog<'_> {
    let rest = stamped.rest.trim_start_matches([':', ' ']);
    let first = rest.split(' ').next().unwrap_or_default();
    // What a local socket takes names no host; then the program comes first.
    let (host, tagged) = if split_tag(first).is_some() {
        (None, rest)
    } else {
        (Some(first), rest[first.len()..].trim_start_matches(' '))
    };
    let (program, pid, message) = split_tag(tagged).unwrap_or((None, None, tagged));
    let host = host.filter(|host| !host.is_empty());
    Syslog { time: Some(stamped.time), host, program, pid, message, ..Syslog::default() }
}

/// The same behind an ISO time. Much else begins with one, so it must have a zone and a program behind a host, unless
/// a priority already said what this is.
fn with_iso_time(line: &str, is_syslog: bool) -> Option<Syslog<'_>> {
    let stamped = time::iso(line)?;
    let has_offset = stamped.has_offset;
    let parsed = rfc3164(stamped);
    let is_certain = has_offset && parsed.program.is_some() && parsed.host.is_some_and(is_host);
    (is_syslog || is_certain).then_some(parsed)
}

fn is_host(word: &str) -> bool {
    let is_name =
        word.chars().all(|each| each.is_alphanumeric() || matches!(each, '.' | '-' | '_' | ':'));
    is_name && !super::dated::is_level(word)
}

/// How much of a line may be a program's name: past it, a colon is part of the message.
const TAG_LENGTH_MAX: usize = 64;

/// The program, its pid and the message, if the text begins with a tag: `sshd[42]: …`, `kernel: …`, `cron[7] …`.
fn split_tag(text: &str) -> Option<(Option<&str>, Option<&str>, &str)> {
    let ends_tag = |at: &usize| {
        text[..*at].ends_with(']')
            || text.len() == at + 1
            || text[at + 1..].starts_with([' ', '\t'])
    };
    let colon = text
        .match_indices(':')
        .map(|(at, _)| at)
        .take_while(|at| *at <= TAG_LENGTH_MAX)
        .find(ends_tag);
    if let Some(colon) = colon {
        let (tag, message) = (&text[..colon], text[colon + 1..].trim_start_matches(' '));
        match split_pid(tag) {
            // A name of several words is one only with a pid behind it.
            Some((name, pid)) => return Some((Some(name), pid, message)),
            None if !tag.is_empty() && !tag.contains([' ', '[', '(', '"', '=']) => {
                return Some((Some(tag), None, message));
            }
            None => {}
        }
    }
    let (word, message) = text.split_once(' ').unwrap_or((text, ""));
    let (name, pid) = split_pid(word).filter(|(name, _)| !name.is_empty())?;
    Some((Some(name), pid, message.trim_start_matches(' ')))
}

/// `sshd[42]` apart. Also `sshd(pam_unix)[42]`, and `[]` around nothing.
fn split_pid(tag: &str) -> Option<(&str, Option<&str>)> {
    let (name, pid) = tag.strip_suffix(']')?.rsplit_once('[')?;
    let is_plain = |text: &str| !text.contains(['[', ']', '"', '=']);
    let is_tag =
        !name.is_empty() && is_plain(name) && !pid.contains(' ') && name.split(' ').count() <= 4;
    is_tag.then_some((name, Some(pid).filter(|pid| !pid.is_empty())))
}

/// What follows `<34>1 `.
fn rfc5424(text: &str) -> Result<Syslog<'_>, &'static str> {
    let mut words = text.splitn(6, ' ');
    let mut next = || words.next().ok_or("it ends before its structured data");
    let (stamp, host, program, pid, message_id, rest) =
        (next()?, next()?, next()?, next()?, next()?, next()?);
    let time = match given(stamp) {
        Some(stamp) => {
            let stamped = time::iso(stamp).filter(|stamped| stamped.rest.is_empty());
            Some(stamped.ok_or("its time is none of RFC 3339")?.time)
        }
        None => None,
    };
    let (data, message) = structured_data(rest).ok_or("its structured data is broken")?;
    let message = message.trim_start_matches(' ');
    Ok(Syslog {
        time,
        host: given(host),
        program: given(program),
        pid: given(pid),
        message_id: given(message_id),
        data,
        message: message.strip_prefix('\u{feff}').unwrap_or(message),
        ..Syslog::default()
    })
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !matches!(*text, "-" | ""))
}

type Data<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Cow<'a, str>>>;

/// `[id name="value"][…]` or `-` at the front, and what follows.
fn structured_data(text: &str) -> Option<(Data<'_>, &str)> {
    let mut data = Data::new();
    if let Some(rest) = text.strip_prefix('-') {
        return (rest.is_empty() || rest.starts_with(' ')).then_some((data, rest));
    }
    let mut rest = text;
    while let Some(inside) = rest.strip_prefix('[') {
        let end = inside.find([' ', ']'])?;
        let (id, mut inside) = inside.split_at(end);
        let mut parameters = BTreeMap::new();
        while let Some(parameter) = inside.strip_prefix(' ') {
            let (name, value) = parameter.split_once("=\"")?;
            let end = closing_quote(value)?;
            parameters.insert(name.trim(), unescaped(&value[..end]));
            inside = &value[end + 1..];
        }
        data.insert(id, parameters);
        rest = inside.strip_prefix(']')?;
    }
    (!data.is_empty() && (rest.is_empty() || rest.starts_with(' '))).then_some((data, rest))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    })
}

/// `\"`, `\\` and `\]` become what they stand for; no other backslash is special.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(next @ ('"' | '\\' | ']'))) => {
                plain.push(*next);
                characters.next();
            }
            _ => plain.push(character),
        }
    }
    Cow::Owned(plain)
}
