//! What the catalogue knows of a function: its versions, settings and names. Never its bytes.
use super::Etag;
use log_contract::{Digest, FunctionName, NameError, Timestamp};
use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc, time::Duration};

/// A function with all its versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub name: FunctionName,
    /// Of the settings. A new version changes it, too.
    pub etag: Etag,
    pub created_at: Timestamp,
    /// Ascending, never empty.
    pub versions: Vec<Arc<Version>>,
    pub settings: Settings,
}

/// What can be set of a function. Holds for all its versions, from the next invocation on.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub limits: FunctionLimits,
    pub environment: BTreeMap<String, String>,
    pub aliases: BTreeMap<String, u32>,
    /// Hosts that outgoing calls may reach.
    pub allowed_hosts: Vec<String>,
}

/// Immutable.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub version: u32,
    pub digest: Digest,
    /// The world it was compiled against.
    pub world: String,
    pub bytes: u64,
    pub compile_ms: u64,
    pub imports: Vec<String>,
    pub created_at: Timestamp,
}

/// What one invocation may take. Breaking one fails that invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionLimits {
    pub timeout: Duration,
    pub memory_bytes: u64,
    pub output_bytes_max: u64,
    pub output_records_max: u64,
    pub log_bytes_max: u64,
    /// Attempts at once over all triggers. `None`: only the triggers' own.
    pub concurrency_max: Option<u32>,
}

impl FunctionLimits {
    pub const DEFAULT: Self = Self {
        timeout: Duration::from_secs(30),
        memory_bytes: 64 << 20,
        output_bytes_max: 16 << 20,
        output_records_max: 10_000,
        log_bytes_max: 256 << 10,
        concurrency_max: None,
    };
}

impl Settings {
    /// Of a function that nobody has set anything of.
    #[must_use]
    pub fn new() -> Self {
        Self {
            limits: FunctionLimits::DEFAULT,
            environment: BTreeMap::new(),
            aliases: BTreeMap::new(),
            allowed_hosts: Vec::new(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl Function {
    /// # Panics
    /// Never: a function has a version from its first day.
    #[must_use]
    pub fn newest(&self) -> &Arc<Version> {
        self.versions.last().expect("a function has a version")
    }

    #[must_use]
    pub fn version(&self, version: u32) -> Option<&Arc<Version>> {
        self.versions.iter().find(|found| found.version == version)
    }

    #[must_use]
    pub fn select(&self, selector: &Selector) -> Option<&Arc<Version>> {
        match selector {
            Selector::Newest => Some(self.newest()),
            Selector::Version(version) => self.version(*version),
            Selector::Digest(prefix) => {
                self.versions.iter().rev().find(|found| found.digest.hex().starts_with(prefix))
            }
            Selector::Alias(alias) => {
                self.settings.aliases.get(alias).and_then(|version| self.version(*version))
            }
        }
    }
}

/// `enrich`, `enrich@3`, `enrich@sha256:ab12…`, `enrich@live`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FunctionRef {
    pub name: FunctionName,
    pub selector: Selector,
}

/// Which version of a function is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    Newest,
    Version(u32),
    /// The first hexadecimal digits, 8 at least.
    Digest(String),
    Alias(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FunctionRefError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("`{0}` names no version: give a number, `sha256:` and 8 to 64 digits, or an alias")]
    Selector(String),
}

impl FromStr for FunctionRef {
    type Err = FunctionRefError;

    fn from_str(text: &str) -> Result<Self, FunctionRefError> {
        let Some((name, selector)) = text.split_once('@') else {
            return Ok(Self { name: FunctionName::parse(text)?, selector: Selector::Newest });
        };
        let fail = || FunctionRefError::Selector(selector.into());
        let name = FunctionName::parse(name)?;
        let selector = if let Some(digits) = selector.strip_prefix("sha256:") {
            let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if !is_hex || !(8..=64).contains(&digits.len()) {
                return Err(fail());
            }
            Selector::Digest(digits.into())
        } else if let Ok(version) = selector.parse::<u32>() {
            Selector::Version(version)
        } else if is_alias(selector) {
            Selector::Alias(selector.into())
        } else {
            return Err(fail());
        };
        Ok(Self { name, selector })
    }
}

/// 1 to 64 characters of `A-Za-z0-9._-` that are no number.
#[must_use]
pub fn is_alias(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len())
        && text.chars().all(is_fine)
        && text.chars().any(|c| !c.is_ascii_digit())
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, selector } = self;
        match selector {
            Selector::Newest => write!(f, "{name}"),
            Selector::Version(version) => write!(f, "{name}@{version}"),
            Selector::Digest(digits) => write!(f, "{name}@sha256:{digits}"),
            Selector::Alias(alias) => write!(f, "{name}@{alias}"),
        }
    }
}

/// What a patch sets; what is absent stays. Inside a map, `None` takes an entry away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionPatch {
    pub limits: LimitsPatch,
    pub environment: BTreeMap<String, Option<String>>,
    pub aliases: BTreeMap<String, Option<u32>>,
    pub allowed_hosts: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsPatch {
    pub timeout: Option<Duration>,
    pub memory_bytes: Option<u64>,
    pub output_bytes_max: Option<u64>,
    pub output_records_max: Option<u64>,
    pub log_bytes_max: Option<u64>,
    /// `Some(None)` takes the limit away.
    pub concurrency_max: Option<Option<u32>>,
}

impl LimitsPatch {
    pub(super) fn apply(self, limits: &mut FunctionLimits) {
        let Self {
            timeout,
            memory_bytes,
            output_bytes_max,
            output_records_max,
            log_bytes_max,
            concurrency_max,
        } = self;
        limits.timeout = timeout.unwrap_or(limits.timeout);
        limits.memory_bytes = memory_bytes.unwrap_or(limits.memory_bytes);
        limits.output_bytes_max = output_bytes_max.unwrap_or(limits.output_bytes_max);
        limits.output_records_max = output_records_max.unwrap_or(limits.output_records_max);
        limits.log_bytes_max = log_bytes_max.unwrap_or(limits.log_bytes_max);
        limits.concurrency_max = concurrency_max.unwrap_or(limits.concurrency_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_as_it_is_shown() {
        for text in ["enrich", "enrich@3", "enrich@sha256:ab12cd34", "enrich@live", "a.b-c@v1.2"] {
            let parsed: FunctionRef = text.parse().expect(text);
            assert_eq!(parsed.to_string(), text);
        }
        for text in ["", "a@", "_a", "a@sha256:12", "a@sha256:XY12cd34", "a@b@c", "a@99999999999"] {
            assert!(text.parse::<FunctionRef>().is_err(), "{text}");
        }
    }
}
