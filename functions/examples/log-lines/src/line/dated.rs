//! Lines that begin with an ISO date: dpkg's log, which has words of its own, and everybody else's.

use serde::Serialize;

use super::{Parsed, time};

#[derive(Debug, Serialize)]
pub(crate) struct Dated<'a> {
    time: String,
    /// In small letters, if a word behind the time says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    message: &'a str,
}

/// Which fields there are depends on the action.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Dpkg<'a> {
    time: String,
    action: &'a str,
    /// `archives` or `packages`, on `startup`; and what dpkg was asked to do with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<&'a str>,
    /// The version that is or was installed, and the one that comes. `<none>` is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a str>,
}

const LEVELS: [&str; 16] = [
    "trace", "debug", "info", "notice", "warn", "warning", "error", "err", "crit", "critical",
    "fatal", "alert", "emerg", "panic", "verbose", "severe",
];

pub(super) fn parse(line: &str) -> Option<Parsed<'_>> {
    let stamped = time::iso(line)?;
    let rest = stamped.rest.trim_start_matches([' ', '\t', ',', ':']);
    if let Some(parsed) = dpkg(rest) {
        return Some(Parsed::Dpkg(Dpkg { time: stamped.time, ..parsed }));
    }
    Some(Parsed::Dated(Dated {
        time: stamped.time,
        level: level_in(rest),
        message: rest.trim_end(),
    }))
}

pub(super) fn is_level(word: &str) -> bool {
    LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))
}

/// A level is the first word, or the second behind a dash, a thread or a process in brackets.
fn level_in(rest: &str) -> Option<String> {
    let words = rest.split_whitespace().take(3);
    let mut bare =
        words.map(|word| word.trim_matches(['[', ']', '(', ')', '<', '>', ':', '|', '-']));
    bare.find(|word| is_level(word)).map(str::to_ascii_lowercase)
}

/// The five shapes that dpkg(1) documents under "--log"; anything else is somebody else's line.
fn dpkg(rest: &str) -> Option<Dpkg<'_>> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let version = |text| Some(text).filter(|text| *text != "<none>");
    match words[..] {
        [action @ "startup", subject @ ("archives" | "packages"), command] => {
            Some(Dpkg { action, subject: Some(subject), command: Some(command), ..Dpkg::default() })
        }
        [action @ "status", status, package, installed] => {
            let (package, architecture) = split_package(package);
            let (status, version) = (Some(status), version(installed));
            Some(Dpkg { action, status, package, architecture, version, ..Dpkg::default() })
        }
        [
            action @ ("install" | "upgrade" | "configure" | "trigproc" | "disappear" | "remove"
            | "purge"),
            package,
            installed,
            available,
        ] => {
            let (package, architecture) = split_package(package);
            let (version, new_version) = (version(installed), version(available));
            Some(Dpkg { action, package, architecture, version, new_version, ..Dpkg::default() })
        }
        [action @ "conffile", file, decision @ ("install" | "keep")] => {
            Some(Dpkg { action, file: Some(file), decision: Some(decision), ..Dpkg::default() })
        }
        _ => None,
    }
}

/// `foo:amd64` apart.
fn split_package(text: &str) -> (Option<&str>, Option<&str>) {
    match text.split_once(':') {
        Some((package, architecture)) => (Some(package), Some(architecture)),
        None => (Some(text), None),
    }
}
