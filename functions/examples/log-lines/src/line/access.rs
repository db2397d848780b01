//! Access logs of Apache and nginx: the common format, the combined one, and Debian's with the virtual host in front.
//!
//! What stands in them is what clients sent, so a request need not be HTTP, and quotes need not be escaped.

use std::borrow::Cow;

use serde::Serialize;

use super::time;

#[derive(Debug, Serialize)]
pub(crate) struct Access<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    vhost: Option<&'a str>,
    client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ident: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    time: String,
    /// Whole if it is no HTTP; otherwise the three below say it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    /// What a format of one's own has behind the user agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a str>,
}

/// `None`: this is no access log. An error: it is one, but broken.
pub(super) fn parse(line: &str) -> Result<Option<Access<'_>>, String> {
    let Some((who, time, rest)) = split_at_time(line) else { return Ok(None) };
    let broken = |what: &str| Err(format!("an access log's line, but {what}"));
    let Some((vhost, client, ident, user)) = split_who(who) else {
        return broken("there is no client, identity and user before the time");
    };
    let Some((request, numbers)) = split_request(rest) else {
        return broken("there is no request in quotes followed by a status");
    };
    let (status, rest) = word(numbers);
    let (bytes, rest) = word(rest);
    let Some(status) = number::<u16>(status) else { return broken("the status is no number") };
    let Some(bytes) = number::<u64>(bytes) else {
        return broken("the size is neither a number nor `-`");
    };
    let (referer, rest) = quoted(rest);
    let (user_agent, rest) = quoted(rest);
    let (request, [method, path, protocol]) = split_http(request);
    let extra = Some(rest.trim()).filter(|rest| !rest.is_empty());
    Ok(Some(Access {
        vhost,
        client,
        ident,
        user,
        time,
        request,
        method,
        path,
        protocol,
        status,
        bytes,
        referer,
        user_agent,
        extra,
    }))
}

/// What stands before the time in brackets, the time, and what stands behind. A user may hold brackets too.
fn split_at_time(line: &str) -> Option<(&str, String, &str)> {
    line.match_indices('[').find_map(|(at, _)| {
        let (inside, rest) = line[at + 1..].split_once(']')?;
        Some((&line[..at], time::access(inside)?, rest))
    })
}

type Who<'a> = (Option<&'a str>, &'a str, Option<&'a str>, Option<&'a str>);

/// The virtual host, client, identity and user. A user's name may hold blanks; an identity is hardly ever given.
fn split_who(who: &str) -> Option<Who<'_>> {
    let who = who.trim();
    let (first, rest) = word(who);
    let (second, after_second) = word(rest);
    let (third, after_third) = word(after_second);
    if first.is_empty() || second.is_empty() || third.is_empty() {
        return None;
    }
    let port = first.rsplit_once(':').map(|(_, port)| port);
    let is_port =
        port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    if is_port && second != "-" && !after_third.is_empty() {
        return Some((Some(first), second, given(third), given(after_third)));
    }
    Some((None, first, given(second), given(after_second.trim())))
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !matches!(*text, "-" | "" | "\"\""))
}

/// The request as it was logged, without its quotes, and what follows it: a status must.
fn split_request(rest: &str) -> Option<(&str, &str)> {
    let text = rest.trim_start().strip_prefix('"')?;
    let is_followed_by_status = |at: usize| {
        let (status, _) = word(&text[at + 1..]);
        text[at + 1..].starts_with(' ') && number::<u16>(status).is_some()
    };
    // Old servers escaped nothing, so that a request which ends with a backslash seems to escape its closing quote:
    // the first quote that a status follows closes it all the same, unless one without a backslash does.
    let quotes =
        || text.match_indices('"').map(|(at, _)| at).filter(|at| is_followed_by_status(*at));
    let end = quotes().find(|at| !is_escaped(text, *at)).or_else(|| quotes().next())?;
    Some((&text[..end], &text[end + 1..]))
}

/// A string in quotes at the front, unescaped, `None` for an absent one; and the rest. A quote within that nobody
/// escaped does not end it: behind the end there is a blank or nothing.
fn quoted(rest: &str) -> (Option<Cow<'_, str>>, &str) {
    let Some(text) = rest.trim_start().strip_prefix('"') else { return (None, rest) };
    let closes = |at: &usize| {
        !is_escaped(text, *at) && (text.len() == at + 1 || text[at + 1..].starts_with(' '))
    };
    let end = text.match_indices('"').map(|(at, _)| at).find(closes);
    // A line that was cut ends in the middle of it.
    let (inside, rest) = end.map_or((text, ""), |end| (&text[..end], &text[end + 1..]));
    (given(inside).map(unescaped), rest)
}

fn is_escaped(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The request if it is no HTTP, and method, path and protocol if it is. Also HTTP/0.9, which names no protocol.
fn split_http(request: &str) -> (Option<Cow<'_, str>>, [Option<Cow<'_, str>>; 3]) {
    let is_method = |word: &str| {
        (1..=32).contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
    };
    let http = request.split_once(' ').filter(|(method, _)| is_method(method)).and_then(
        |(method, rest)| match rest.rsplit_once(' ') {
            Some((path, protocol)) if protocol.starts_with("HTTP/") => {
                Some([method, path, protocol])
            }
            _ if rest.starts_with('/') && !rest.contains(' ') => Some([method, rest, ""]),
            _ => None,
        },
    );
    match http {
        Some(parts) => (None, parts.map(|part| given(part).map(unescaped))),
        None => (given(request).map(unescaped), [None, None, None]),
    }
}

/// `\"` and `\\` become what they stand for. `\x16` and its like stay: bytes that are no text have no other name.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains("\\\"") && !text.contains("\\\\") {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(next @ ('"' | '\\'))) => {
                plain.push(*next);
                characters.next();
            }
            _ => plain.push(character),
        }
    }
    Cow::Owned(plain)
}

/// A number, or `-` for none (the inner `None`).
fn number<T: std::str::FromStr>(text: &str) -> Option<Option<T>> {
    if text == "-" {
        return Some(None);
    }
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten().map(Some)
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once([' ', '\t']).unwrap_or((text, ""))
}
