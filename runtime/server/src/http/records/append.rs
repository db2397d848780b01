//! `POST /v1/topics/{topic}/records`: from a body in one of its forms to places in the log. Never how a form
//! is read, nor where a record goes.
use std::{fmt::Write as _, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, Uri},
    response::Response,
};
use log_contract::{
    AppendBatch, AppendError, AppendGuard, Appended, HeadersBuf, Offset, PartitionId, RecordBatch,
    TopicInfo,
};

use super::{
    draft::{Draft, New, Terms},
    json, lines,
    pointer::Pointer,
};
use crate::http::{
    Api, answer,
    body::{self, Admitted, Held, Packing},
    error::{ApiError, ApiResult, Code, topic_not_found},
    params::{PathArgs, Query, invalid},
    wire::nearest::unknown,
};

/// Reading a body above this many bytes leaves the server's workers to others.
const INLINE_BYTES_MAX: usize = 256 << 10;
/// Above this many records places are answered run by run.
const PLACES_MAX: usize = 1_000;
/// Of ours, that an append knows.
const HEADERS: [&str; 3] = ["millstream-key", "millstream-request-id", EXPECTED_END];
/// The offset that the first record shall get.
const EXPECTED_END: &str = "millstream-expected-end";
/// Guards that are not built yet: to take an append without them would be to break their promise.
const GUARDS: [&str; 2] = ["millstream-producer-id", "millstream-producer-sequence"];
/// Keeps the content type of a value that came alone.
const CONTENT_TYPE: &str = "content-type";

pub(crate) async fn append(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let name = path.topic()?;
    let mut query = Query::of(&uri)?;
    let partition = query.parsed("partition", partition_of)?;
    let form = Form::of(&mut query, &headers)?;
    query.finish()?;
    check_headers(&headers)?;
    let guard = guard_of(&headers)?;
    let topic = api.topic(&name)?;
    let terms = Terms {
        now: api.app.clock.now(),
        partition,
        partitions: topic.spec.partitions,
        records_max: api.app.limits().append_records_max,
    };
    if let Some(partition) = partition {
        known_partition(&topic, partition)?;
    }
    let max = api.app.limits().request_bytes_max;
    let held = body::read(&api.admission, &headers, body, max).await?;
    let (batch, _admitted) = if held.is_light() {
        understand(held, &form, terms, max)?
    } else {
        let reading = tokio::task::spawn_blocking(move || understand(held, &form, terms, max));
        reading.await.map_err(panicked)??
    };
    let appending = api.app.log.append(topic.id, batch, guard);
    let appended = appending.await.map_err(|error| refused(error, &topic))?;
    Ok(answer::text(StatusCode::CREATED, "application/json", show(&appended)))
}

fn guard_of(headers: &HeaderMap) -> ApiResult<AppendGuard> {
    let mut ends = headers.get_all(EXPECTED_END).iter();
    let Some(end) = ends.next() else { return Ok(AppendGuard::default()) };
    let offset = end.to_str().ok().and_then(|text| text.parse().ok());
    match (offset, ends.next()) {
        (Some(offset), None) => Ok(AppendGuard::expecting(Offset(offset))),
        _ => {
            let message = "`millstream-expected-end` is one offset, as 1200";
            Err(ApiError::new(Code::InvalidHeader, message).field(EXPECTED_END))
        }
    }
}

/// What is ours among the headers is known, or refused.
fn check_headers(headers: &HeaderMap) -> ApiResult<()> {
    for name in headers.keys().map(HeaderName::as_str) {
        if GUARDS.contains(&name) {
            return Err(ApiError::not_supported_yet(name));
        }
        if name.starts_with("millstream-") && !HEADERS.contains(&name) {
            let message = unknown("header", name, &[&HEADERS[..], &GUARDS].concat());
            return Err(ApiError::new(Code::InvalidHeader, message).field(name));
        }
    }
    Ok(())
}

/// The records of a body that go to a function by hand: the JSON form, in no topic's partition but 0.
pub(crate) async fn read_for_invocation(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
) -> ApiResult<(RecordBatch, Admitted)> {
    let kind = body::essence(headers)?;
    if kind != "application/json" {
        return Err(body::no_json(&kind));
    }
    let now = api.app.clock.now();
    let records_max = api.app.limits().append_records_max;
    let terms = Terms { now, partition: None, partitions: 1, records_max };
    let max = api.app.limits().request_bytes_max;
    let held = body::read(&api.admission, headers, body, max).await?;
    let reading = tokio::task::spawn_blocking(move || understand(held, &Form::Json, terms, max));
    let (batch, admitted) = reading.await.map_err(panicked)??;
    Ok((batch.records, admitted))
}

/// What the body is.
#[derive(Clone, Debug)]
enum Form {
    Json,
    Lines { key: Option<Pointer> },
    Envelopes,
    Text,
    One { kind: String, key: Option<Vec<u8>> },
}

impl Form {
    fn of(query: &mut Query, headers: &HeaderMap) -> ApiResult<Self> {
        let kind = body::essence(headers)?;
        let key = query.parsed("key", Pointer::parse)?;
        let is_envelope = query.flag("envelope")?;
        let own_key = headers.get("millstream-key").map(|key| key.as_bytes().to_vec());
        let is_lines = kind == "application/x-ndjson";
        if !is_lines && (key.is_some() || is_envelope) {
            let name = if is_envelope { "envelope" } else { "key" };
            return Err(invalid(name, "goes with the content type application/x-ndjson only"));
        }
        let form = match kind.as_str() {
            "application/json" => Self::Json,
            "application/x-ndjson" if is_envelope && key.is_some() => {
                return Err(invalid("key", "an envelope says its key itself"));
            }
            "application/x-ndjson" if is_envelope => Self::Envelopes,
            "application/x-ndjson" => Self::Lines { key },
            "text/plain" => Self::Text,
            // What curl sends unless told otherwise: kept as one value it would be a surprise.
            "application/x-www-form-urlencoded" | "multipart/form-data" => {
                return Err(ApiError::new(
                    Code::UnsupportedContentType,
                    format!("`{kind}` is a form's content type: say what the body is"),
                )
                .field(CONTENT_TYPE)
                .hint("with curl: -H 'content-type: application/json'"));
            }
            _ => Self::One { kind, key: own_key.clone() },
        };
        if own_key.is_some() && !matches!(form, Self::One { .. }) {
            let message = "`Millstream-Key` goes with a body that is one value";
            return Err(ApiError::new(Code::InvalidHeader, message)
                .field("millstream-key")
                .hint("give each record its `key`, or ?key= with JSON lines"));
        }
        Ok(form)
    }
}

impl Held {
    /// Whether it is read faster than handed to another thread.
    fn is_light(&self) -> bool {
        self.bytes.len() <= INLINE_BYTES_MAX && self.packing == Packing::Plain
    }
}

fn panicked(error: tokio::task::JoinError) -> ApiError {
    tracing::error!(%error, "reading a body");
    ApiError::new(Code::Internal, "the server has a bug: reading the body panicked")
}

/// From bytes to a batch. Costs CPU.
fn understand(
    held: Held,
    form: &Form,
    terms: Terms,
    max: usize,
) -> ApiResult<(AppendBatch, Admitted)> {
    let (bytes, admitted) = held.unpack(max)?;
    let mut draft = Draft::new(terms, bytes.len());
    match form {
        Form::Json => json::read(&bytes, &mut draft)?,
        Form::Lines { key } => lines::read_json(&bytes, key.as_ref(), &mut draft)?,
        Form::Envelopes => lines::read_envelopes(&bytes, &mut draft)?,
        Form::Text => lines::read_text(&bytes, &mut draft)?,
        Form::One { kind, key } => {
            let mut headers = HeadersBuf::default();
            if !kind.is_empty() {
                headers.push(CONTENT_TYPE, kind.as_bytes());
            }
            let headers = headers.as_headers();
            let record = New { key: key.as_deref(), headers, ..New::value(&bytes) };
            draft.push(&record, &|| "records[0]".into());
        }
    }
    Ok((draft.finish()?, admitted))
}

pub(super) fn partition_of(text: &str) -> Result<PartitionId, String> {
    text.parse().map(PartitionId).map_err(|_| format!("`{text}` is no partition: give a number"))
}

pub(super) fn known_partition(topic: &TopicInfo, partition: PartitionId) -> ApiResult<()> {
    let partitions = topic.spec.partitions;
    if partition.0 < partitions {
        return Ok(());
    }
    let (name, last) = (&topic.spec.name, partitions - 1);
    let message = format!("topic `{name}` has no partition {partition}, only 0 to {last}");
    Err(ApiError::new(Code::PartitionNotFound, message).field("partition"))
}

fn refused(error: AppendError, topic: &TopicInfo) -> ApiError {
    let message = error.to_string();
    match error {
        AppendError::NoTopic(_) => topic_not_found(topic.spec.name.as_str()),
        AppendError::NoPartition { .. } => {
            ApiError::new(Code::PartitionNotFound, message).field("partition")
        }
        AppendError::Empty => ApiError::new(Code::InvalidBody, message).field("records"),
        AppendError::RecordTooLarge { index, .. } => {
            ApiError::new(Code::RecordTooLarge, message).field(format!("records[{index}]"))
        }
        AppendError::TooLarge { .. } => ApiError::new(Code::BodyTooLarge, message),
        AppendError::Scattered { .. } => ApiError::new(Code::InvalidHeader, message)
            .field(EXPECTED_END)
            .hint("name the partition: ?partition=0"),
        AppendError::EndMoved { .. } => ApiError::new(Code::PreconditionFailed, message)
            .field(EXPECTED_END)
            .hint("read what came in between, and decide anew"),
        AppendError::Unavailable(why) => why.into(),
        AppendError::Unknown => ApiError::new(Code::AppendUnknown, message)
            .hint("read the end of the topic before you send it again"),
    }
}

fn show(appended: &Appended) -> String {
    let records: usize = appended.runs.iter().map(|run| run.records as usize).sum();
    let mut shown = String::with_capacity(64 + records.min(PLACES_MAX) * 36);
    let mut put = |text: std::fmt::Arguments<'_>| {
        shown.write_fmt(text).expect("a string takes all");
    };
    put(format_args!("{{\"records\":{records},\"appended\":["));
    let mut comma = "";
    for run in &appended.runs {
        let (partition, first) = (run.partition, run.offset.0);
        if records > PLACES_MAX {
            let records = run.records;
            put(format_args!(
                "{comma}{{\"partition\":{partition},\"offset\":{first},\"records\":{records}}}"
            ));
            comma = ",";
            continue;
        }
        for offset in first..first + u64::from(run.records) {
            put(format_args!("{comma}{{\"partition\":{partition},\"offset\":{offset}}}"));
            comma = ",";
        }
    }
    put(format_args!("]}}\n"));
    shown
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::response::IntoResponse as _;
    use log_contract::{
        AppendedRun, LogUnavailable, Offset, Timestamp, TopicId, TopicName, TopicSpec,
    };

    use super::*;

    fn runs(runs: &[(u32, u64, u32)]) -> Appended {
        let run = |(partition, offset, records): &(u32, u64, u32)| AppendedRun {
            partition: PartitionId(*partition),
            offset: Offset(*offset),
            records: *records,
        };
        Appended { runs: runs.iter().map(run).collect(), appended_at: Timestamp(0) }
    }

    #[test]
    fn an_append_that_was_not_taken_tells_what_to_do() {
        let topic = TopicInfo {
            id: TopicId(1),
            spec: TopicSpec::new(TopicName::parse("t").expect("a name"), 1),
        };
        let full = LogUnavailable::StorageFull { retry_after: Duration::from_secs(7) };
        for (error, status, code) in [
            (AppendError::Unknown, 504, "append_unknown"),
            (AppendError::Unavailable(full), 503, "storage_full"),
            (AppendError::Unavailable(LogUnavailable::Closed), 503, "shutting_down"),
            (AppendError::NoTopic(TopicId(1)), 404, "topic_not_found"),
            (AppendError::RecordTooLarge { index: 3, bytes: 9, max: 8 }, 413, "record_too_large"),
        ] {
            let refused = refused(error, &topic);
            assert_eq!(refused.code().name(), code);
            let response = refused.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key("retry-after"), status == 503);
        }
    }

    #[test]
    fn few_places_are_told_one_by_one_and_many_by_run() {
        assert_eq!(
            show(&runs(&[(2, 17, 2), (0, 5, 1)])),
            "{\"records\":3,\"appended\":[{\"partition\":2,\"offset\":17},{\"partition\":2,\"offset\":18},{\"partition\":0,\"offset\":5}]}\n"
        );
        assert_eq!(
            show(&runs(&[(0, 7, 1_000), (1, 0, 1)])),
            "{\"records\":1001,\"appended\":[{\"partition\":0,\"offset\":7,\"records\":1000},{\"partition\":1,\"offset\":0,\"records\":1}]}\n"
        );
    }
}
