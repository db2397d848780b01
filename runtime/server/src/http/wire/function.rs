//! A function as a person sets it and sees it, and what one invocation of it did. Never its bytes.
use std::collections::BTreeMap;

use sandbox::{Cost, LogStream};
use serde_json::{Map, Value, json};
use trigger::{Blame, FailureKind, HostFault, Outcome};

use super::{Fields, record, show_duration, show_instant, show_size};
use crate::{
    catalog::{Function, FunctionLimits, FunctionPatch, LimitsPatch, Version},
    drive::{Line, Once, OnceOutput},
};

const ANY_SIZE: (u64, u64) = (0, u64::MAX);

/// `{"limits": {…}, "environment": {…}, "aliases": {…}}`: what is absent stays, `null` takes away.
pub(crate) fn read_patch(fields: &mut Fields<'_>) -> FunctionPatch {
    let limits = fields.object("limits", read_limits);
    let environment = read_entries(fields, "environment", "text or null", |value| match value {
        Value::String(text) => Some(text),
        _ => None,
    });
    let aliases = read_entries(fields, "aliases", "a version or null", |value| {
        value.as_u64().and_then(|version| u32::try_from(version).ok())
    });
    FunctionPatch { limits, environment, aliases, allowed_hosts: None }
}

fn read_limits(limits: &mut Fields<'_>) -> LimitsPatch {
    let any = (std::time::Duration::ZERO, std::time::Duration::MAX);
    let timeout = limits.duration_or_null("timeout", None, any, false);
    let memory_bytes = limits.size_or_null("memory", None, ANY_SIZE, false);
    let output_bytes_max = limits.size_or_null("output_bytes_max", None, ANY_SIZE, false);
    let output_records_max = limits.integer_if_given("output_records_max");
    let log_bytes_max = limits.size_or_null("log_bytes_max", None, ANY_SIZE, false);
    let concurrency_max = match limits.take("concurrency_max") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(value) => match value.as_u64().and_then(|most| u32::try_from(most).ok()) {
            Some(most) => Some(Some(most)),
            None => limits.wrong("concurrency_max", "a whole number or null", &value),
        },
    };
    LimitsPatch {
        timeout,
        memory_bytes,
        output_bytes_max,
        output_records_max,
        log_bytes_max,
        concurrency_max,
    }
}

fn read_entries<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    wanted: &str,
    read: impl Fn(Value) -> Option<T>,
) -> BTreeMap<String, Option<T>> {
    let mut found = BTreeMap::new();
    for (entry, value) in fields.entries(name).unwrap_or_default() {
        if value.is_null() {
            found.insert(entry, None);
            continue;
        }
        match read(value.clone()) {
            Some(value) => {
                found.insert(entry, Some(value));
            }
            None => {
                fields.wrong::<()>(&format!("{name}.{entry}"), wanted, &value);
            }
        }
    }
    found
}

/// A version, under its function's name.
pub(crate) fn show_version(name: &str, version: &Version) -> Value {
    json!({
        "name": name,
        "version": version.version,
        "digest": version.digest.to_string(),
        "world": version.world,
        "bytes": version.bytes,
        "compile_ms": version.compile_ms,
        "imports": version.imports,
        "created_at": show_instant(version.created_at),
    })
}

/// The newest version, and what is set of the function.
pub(crate) fn show(function: &Function, etag: &str) -> Value {
    let mut shown = show_version(function.name.as_str(), function.newest());
    let fields = shown.as_object_mut().expect("made as an object");
    let settings = &function.settings;
    fields.insert("etag".into(), etag.into());
    fields.insert("limits".into(), show_limits(&settings.limits));
    fields.insert("environment".into(), json!(settings.environment));
    fields.insert("aliases".into(), json!(settings.aliases));
    shown
}

fn show_limits(limits: &FunctionLimits) -> Value {
    json!({
        "timeout": show_duration(limits.timeout),
        "memory": show_size(limits.memory_bytes),
        "output_bytes_max": show_size(limits.output_bytes_max),
        "output_records_max": limits.output_records_max,
        "log_bytes_max": show_size(limits.log_bytes_max),
        "concurrency_max": limits.concurrency_max,
    })
}

pub(crate) fn show_line(line: &Line) -> Value {
    json!({
        "at": show_instant(line.at),
        "level": line.level,
        "version": line.version,
        "trigger": line.trigger.as_ref().map(AsRef::<str>::as_ref),
        "invocation": &*line.invocation,
        "message": line.message,
    })
}

/// What an invocation outside any topic did, as one line of JSON.
///
/// # Errors
/// The host could not run it: nothing of the function's.
pub(crate) fn show_once(once: &Once) -> Result<Vec<u8>, HostFault> {
    let outcome = once.result.as_ref().map_err(Clone::clone)?;
    let mut head = Map::new();
    head.insert("outcome".into(), outcome_of(outcome).into());
    match outcome {
        Outcome::Handled(_) => {}
        Outcome::Failed(failure) => {
            head.insert("reason".into(), (&*failure.reason).into());
        }
        Outcome::Unavailable { reason, retry_after } => {
            head.insert("reason".into(), (&**reason).into());
            if let Some(wait) = retry_after {
                head.insert("retry_after_ms".into(), json!(wait.as_millis() as u64));
            }
        }
    }
    head.insert("version".into(), once.version.into());
    head.insert("invocation".into(), (&*once.invocation).into());
    let mut out = Value::Object(head).to_string().into_bytes();
    out.pop();
    out.extend_from_slice(b",\"outputs\":[");
    for (nth, output) in once.outputs.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        write_output(&mut out, output, source_of(outcome, nth));
    }
    out.extend_from_slice(b"],");
    let rest = json!({
        "failures": failures_of(outcome),
        "logs": logs_of(once),
        "cost": show_cost(&once.cost),
    });
    out.extend_from_slice(&rest.to_string().as_bytes()[1..]);
    out.push(b'\n');
    Ok(out)
}

fn outcome_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Handled(_) => "handled",
        Outcome::Unavailable { .. } => "unavailable",
        Outcome::Failed(failure) => match failure.kind {
            kind @ (FailureKind::Rejected
            | FailureKind::Permanent
            | FailureKind::Trapped
            | FailureKind::TimedOut
            | FailureKind::OutOfMemory
            | FailureKind::BoundBroken
            | FailureKind::OutputRefused) => kind.name(),
        },
    }
}

fn source_of(outcome: &Outcome, nth: usize) -> Option<u32> {
    match outcome {
        Outcome::Handled(response) => response.sources.get(nth).copied().flatten(),
        Outcome::Failed(_) | Outcome::Unavailable { .. } => None,
    }
}

fn write_output(out: &mut Vec<u8>, output: &OnceOutput, source: Option<u32>) {
    let head = json!({
        "topic": output.topic.as_ref().map(AsRef::<str>::as_ref),
        "source": source,
    });
    let mut shown = Vec::new();
    record::write(&mut shown, None, &output.batch.record(output.index), None);
    out.extend_from_slice(head.to_string().trim_end_matches('}').as_bytes());
    out.push(b',');
    out.extend_from_slice(&shown[1..]);
}

fn failures_of(outcome: &Outcome) -> Vec<Value> {
    let Outcome::Handled(response) = outcome else { return Vec::new() };
    let failures = response.failures.iter().map(|failure| {
        let blame = match failure.blame {
            Blame::Rejected => "rejected",
            Blame::Permanent => "permanent",
        };
        json!({"index": failure.index, "kind": blame, "reason": &*failure.reason})
    });
    failures.collect()
}

fn logs_of(once: &Once) -> Vec<Value> {
    let level = |stream| match stream {
        LogStream::Stdout => "info",
        LogStream::Stderr => "error",
    };
    let lines =
        once.logs.lines().map(|line| json!({"level": level(line.stream), "message": line.text}));
    let mut shown: Vec<_> = lines.collect();
    let dropped = once.logs.dropped_bytes();
    if dropped > 0 {
        let message = format!("{dropped} bytes of log above the limit were dropped");
        shown.push(json!({"level": "warn", "message": message}));
    }
    shown
}

fn show_cost(cost: &Cost) -> Value {
    let ms = |time: std::time::Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    json!({
        "wall_ms": ms(cost.wall), "cpu_ms": ms(cost.cpu),
        "memory_peak_bytes": cost.memory_peak_bytes,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::wire::read_body;

    #[test]
    fn a_patch_sets_takes_away_and_leaves() {
        let body = r#"{"limits": {"timeout": "10s", "memory": "64MiB", "concurrency_max": null},
            "environment": {"RATE": "3", "OLD": null}, "aliases": {"live": 2}}"#;
        let patch = read_body(body.as_bytes(), |fields| Some(read_patch(fields))).expect("a patch");
        assert_eq!(patch.limits.timeout, Some(Duration::from_secs(10)));
        assert_eq!(patch.limits.memory_bytes, Some(64 << 20));
        assert_eq!(patch.limits.concurrency_max, Some(None));
        assert_eq!(patch.limits.log_bytes_max, None);
        assert_eq!(patch.environment["RATE"], Some("3".into()));
        assert_eq!(patch.environment["OLD"], None);
        assert_eq!(patch.aliases["live"], Some(2));
    }

    #[test]
    fn a_wrong_patch_is_told_whole() {
        let body = r#"{"limits": {"timout": "1s", "memory": 5}, "environment": {"A": 3}, "aliases": {"live": "2"}}"#;
        let error =
            read_body(body.as_bytes(), |fields| Some(read_patch(fields))).expect_err("wrong");
        let fields: Vec<_> = error.problems().iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["limits.memory", "limits.timout", "environment.A", "aliases.live"]);
    }
}
