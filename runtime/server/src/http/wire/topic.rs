//! A topic as a person sets it and sees it.
use std::time::Duration;

use log_contract::{OffsetBounds, PartitionId, Retention, TopicName, TopicSpec};
use serde_json::{Value, json};

use super::{Fields, show_duration, show_size};

/// A body, with defaults for what is absent.
pub(crate) fn read_spec(name: TopicName, fields: &mut Fields<'_>) -> TopicSpec {
    let partitions = fields.integer("partitions", 1, 1, u64::from(TopicSpec::PARTITIONS_MAX));
    let defaults = Retention::DEFAULT;
    let retention = fields.object("retention", |retention| Retention {
        age: retention.duration_or_null(
            "age",
            defaults.age,
            (Duration::from_secs(1), Duration::MAX),
            true,
        ),
        bytes: retention.size_or_null("bytes", defaults.bytes, (1, u64::MAX), true),
        hold_for_triggers: retention.flag("hold_for_triggers", defaults.hold_for_triggers),
    });
    let compacted = fields.object("compaction", |compaction| compaction.flag("enabled", false));
    let partitions = u32::try_from(partitions).expect("bounded by the most that a topic has");
    TopicSpec { name, partitions, retention, compacted }
}

/// The field of a spec that is not built yet, if it asks for one.
pub(crate) fn unsupported(spec: &TopicSpec) -> Option<&'static str> {
    spec.compacted.then_some("compaction.enabled")
}

/// What a body would have to say to get this topic.
pub(crate) fn show_spec(spec: &TopicSpec) -> Value {
    json!({
        "partitions": spec.partitions,
        "retention": {
            "age": spec.retention.age.map(show_duration),
            "bytes": spec.retention.bytes.map(show_size),
            "hold_for_triggers": spec.retention.hold_for_triggers,
        },
        "compaction": {"enabled": spec.compacted},
    })
}

/// The whole answer.
pub(crate) fn show(spec: &TopicSpec, bounds: &[(PartitionId, OffsetBounds)]) -> Value {
    let mut shown = json!({"name": spec.name.as_str()});
    let fields = shown.as_object_mut().expect("made as an object");
    if let Value::Object(spec) = show_spec(spec) {
        fields.extend(spec);
    }
    let bounds = bounds.iter().map(|(partition, bounds)| {
        let OffsetBounds { start, end, records, bytes } = bounds;
        json!({
            "partition": partition.0, "start": start.0, "end": end.0,
            "records": records, "bytes": bytes,
        })
    });
    fields.insert("bounds".into(), bounds.collect());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::wire::read_body;

    fn read(body: &str) -> TopicSpec {
        let name = TopicName::parse("orders").expect("a name");
        read_body(body.as_bytes(), |fields| Some(read_spec(name, fields))).expect("a topic")
    }

    #[test]
    fn an_empty_body_has_the_documented_defaults() {
        let written = r#"{"partitions": 1, "retention": {"age": "7d", "bytes": null, "hold_for_triggers": true}, "compaction": {"enabled": false}}"#;
        assert_eq!(read(""), read(written));
        assert_eq!(unsupported(&read("")), None);
        assert_eq!(show_spec(&read("")), serde_json::from_str::<Value>(written).expect("JSON"));
    }

    #[test]
    fn what_is_not_built_is_named() {
        let body = r#"{"compaction": {"enabled": true}}"#;
        assert_eq!(unsupported(&read(body)), Some("compaction.enabled"));
    }
}
