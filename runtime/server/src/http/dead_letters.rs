//! `/v1/triggers/{trigger}/dead-letters`: the records that a trigger gave up, with their stories. A dead
//! letter is a record of the dead-letter topic; its id is its place there. Never written here.
use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::Uri, response::Response};
use log_contract::{Offset, PartitionId, Record, TopicInfo, TriggerName};
use serde_json::{Value, json};

use super::{
    Api,
    body::Admitted,
    error::{ApiError, ApiResult, Code, topic_not_found},
    params::{PathArgs, Query, no_query},
    records::{self, From, JSON, Reader, in_pieces},
    triggers,
    wire::{record, show_instant},
};
use crate::drive::{Story, StoryError, split_dead_letter};

const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1_000;
/// Records that one call looks at: in a topic that others write to as well, few may be letters of ours.
const LOOKED_AT_MAX: usize = 100_000;

/// Bytes of one answer, before its last page is added.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What of the letters is asked for.
#[derive(Debug)]
struct Wanted<'a> {
    trigger: &'a TriggerName,
    /// A kind (`rejected`) or a fingerprint.
    error: Option<String>,
}

pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
) -> ApiResult<Response> {
    let name = path.trigger()?;
    let mut query = Query::of(&uri)?;
    let from = query.parsed("from", From::parse)?.unwrap_or(From::Earliest);
    let limit = query.integer("limit", LIMIT, 1, LIMIT_MAX)? as usize;
    let wanted = Wanted { trigger: &name, error: query.take("error") };
    query.finish()?;
    let topic = topic_of(&api, &name)?;
    let log = Arc::clone(&api.app.log);
    let mut reader = Reader::start(log, topic, None, from, api.stop.clone()).await?;
    let mut out = b"{\"dead_letters\":[".to_vec();
    let mut admitted = Admitted::NOTHING;
    let (mut found, mut looked_at) = (0, 0);
    while found < limit && looked_at < LOOKED_AT_MAX && out.len() < ANSWER_BYTES_MAX {
        let page = reader.next(limit - found, Duration::ZERO).await?;
        if page.records.is_empty() {
            break;
        }
        looked_at += page.records.len();
        let before = out.len();
        for letter in page.records {
            let record = letter.batch.record(letter.at);
            if let Some(shown) = show(letter.partition, &record, &wanted) {
                if found > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(&shown);
                found += 1;
            }
        }
        api.answers.admit(&mut admitted, out.len() - before).await?;
    }
    out.extend_from_slice(format!("],\"next\":\"{}\"}}\n", reader.places().show()).as_bytes());
    Ok(in_pieces(JSON, out, admitted))
}

pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
) -> ApiResult<Response> {
    let name = path.trigger()?;
    no_query(&uri)?;
    let id = path.text("id");
    let missing = || {
        let message = format!("dead letter `{id}` of trigger `{name}` not found");
        ApiError::new(Code::DeadLetterNotFound, message)
            .hint(format!("list them: GET /v1/triggers/{name}/dead-letters"))
    };
    let topic = topic_of(&api, &name)?;
    let (partition, offset) = parse_id(id).ok_or_else(missing)?;
    if partition.0 >= topic.spec.partitions {
        return Err(missing());
    }
    let batch = match records::find(&api, &topic, partition, offset).await {
        Ok(batch) => batch,
        Err(error) if error.code() == Code::RecordNotFound => return Err(missing()),
        Err(error) => return Err(error),
    };
    let mut admitted = Admitted::NOTHING;
    api.answers.admit(&mut admitted, batch.bytes(0..1) * 2).await?;
    let wanted = Wanted { trigger: &name, error: None };
    let mut shown = show(partition, &batch.record(0), &wanted).ok_or_else(missing)?;
    shown.push(b'\n');
    Ok(in_pieces(JSON, shown, admitted))
}

fn topic_of(api: &Api, name: &TriggerName) -> ApiResult<Arc<TopicInfo>> {
    let trigger = triggers::find(api, name)?;
    let topic = trigger.definition.dead_letter_topic(name);
    let found = api.app.catalog.topics().get(&topic);
    found.ok_or_else(|| topic_not_found(topic.as_str()).field("dead_letters"))
}

fn parse_id(id: &str) -> Option<(PartitionId, Offset)> {
    let (partition, offset) = id.split_once('-')?;
    Some((PartitionId(partition.parse().ok()?), Offset(offset.parse().ok()?)))
}

/// `None`: no dead letter, or not one that is wanted.
fn show(partition: PartitionId, letter: &Record<'_>, wanted: &Wanted<'_>) -> Option<Vec<u8>> {
    let (headers, story) = split_dead_letter(letter.headers)?;
    if story.trigger != wanted.trigger.as_str() || !has_error(&story, wanted.error.as_deref()) {
        return None;
    }
    let mut out = format!("{{\"id\":\"{partition}-{}\",\"record\":", letter.offset).into_bytes();
    let timestamp = show_instant(letter.timestamp);
    out.extend_from_slice(format!("{{\"timestamp\":\"{timestamp}\",").as_bytes());
    let mut record = Vec::new();
    record::write(&mut record, None, &Record { headers: headers.as_headers(), ..*letter }, None);
    out.extend_from_slice(&record[1..]);
    out.push(b',');
    out.extend_from_slice(&show_story(&story).to_string().as_bytes()[1..]);
    Some(out)
}

fn has_error(story: &Story, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted else { return true };
    story.error.as_ref().is_some_and(|error| error.kind == wanted || error.fingerprint == wanted)
}

fn show_story(story: &Story) -> Value {
    let error = story.error.as_ref().map(|error| {
        let StoryError { kind, reason, fingerprint } = error;
        json!({"kind": kind, "reason": reason, "fingerprint": fingerprint})
    });
    json!({
        "source": {
            "topic": story.topic, "partition": story.partition.0, "offset": story.offset.0,
        },
        "trigger": story.trigger,
        "function": story.function,
        "version": story.version,
        "error": error,
        "condition": story.condition,
        "attempts": story.attempts,
        "first_failed_at": story.first_failed_at.map(show_instant),
        "dead_lettered_at": show_instant(story.dead_lettered_at),
        "redrives": story.redrives,
    })
}
