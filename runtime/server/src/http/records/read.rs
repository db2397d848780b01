//! `GET /v1/topics/{topic}/records`: as JSON, as JSON lines, or (elsewhere) followed for ever. Never how a
//! page is found.
use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    append::partition_of,
    follow,
    page::{Gone, Page, Reader},
    places::From,
};
use crate::http::{
    Api, answer,
    body::Admitted,
    error::{ApiError, ApiResult, Code},
    params::{PathArgs, Query, invalid, negotiate},
    wire::{parse_duration, record, show_duration},
};

const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 10_000;
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);
const NEXT: HeaderName = HeaderName::from_static("millstream-next");
/// Partitions whose records retention took before they were read: `0:5-17,…`.
const GONE: HeaderName = HeaderName::from_static("millstream-gone");
/// Rendering above this many bytes leaves the server's workers to others.
const INLINE_BYTES_MAX: usize = 256 << 10;
/// An answer is handed to the connection in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

pub(crate) const JSON: &str = "application/json";
pub(crate) const LINES: &str = "application/x-ndjson";
pub(crate) const EVENTS: &str = "text/event-stream";

pub(crate) async fn read(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let name = path.topic()?;
    let kind = negotiate(&headers, &[JSON, LINES, EVENTS])?;
    let mut query = Query::of(&uri)?;
    let partition = query.parsed("partition", partition_of)?;
    let from = query.parsed("from", From::parse)?.unwrap_or(From::Earliest);
    if kind == EVENTS {
        for name in ["limit", "wait"] {
            if query.take(name).is_some() {
                return Err(invalid(
                    name,
                    "does not go with `Accept: text/event-stream`, which follows for ever",
                ));
            }
        }
        query.finish()?;
        let topic = api.topic(&name)?;
        return follow::follow(api, topic, partition, follow::resumed(&headers, from)?).await;
    }
    let limit = query.integer("limit", LIMIT, 1, LIMIT_MAX)? as usize;
    let wait = wait_of(&mut query)?;
    query.finish()?;
    let topic = api.topic(&name)?;
    let log = Arc::clone(&api.app.log);
    let mut reader = Reader::start(log, topic, partition, from, api.stop.clone()).await?;
    let page = reader.next(limit, wait).await?;
    let next = reader.places().show();
    // A record is shown in at most about twice its bytes, and its places and times.
    let size = page.bytes() * 2 + page.records.len() * 256;
    let mut admitted = Admitted::NOTHING;
    api.answers.admit(&mut admitted, size).await?;
    let is_light = size <= INLINE_BYTES_MAX;
    let gone = page.gone.clone();
    let next_shown = next.clone();
    let render = move || match kind {
        LINES => render_lines(&page),
        _ => render_json(&page, &next_shown),
    };
    let body = if is_light {
        render()
    } else {
        let rendering = tokio::task::spawn_blocking(render);
        rendering.await.map_err(|_| ApiError::new(Code::Internal, "rendering panicked"))?
    };
    let mut response = in_pieces(kind, body, admitted);
    let answered = response.headers_mut();
    if let Ok(next) = HeaderValue::try_from(next) {
        answered.insert(NEXT, next);
    }
    if let (false, Ok(gone)) = (gone.is_empty(), HeaderValue::try_from(show_gone(&gone))) {
        answered.insert(GONE, gone);
    }
    Ok(response)
}

pub(crate) fn wait_of(query: &mut Query) -> ApiResult<Duration> {
    let wait = query.parsed("wait", |text| {
        parse_duration(text).and_then(|wait| match wait {
            wait if wait <= WAIT_MAX => Ok(wait),
            wait => Err(format!("{} is above {}", show_duration(wait), show_duration(WAIT_MAX))),
        })
    })?;
    Ok(wait.unwrap_or(Duration::ZERO))
}

fn render_json(page: &Page, next: &str) -> Vec<u8> {
    let mut out = b"{\"records\":[".to_vec();
    for (nth, found) in page.records.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        let place = Some(record::Place { partition: found.partition });
        let attributes = found.batch.attributes().map(AsRef::as_ref);
        record::write(&mut out, place, &found.batch.record(found.at), attributes);
    }
    out.extend_from_slice(b"],\"next\":\"");
    out.extend_from_slice(next.as_bytes());
    out.push(b'"');
    if !page.gone.is_empty() {
        let gone: Value = page.gone.iter().map(show_one_gone).collect();
        out.extend_from_slice(format!(",\"gone\":{gone}").as_bytes());
    }
    out.extend_from_slice(b"}\n");
    out
}

fn render_lines(page: &Page) -> Vec<u8> {
    let mut out = Vec::new();
    for found in &page.records {
        let place = Some(record::Place { partition: found.partition });
        let attributes = found.batch.attributes().map(AsRef::as_ref);
        record::write(&mut out, place, &found.batch.record(found.at), attributes);
        out.push(b'\n');
    }
    out
}

pub(super) fn show_one_gone(gone: &Gone) -> Value {
    let Gone { partition, from, start } = gone;
    json!({"partition": partition.0, "from": from.0, "start": start.0})
}

fn show_gone(gone: &[Gone]) -> String {
    let one = |Gone { partition, from, start }: &Gone| format!("{partition}:{from}-{start}");
    gone.iter().map(one).collect::<Vec<_>>().join(",")
}

/// So that what a slow caller has not taken yet stays counted.
pub(crate) fn in_pieces(kind: &'static str, body: Vec<u8>, admitted: Admitted) -> Response {
    if body.len() <= PIECE_BYTES {
        return answer::text(StatusCode::OK, kind, body);
    }
    let length = HeaderValue::from(body.len());
    let pieces =
        futures::stream::unfold((Bytes::from(body), admitted), async |(mut rest, held)| {
            if rest.is_empty() {
                return None;
            }
            let piece = rest.split_to(PIECE_BYTES.min(rest.len()));
            Some((Ok::<_, std::convert::Infallible>(piece), (rest, held)))
        });
    let mut response = answer::text(StatusCode::OK, kind, Body::from_stream(pieces));
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}
