//! What a line is, told by how it begins; each kind is read in a module of its own. Pure: text in, fields or a reason
//! out. A field that the line does not have is left out.

mod access;
mod dated;
mod syslog;
mod time;

use serde::Serialize;
use serde_json::value::RawValue;

/// What was read from a line.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Parsed<'a> {
    Access(access::Access<'a>),
    Syslog(syslog::Syslog<'a>),
    Dpkg(dated::Dpkg<'a>),
    Dated(dated::Dated<'a>),
    /// The object as it came, byte for byte, under a name of its own, since it may well have a `kind` itself.
    Json {
        fields: &'a RawValue,
    },
}

/// `now_ms` lends its year to times that have none.
pub(crate) fn parse(line: &str, now_ms: u64) -> Result<Parsed<'_>, String> {
    if line.trim().is_empty() {
        return Err("the line is empty".to_owned());
    }
    if line.trim_start().starts_with('{') {
        let object: &RawValue = serde_json::from_str(line)
            .map_err(|error| format!("begins like a JSON object, but is none: {error}"))?;
        return Ok(Parsed::Json { fields: object });
    }
    if let Some(parsed) = syslog::parse(line, now_ms)? {
        return Ok(Parsed::Syslog(parsed));
    }
    if let Some(parsed) = dated::parse(line) {
        return Ok(parsed);
    }
    if let Some(parsed) = access::parse(line)? {
        return Ok(Parsed::Access(parsed));
    }
    Err(format!(
        "fits no kind of line (access log, syslog, a date in front, a JSON object): {:?}",
        line.chars().take(80).collect::<String>()
    ))
}
