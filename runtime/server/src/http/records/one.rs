//! `GET /v1/topics/{topic}/partitions/{p}/records/{offset}`: one record, or its bytes alone.
use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri},
    response::Response,
};
use log_contract::{
    Offset, PartitionId, PartitionRef, ReadBudget, ReadError, RecordBatch, TopicInfo,
};

use super::{
    append::known_partition,
    page::refused,
    read::{JSON, in_pieces},
};
use crate::http::{
    Api,
    body::Admitted,
    error::{ApiError, ApiResult, Code},
    params::{PathArgs, negotiate, no_query},
    wire::record,
};

const BYTES: &str = "application/octet-stream";

pub(crate) async fn one(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let (name, partition, offset) = (path.topic()?, path.partition()?, path.offset()?);
    let kind = negotiate(&headers, &[JSON, BYTES])?;
    no_query(&uri)?;
    let topic = api.topic(&name)?;
    known_partition(&topic, partition)?;
    let batch = find(&api, &topic, partition, offset).await?;
    let found = batch.record(0);
    let mut admitted = Admitted::NOTHING;
    api.answers.admit(&mut admitted, batch.bytes(0..1) * 2).await?;
    if kind == JSON {
        let mut out = Vec::new();
        let attributes = batch.attributes().map(AsRef::as_ref);
        record::write(&mut out, Some(record::Place { partition }), &found, attributes);
        out.push(b'\n');
        return Ok(in_pieces(JSON, out, admitted));
    }
    let mut response = match found.value {
        Some(value) => in_pieces(BYTES, value.to_vec(), admitted),
        // A tombstone has no bytes, not even none.
        None => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
    };
    if let Some(Ok(key)) = found.key.map(HeaderValue::from_bytes) {
        response.headers_mut().insert("millstream-key", key);
    }
    Ok(response)
}

/// The record as a batch of one.
pub(crate) async fn find(
    api: &Api,
    topic: &TopicInfo,
    partition: PartitionId,
    offset: Offset,
) -> ApiResult<RecordBatch> {
    let name = &topic.spec.name;
    let place = PartitionRef::new(topic.id, partition);
    let budget = ReadBudget { records_max: 1, bytes_max: 1, wait_max: Duration::ZERO };
    let missing = |why: String| {
        let message = format!("record {offset} of `{name}/{partition}` not found");
        ApiError::new(Code::RecordNotFound, message).hint(why)
    };
    let page = match api.app.log.read(place, offset, budget).await {
        Ok(page) => page,
        Err(ReadError::Trimmed { start }) => {
            return Err(missing(format!("retention took it: the first that is there is {start}")));
        }
        Err(error) => return Err(refused(error, topic)),
    };
    match page.batches.first() {
        Some(batch) if batch.offset(0) == offset => Ok(batch.slice(0..1)),
        _ => Err(missing(format!("the next record of this partition will be {}", page.end))),
    }
}
