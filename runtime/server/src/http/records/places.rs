//! Where a reader stands in the partitions of a topic, as text that goes out as `next` and comes back as
//! `from`. Never a read.
use std::{collections::BTreeMap, fmt::Write as _};

use log_contract::{Offset, PartitionId, Timestamp};

use crate::http::wire::parse_instant;

/// The next offset of each partition that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places(pub(crate) BTreeMap<PartitionId, Offset>);

/// What `?from=` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Earliest,
    Latest,
    Offset(Offset),
    At(Timestamp),
    Places(Places),
}

impl Places {
    /// `0:12,1:33`.
    pub(crate) fn show(&self) -> String {
        let mut shown = String::with_capacity(self.0.len() * 12);
        for (partition, next) in &self.0 {
            let comma = if shown.is_empty() { "" } else { "," };
            write!(shown, "{comma}{partition}:{next}").expect("a string takes all");
        }
        shown
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut places = BTreeMap::new();
        for place in text.split(',') {
            let (partition, next) = place.split_once(':')?;
            let (partition, next) = (number(partition)?, number(next)?);
            let partition = PartitionId(u32::try_from(partition).ok()?);
            if places.insert(partition, Offset(next)).is_some() {
                return None;
            }
        }
        Some(Self(places))
    }
}

impl From {
    /// # Errors
    /// How to write it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some(offset) = number(text) {
            return Ok(Self::Offset(Offset(offset)));
        }
        if let Some(places) = Places::parse(text) {
            return Ok(Self::Places(places));
        }
        // A `+` in a query is a blank, unless it is written as `%2B`; an instant has no blank.
        let instant = parse_instant(text).or_else(|_| parse_instant(&text.replace(' ', "+")));
        instant.map(Self::At).map_err(|_| {
            format!(
                "`{text}` is no place: give `earliest`, `latest`, an offset, an instant, or the `next` of an earlier answer"
            )
        })
    }
}

fn number(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_as_they_were_shown() {
        let places = Places([(0, 12), (1, 33)].map(|(p, o)| (PartitionId(p), Offset(o))).into());
        assert_eq!(places.show(), "0:12,1:33");
        assert_eq!(From::parse(&places.show()), Ok(From::Places(places)));
        for wrong in ["", "0", "0:", ":1", "0:1,", "0:1,0:2", "a:1", "+0:1", "4294967296:0"] {
            assert_eq!(Places::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn from_says_where_in_five_ways() {
        assert_eq!(From::parse("earliest"), Ok(From::Earliest));
        assert_eq!(From::parse("latest"), Ok(From::Latest));
        assert_eq!(From::parse("17"), Ok(From::Offset(Offset(17))));
        let at = Ok(From::At(Timestamp(1_767_218_400_000)));
        assert_eq!(From::parse("2025-12-31T22:00:00Z"), at);
        assert_eq!(From::parse("2026-01-01T00:00:00 02:00"), at);
        for wrong in ["", "newest", "-1", "1.5", "0:1;1:2"] {
            assert!(From::parse(wrong).is_err(), "{wrong}");
        }
    }
}
