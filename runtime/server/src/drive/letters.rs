//! Dead letters as records: key, value and headers of the guilty record untouched, and behind its
//! headers the story, in headers of ours. Written by the driver, read back by HTTP. Never a choice of
//! which record becomes one.
use log_contract::{
    Attributes, BatchBuilder, Headers, HeadersBuf, Offset, PartitionId, Record, RecordBatch,
    Timestamp,
};
use std::sync::Arc;
use trigger::DeadLetter;

/// What all dead letters of a feed share.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    pub(super) trigger: &'a str,
    pub(super) function: &'a str,
    /// Of the function, where a letter's own error does not say.
    pub(super) version: u32,
    pub(super) topic: &'a str,
    pub(super) partition: PartitionId,
    pub(super) now: Timestamp,
}

/// A dead letter's story, as its headers tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    pub trigger: String,
    pub function: String,
    pub version: u32,
    pub topic: String,
    pub partition: PartitionId,
    pub offset: Offset,
    pub error: Option<StoryError>,
    pub condition: String,
    pub attempts: u32,
    pub first_failed_at: Option<Timestamp>,
    pub dead_lettered_at: Timestamp,
    pub redrives: u32,
}

/// What went wrong last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryError {
    pub kind: String,
    pub reason: String,
    /// The same for errors that differ only in their numbers: to group by.
    pub fingerprint: String,
}

/// A record's limit keeps 64 KiB for the story; a reason is most of it.
const REASON_BYTES_MAX: usize = 8 << 10;

const TRIGGER: &str = "millstream-trigger";
const FUNCTION: &str = "millstream-function";
const VERSION: &str = "millstream-version";
const TOPIC: &str = "millstream-source-topic";
const PARTITION: &str = "millstream-source-partition";
const OFFSET: &str = "millstream-source-offset";
const KIND: &str = "millstream-error-kind";
const REASON: &str = "millstream-error-reason";
const FINGERPRINT: &str = "millstream-error-fingerprint";
const CONDITION: &str = "millstream-condition";
const ATTEMPTS: &str = "millstream-attempts";
const FIRST_FAILED: &str = "millstream-first-failed-at";
const DEAD_LETTERED: &str = "millstream-dead-lettered-at";
const REDRIVES: &str = "millstream-redrives";

/// One batch with a record for each letter.
pub(super) fn render(letters: &[DeadLetter], origin: &Origin<'_>) -> RecordBatch {
    let bytes: usize = letters.iter().map(|letter| letter.record.bytes() + 1_024).sum();
    let mut builder = BatchBuilder::with_capacity(letters.len(), bytes);
    let mut headers = HeadersBuf::default();
    for letter in letters {
        let record = letter.record.batch().record(letter.record.range().start);
        headers.clear();
        headers.extend(record.headers);
        tell(letter, &record, origin, &mut headers);
        builder.push_new(record.timestamp, record.key, record.value, headers.as_headers());
    }
    let hops = letters.iter().filter_map(|letter| letter.record.batch().attributes());
    builder.set_attributes(Arc::new(Attributes {
        trigger: origin.trigger.into(),
        function: origin.function.into(),
        version: origin.version,
        invocation: "".into(),
        hops: hops.map(|attributes| attributes.hops).max().unwrap_or(0),
    }));
    builder.build()
}

fn tell(letter: &DeadLetter, record: &Record<'_>, origin: &Origin<'_>, to: &mut HeadersBuf) {
    let version = letter.error.as_ref().map_or(origin.version, |error| error.version);
    let redrives = before(record.headers).map_or(0, |story| story.redrives);
    let mut push = |name: &str, value: &str| to.push(name, value.as_bytes());
    push(TRIGGER, origin.trigger);
    push(FUNCTION, origin.function);
    push(VERSION, &version.to_string());
    push(TOPIC, origin.topic);
    push(PARTITION, &origin.partition.to_string());
    push(OFFSET, &record.offset.to_string());
    if let Some(error) = &letter.error {
        let reason = truncated(&error.reason);
        push(KIND, error.kind.name());
        push(REASON, reason);
        push(FINGERPRINT, &fingerprint(error.kind.name(), reason));
    }
    push(CONDITION, letter.condition.name());
    push(ATTEMPTS, &letter.attempts.to_string());
    if let Some(at) = letter.first_failed_at {
        push(FIRST_FAILED, &rfc3339(at));
    }
    push(DEAD_LETTERED, &rfc3339(origin.now));
    push(REDRIVES, &redrives.to_string());
}

/// Of a dead letter that is read as a source and fails again.
fn before(headers: Headers<'_>) -> Option<Story> {
    split(headers).map(|(_, story)| story)
}

/// The headers that the record had, and the story behind them. `None`: no dead letter of ours.
#[must_use]
pub fn split(headers: Headers<'_>) -> Option<(HeadersBuf, Story)> {
    let all: Vec<(&str, &[u8])> = headers.into_iter().collect();
    // A record that failed again as a dead letter has an older story before the newest.
    let begins = all.iter().rposition(|(name, _)| *name == TRIGGER)?;
    let (own, story) = all.split_at(begins);
    let get = |wanted: &str| {
        let found = story.iter().find(|(name, _)| *name == wanted)?;
        std::str::from_utf8(found.1).ok()
    };
    let error = get(KIND).map(|kind| StoryError {
        kind: kind.into(),
        reason: get(REASON).unwrap_or_default().into(),
        fingerprint: get(FINGERPRINT).unwrap_or_default().into(),
    });
    let story = Story {
        trigger: get(TRIGGER)?.into(),
        function: get(FUNCTION)?.into(),
        version: get(VERSION)?.parse().ok()?,
        topic: get(TOPIC)?.into(),
        partition: PartitionId(get(PARTITION)?.parse().ok()?),
        offset: Offset(get(OFFSET)?.parse().ok()?),
        error,
        condition: get(CONDITION)?.into(),
        attempts: get(ATTEMPTS)?.parse().ok()?,
        first_failed_at: get(FIRST_FAILED).and_then(instant),
        dead_lettered_at: get(DEAD_LETTERED).and_then(instant)?,
        redrives: get(REDRIVES)?.parse().ok()?,
    };
    let mut headers = HeadersBuf::default();
    own.iter().for_each(|(name, value)| headers.push(name, value));
    Some((headers, story))
}

fn truncated(reason: &str) -> &str {
    if reason.len() <= REASON_BYTES_MAX {
        return reason;
    }
    let end = (0..=REASON_BYTES_MAX).rev().find(|at| reason.is_char_boundary(*at));
    &reason[..end.unwrap_or(0)]
}

/// FNV-1a over kind and reason, each number taken as `#`.
fn fingerprint(kind: &str, reason: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut was_digit = false;
    for byte in kind.bytes().chain([b':']).chain(reason.bytes()) {
        let is_digit = byte.is_ascii_digit();
        if !(is_digit && was_digit) {
            hash ^= u64::from(if is_digit { b'#' } else { byte });
            hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
        }
        was_digit = is_digit;
    }
    format!("{hash:016x}")
}

fn rfc3339(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(at) => format!("{at:.3}"),
        Err(_) => at.0.to_string(),
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_contract::Run;
    use trigger::{Condition, FailureKind, LastError};

    fn letter(headers: Headers<'_>, reason: &str) -> DeadLetter {
        let mut builder = BatchBuilder::default();
        builder.push(Record {
            offset: Offset(4_711),
            timestamp: Timestamp(5),
            appended_at: Timestamp(6),
            key: Some(b"o-1"),
            value: Some(b"{}"),
            headers,
        });
        let error = LastError { kind: FailureKind::Rejected, reason: reason.into(), version: 3 };
        DeadLetter {
            record: Run::new(builder.build(), 0..1),
            condition: Condition::AttemptsExhausted,
            error: Some(error),
            attempts: 5,
            first_failed_at: Some(Timestamp(1_767_225_600_123)),
        }
    }

    const ORIGIN: Origin<'_> = Origin {
        trigger: "enrich",
        function: "enrich-fn",
        version: 4,
        topic: "orders",
        partition: PartitionId(2),
        now: Timestamp(1_767_225_601_000),
    };

    #[test]
    fn a_dead_letter_holds_the_whole_record_and_its_story() {
        let mut headers = HeadersBuf::default();
        headers.push("a", b"1");
        headers.push("millstream-condition", b"a user's own");
        let batch = render(&[letter(headers.as_headers(), "no field `total`")], &ORIGIN);
        let record = batch.record(0);
        assert_eq!((record.key, record.value), (Some(&b"o-1"[..]), Some(&b"{}"[..])));
        assert_eq!(record.timestamp, Timestamp(5));
        assert!(record.headers.encoded().starts_with(headers.as_headers().encoded()));
        let (own, story) = split(record.headers).expect("it is one of ours");
        assert_eq!(own.as_headers(), headers.as_headers());
        assert_eq!(story.trigger, "enrich");
        assert_eq!((story.version, story.attempts, story.offset), (3, 5, Offset(4_711)));
        assert_eq!(story.first_failed_at, Some(Timestamp(1_767_225_600_123)));
        assert_eq!(story.error.expect("told").reason, "no field `total`");
    }

    #[test]
    fn a_dead_letter_that_fails_again_tells_its_newest_story() {
        let first = render(&[letter(Headers::NONE, "first")], &ORIGIN);
        let again = render(&[letter(first.record(0).headers, "second")], &ORIGIN);
        let (own, story) = split(again.record(0).headers).expect("it is one of ours");
        assert_eq!(story.error.expect("told").reason, "second");
        let (own, story) = split(own.as_headers()).expect("the older one is there, too");
        assert_eq!(story.error.expect("told").reason, "first");
        assert!(own.as_headers().is_empty());
    }

    #[test]
    fn a_long_reason_is_cut_and_errors_that_differ_in_numbers_are_one() {
        let reason = "ü".repeat(REASON_BYTES_MAX);
        let batch = render(&[letter(Headers::NONE, &reason)], &ORIGIN);
        assert!(batch.bytes(0..1) < REASON_BYTES_MAX + 2_048);
        let one = fingerprint("trapped", "order 4711 has 2 lines");
        assert_eq!(one, fingerprint("trapped", "order 9 has 13 lines"));
        assert_ne!(one, fingerprint("rejected", "order 9 has 13 lines"));
    }
}
