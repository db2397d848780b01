//! A trigger as a person sets it, with its documented defaults, and as it is shown with its status. What
//! is wrong with it as a whole the definition itself says.
use std::{collections::BTreeMap, time::Duration};

use log_contract::{CursorName, Offset, PartitionId, TopicName, TriggerName};
use serde_json::{Value, json};
use trigger::{BatchPolicy, ItemFailures, Ordering, RetryPolicy};

use super::{Fields, parse_instant, show_duration, show_instant, show_size};
use crate::{
    catalog::{FunctionRef, OnFailure, Scaling, Start, Trigger, TriggerDefinition},
    drive::{Concurrency, Moved, PartitionStatus, SeekReport, SeekTo, TriggerStatus},
};

const ORDERINGS: [(&str, Ordering); 2] =
    [("partition", Ordering::Partition), ("key", Ordering::Key)];
const ITEM_FAILURES: [(&str, ItemFailures); 2] =
    [("each", ItemFailures::Each), ("lowest", ItemFailures::Lowest)];
const ON_FAILURE: [(&str, OnFailure); 3] =
    [("dead_letter", OnFailure::DeadLetter), ("hold", OnFailure::Hold), ("drop", OnFailure::Drop)];

/// Any: what makes sense the definition knows.
const ANY_DURATION: (Duration, Duration) = (Duration::ZERO, Duration::MAX);

/// A body, and the first field of it that is not built yet. All defaults of the API are here.
pub(crate) fn read_definition(
    name: &TriggerName,
    fields: &mut Fields<'_>,
) -> Option<(TriggerDefinition, Option<&'static str>)> {
    let source = required(fields, "source", "a topic's name", TopicName::parse);
    let function = required(fields, "function", "a function's name", str::parse::<FunctionRef>);
    let output = nullable_topic(fields, "output");
    let outputs = fields.list("outputs", TopicName::parse);
    let cursor = fields.parsed("cursor", CursorName::parse);
    let enabled = fields.flag("enabled", true);
    let start = fields.take("start").map_or(Start::Earliest, |value| {
        read_start(fields, "start", value).unwrap_or(Start::Earliest)
    });
    let batch = fields.object("batch", read_batch);
    let ordering = fields.word("ordering", &ORDERINGS, Ordering::Partition);
    let item_failures = fields.word("item_failures", &ITEM_FAILURES, ItemFailures::Each);
    let retry = fields.object("retry", |retry| read_retry(item_failures, retry));
    let on_failure = fields.word("on_failure", &ON_FAILURE, OnFailure::DeadLetter);
    let dead_letters = fields.parsed("dead_letters", TopicName::parse);
    let halt_on_failure_share = fields.number("halt_on_failure_share", 0.5, 0.0, 1.0);
    let unsupported = ["filter", "window"]
        .into_iter()
        .filter(|field| fields.take(field).is_some_and(|value| !value.is_null()))
        .collect::<Vec<_>>();
    let scaling = fields.object("scaling", read_scaling);
    let is_named = source.is_some() && function.is_some();
    let stands_in = TopicName::parse_internal("_").expect("a name of the system");
    let definition = TriggerDefinition {
        source: source.unwrap_or(stands_in),
        function: function.unwrap_or_else(|| "x".parse().expect("a function's name")),
        output,
        outputs,
        cursor: cursor.unwrap_or_else(|| {
            CursorName::parse_internal(name.as_str()).expect("both names have one rule")
        }),
        enabled,
        start,
        batch,
        ordering,
        retry,
        on_failure,
        dead_letters,
        halt_on_failure_share,
        filter: None,
        window: None,
        scaling,
    };
    for problem in definition.problems() {
        fields.problem_once(&problem.field, problem.message);
    }
    is_named.then(|| (definition, unsupported.first().copied()))
}

fn required<T, E: ToString>(
    fields: &mut Fields<'_>,
    name: &'static str,
    example: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    match fields.take(name) {
        None => {
            fields.missing(name, example);
            None
        }
        Some(Value::String(text)) => {
            parse(&text).map_err(|why| fields.problem(name, why.to_string())).ok()
        }
        Some(other) => fields.wrong(name, "text", &other),
    }
}

fn nullable_topic(fields: &mut Fields<'_>, name: &'static str) -> Option<TopicName> {
    let text = fields.text_or_null(name)??;
    TopicName::parse(&text).map_err(|why| fields.problem(name, why.to_string())).ok()
}

fn read_start(fields: &mut Fields<'_>, name: &str, value: Value) -> Option<Start> {
    match value {
        Value::String(text) if text == "earliest" => Some(Start::Earliest),
        Value::String(text) if text == "latest" => Some(Start::Latest),
        Value::Object(map) => fields.nested(name, map, |start| {
            let at = start.parsed("at", parse_instant);
            if at.is_none() && !start.has_problem("at") {
                start.missing("at", "an instant");
            }
            at.map(Start::At)
        }),
        other => fields.wrong(
            name,
            "\"earliest\", \"latest\" or {\"at\": \"2026-01-01T00:00:00Z\"}",
            &other,
        ),
    }
}

fn read_batch(batch: &mut Fields<'_>) -> BatchPolicy {
    let records_max = batch.integer("records_max", 100, 0, u64::from(u32::MAX)) as usize;
    let bytes_max = batch.size("bytes_max", 6 << 20, 0, u64::from(u32::MAX)) as usize;
    let wait = batch.duration("wait", Duration::ZERO, ANY_DURATION);
    BatchPolicy { records_max, bytes_max, wait }
}

fn read_retry(item_failures: ItemFailures, retry: &mut Fields<'_>) -> RetryPolicy {
    let attempts = retry.integer_or_null("attempts_max", Some(5), 0, u64::from(u32::MAX));
    RetryPolicy {
        attempts_max: attempts.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
        bisect: retry.flag("bisect", true),
        item_failures,
        record_age_max: retry.duration_or_null("record_age_max", None, ANY_DURATION, true),
        backoff_min: retry.duration("backoff_min", Duration::from_millis(250), ANY_DURATION),
        backoff_max: retry.duration("backoff_max", Duration::from_secs(60), ANY_DURATION),
    }
}

fn read_scaling(scaling: &mut Fields<'_>) -> Scaling {
    let mut most = |name, default| {
        let found = scaling.integer(name, default, 0, u64::from(u32::MAX));
        u32::try_from(found).unwrap_or(u32::MAX)
    };
    Scaling {
        concurrency_min: most("concurrency_min", 0),
        concurrency_max: most("concurrency_max", 16),
        lag_target: scaling.duration("lag_target", Duration::from_secs(5), ANY_DURATION),
    }
}

/// The whole spec, defaults written out: what a body would have to say to get this trigger.
pub(crate) fn show_definition(name: &TriggerName, definition: &TriggerDefinition) -> Value {
    let TriggerDefinition { batch, retry, scaling, .. } = definition;
    let word = |found: &str| Value::from(found);
    json!({
        "source": definition.source.as_str(),
        "function": definition.function.to_string(),
        "output": definition.output.as_ref().map(TopicName::as_str),
        "outputs": definition.outputs.iter().map(TopicName::as_str).collect::<Vec<_>>(),
        "cursor": definition.cursor.as_str(),
        "enabled": definition.enabled,
        "start": show_start(definition.start),
        "batch": {
            "records_max": batch.records_max,
            "bytes_max": show_size(batch.bytes_max as u64),
            "wait": show_duration(batch.wait),
        },
        "ordering": word(word_of(&ORDERINGS, definition.ordering)),
        "item_failures": word(word_of(&ITEM_FAILURES, retry.item_failures)),
        "retry": {
            "attempts_max": retry.attempts_max,
            "bisect": retry.bisect,
            "record_age_max": retry.record_age_max.map(show_duration),
            "backoff_min": show_duration(retry.backoff_min),
            "backoff_max": show_duration(retry.backoff_max),
        },
        "on_failure": word(word_of(&ON_FAILURE, definition.on_failure)),
        "dead_letters": definition.dead_letter_topic(name).as_str(),
        "halt_on_failure_share": definition.halt_on_failure_share,
        "filter": definition.filter,
        "window": definition.window.map(|window| json!({"length": show_duration(window.length)})),
        "scaling": {
            "concurrency_min": scaling.concurrency_min,
            "concurrency_max": scaling.concurrency_max,
            "lag_target": show_duration(scaling.lag_target),
        },
    })
}

fn show_start(start: Start) -> Value {
    match start {
        Start::Earliest => "earliest".into(),
        Start::Latest => "latest".into(),
        Start::At(at) => json!({"at": show_instant(at)}),
    }
}

fn word_of<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    let found = words.iter().find(|(_, known)| *known == value);
    found.map(|(word, _)| *word).expect("each value has its word")
}

/// The whole answer.
pub(crate) fn show(trigger: &Trigger, etag: &str, status: Option<&TriggerStatus>) -> Value {
    json!({
        "name": trigger.name.as_str(),
        "spec": show_definition(&trigger.name, &trigger.definition),
        "etag": etag,
        "created_at": show_instant(trigger.created_at),
        "status": status.map(show_status),
    })
}

pub(crate) fn show_resumed(resumed_from: &BTreeMap<PartitionId, Offset>) -> Value {
    let shown = resumed_from.iter().map(|(partition, next)| (partition.to_string(), next.0.into()));
    Value::Object(shown.collect())
}

fn show_status(status: &TriggerStatus) -> Value {
    let Concurrency { wanted, allowed, busy, reason } = &status.concurrency;
    json!({
        "state": status.state.name(),
        "reason": status.reason.as_deref(),
        "since": show_instant(status.since),
        "lag_records": status.lag_records,
        "lag_seconds": status.lag_seconds,
        "lost_records": status.lost_records,
        "concurrency": {
            "wanted": wanted, "allowed": allowed, "busy": busy, "reason": reason.as_deref(),
        },
        "partitions": status.partitions.iter().map(show_partition).collect::<Vec<_>>(),
    })
}

fn show_partition(it: &PartitionStatus) -> Value {
    json!({
        "partition": it.partition.0,
        "state": it.state.name(),
        "since": show_instant(it.since),
        "reason": it.reason.as_deref(),
        "record": it.record.map(|record| record.0),
        "attempt": it.attempt,
        "next_try": it.next_try.map(show_instant),
        "next": it.next.0,
        "end": it.end.0,
        "lag_records": it.lag_records,
        "lag_seconds": it.lag_seconds,
        "lost_records": it.lost_records,
    })
}

/// `{"to": …, "dry_run": true}`.
pub(crate) fn read_seek(fields: &mut Fields<'_>) -> Option<(SeekTo, bool)> {
    let is_dry = fields.flag("dry_run", false);
    let to = match fields.take("to") {
        None => {
            fields.missing(
                "to",
                "\"earliest\", \"latest\", {\"at\": …} or {\"offsets\": {\"0\": 17}}",
            );
            None
        }
        Some(Value::Object(mut map)) if map.contains_key("offsets") => {
            let offsets = map.remove("offsets").unwrap_or_default();
            fields.nested("to", map, |_| ());
            read_offsets(fields, offsets)
        }
        Some(value) => read_start(fields, "to", value).map(|start| match start {
            Start::Earliest => SeekTo::Earliest,
            Start::Latest => SeekTo::Latest,
            Start::At(at) => SeekTo::At(at),
        }),
    };
    to.map(|to| (to, is_dry))
}

fn read_offsets(fields: &mut Fields<'_>, offsets: Value) -> Option<SeekTo> {
    let Value::Object(map) = offsets else {
        return fields.wrong("to.offsets", "an object like {\"0\": 17}", &offsets);
    };
    if map.is_empty() {
        fields.missing("to.offsets", "at least one partition's offset, as {\"0\": 17}");
        return None;
    }
    let mut found = BTreeMap::new();
    let count = map.len();
    for (partition, offset) in map {
        match (partition.parse().map(PartitionId), offset.as_u64()) {
            (Ok(partition), Some(offset)) => {
                found.insert(partition, Offset(offset));
            }
            (Err(_), _) => {
                fields.problem(&format!("to.offsets.{partition}"), "the name is no partition");
            }
            (_, None) => {
                fields.problem(&format!("to.offsets.{partition}"), "give an offset as a number");
            }
        }
    }
    (found.len() == count).then_some(SeekTo::Offsets(found))
}

pub(crate) fn show_seek(report: &SeekReport) -> Value {
    let moved = |it: &Moved| {
        json!({
            "partition": it.partition.0, "from": it.from.0, "to": it.to.0,
            "skipped_records": it.skipped, "repeated_records": it.repeated,
        })
    };
    json!({
        "dry_run": report.dry_run,
        "partitions": report.partitions.iter().map(moved).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use log_contract::Timestamp;

    use super::*;
    use crate::http::{error::ApiResult, wire::read_body};

    fn read(body: &str) -> ApiResult<TriggerDefinition> {
        let name = TriggerName::parse("enrich").expect("a name");
        read_body(body.as_bytes(), |fields| read_definition(&name, fields)).map(|(found, _)| found)
    }

    fn problems(body: &str) -> Vec<String> {
        let error = read(body).expect_err("it is wrong");
        error.problems().iter().map(|it| format!("{}: {}", it.field, it.message)).collect()
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let written = r#"{
            "source": "orders", "function": "enrich", "output": null, "outputs": [],
            "cursor": "enrich", "enabled": true, "start": "earliest",
            "batch": {"records_max": 100, "bytes_max": "6MiB", "wait": "0s"},
            "ordering": "partition", "item_failures": "each",
            "retry": {"attempts_max": 5, "bisect": true, "record_age_max": null, "backoff_min": "250ms", "backoff_max": "60s"},
            "on_failure": "dead_letter", "dead_letters": "enrich.dead-letters",
            "halt_on_failure_share": 0.5, "filter": null, "window": null,
            "scaling": {"concurrency_min": 0, "concurrency_max": 16, "lag_target": "5s"}
        }"#;
        let bare = read(r#"{"source": "orders", "function": "enrich"}"#).expect("enough");
        let name = TriggerName::parse("enrich").expect("a name");
        let written: Value = serde_json::from_str(written).expect("JSON");
        assert_eq!(show_definition(&name, &bare), written);
        let again = read(&written.to_string()).expect("as it is shown");
        assert_eq!(TriggerDefinition { dead_letters: None, ..again }, bare);
    }

    #[test]
    fn all_problems_come_at_once() {
        let told = problems(
            r#"{"sorce": "orders", "function": "a@b@c", "batch": {"records_max": 0, "wait": "1h"},
                "retry": {"attempts_max": 0, "backoff_min": "2m"}, "ordering": "keys", "start": {"at": "x"}}"#,
        );
        for wanted in [
            "source: missing",
            "function: `b@c` names no version",
            "sorce: unknown field `sorce`; did you mean `source`?",
            "batch.records_max: 0 is below 1",
            "batch.wait: it is above 300s",
            "retry.attempts_max: 0 is below 1",
            "retry.backoff_max: it is below",
            "ordering: unknown value `keys`; did you mean `key`?",
            "start.at: `x` is no instant",
        ] {
            assert!(told.iter().any(|it| it.starts_with(wanted)), "{wanted} in {told:?}");
        }
        assert_eq!(told.len(), 9, "{told:?}");
    }

    #[test]
    fn filters_and_windows_are_named_as_not_built() {
        let name = TriggerName::parse("t").expect("a name");
        for (field, body) in [
            ("filter", r#"{"source": "a", "function": "f", "filter": {"x": [1]}}"#),
            ("window", r#"{"source": "a", "function": "f", "window": {"length": "1m"}}"#),
        ] {
            let read = read_body(body.as_bytes(), |fields| read_definition(&name, fields));
            assert_eq!(read.expect("well formed").1, Some(field));
        }
    }

    #[test]
    fn a_seek_goes_to_four_kinds_of_places() {
        let seek = |body: &str| read_body(body.as_bytes(), read_seek);
        assert_eq!(seek(r#"{"to": "latest"}"#).ok(), Some((SeekTo::Latest, false)));
        let at = SeekTo::At(Timestamp(0));
        let body = r#"{"to": {"at": "1970-01-01T00:00:00Z"}, "dry_run": true}"#;
        assert_eq!(seek(body).ok(), Some((at, true)));
        let offsets = SeekTo::Offsets([(PartitionId(0), Offset(17))].into());
        assert_eq!(seek(r#"{"to": {"offsets": {"0": 17}}}"#).ok(), Some((offsets, false)));
        for wrong in [
            "{}",
            r#"{"to": "x"}"#,
            r#"{"to": {}}"#,
            r#"{"to": {"offsets": {}}}"#,
            r#"{"to": {"offsets": {"a": 1}}}"#,
            r#"{"to": {"offsets": {"0": -1}}}"#,
            r#"{"to": {"offsets": {"0": 1}, "at": "x"}}"#,
        ] {
            assert!(seek(wrong).is_err(), "{wrong}");
        }
    }
}
