//! `/v1/topics`: create, show, list, delete. Never their records.
use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use log_contract::{PartitionId, PartitionRef, ReadError, TopicInfo};
use serde_json::{Value, json};

use super::{
    Api, answer, body,
    error::{ApiError, ApiResult},
    guard::{self, with_etag},
    params::{PathArgs, Query, no_query},
    records::refused_read,
    wire::{read_body, topic as wire},
};
use crate::catalog::{Change, PutTopic, Topics};

pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let name = path.topic()?;
    no_query(&uri)?;
    let guard = guard::read(&headers)?;
    let body = body::read_settings(&api.admission, &headers, body).await?;
    let spec = read_body(&body, |fields| Some(wire::read_spec(name.clone(), fields)))?;
    if let Some(field) = wire::unsupported(&spec) {
        return Err(ApiError::not_supported_yet(field).hint("leave it out: the default is kept"));
    }
    let grows = api.app.catalog.topics().get(&name).map(|before| before.spec.partitions);
    if grows.is_some_and(|before| before < spec.partitions) {
        return Err(ApiError::not_supported_yet("partitions")
            .hint("a topic cannot grow yet: make a new one with more, and a trigger that copies"));
    }
    let PutTopic { topic, change } = api.app.catalog.topics().put(spec, guard).await?;
    let status = if change == Change::Created { StatusCode::CREATED } else { StatusCode::OK };
    let shown = show(&api, &topic).await?;
    Ok(with_etag(answer::json(status, &shown), Topics::etag(&topic)))
}

pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
) -> ApiResult<Response> {
    no_query(&uri)?;
    let topic = api.topic(&path.topic()?)?;
    Ok(with_etag(answer::ok(&show(&api, &topic).await?), Topics::etag(&topic)))
}

pub(crate) async fn list(State(api): State<Arc<Api>>, uri: Uri) -> ApiResult<Response> {
    let mut query = Query::of(&uri)?;
    let page = query.page()?;
    query.finish()?;
    let all = api.app.catalog.topics().list();
    let all = all.into_iter().filter(|topic| !topic.spec.name.is_internal()).collect();
    let (topics, next) = page.cut(all, |topic: &Arc<TopicInfo>| topic.spec.name.as_str());
    let mut shown = Vec::with_capacity(topics.len());
    for topic in topics {
        match look_at(&api, &topic).await {
            Ok(topic) => shown.push(topic),
            // Deleted since it was listed: gone from the log before it is from the catalogue.
            Err(ReadError::NoPartition(_)) => {}
            Err(error) => return Err(refused_read(error, &topic)),
        }
    }
    Ok(answer::ok(&answer::list("topics", shown, next)))
}

pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let name = path.topic()?;
    let mut query = Query::of(&uri)?;
    let is_forced = query.flag("force")?;
    query.finish()?;
    let topic = api.topic(&name)?;
    guard::check(guard::read(&headers)?, Some(Topics::etag(&topic)))?;
    let stopped =
        if is_forced { api.app.supervisor.stop_users_of(&name).await? } else { Vec::new() };
    api.app.catalog.delete_topic(&name, is_forced).await?;
    let stopped: Vec<&str> = stopped.iter().map(AsRef::as_ref).collect();
    Ok(answer::ok(&json!({"deleted": name.as_str(), "stopped": stopped})))
}

async fn show(api: &Api, topic: &TopicInfo) -> ApiResult<Value> {
    look_at(api, topic).await.map_err(|error| refused_read(error, topic))
}

async fn look_at(api: &Api, topic: &TopicInfo) -> Result<Value, ReadError> {
    let mut bounds = Vec::with_capacity(topic.spec.partitions as usize);
    for partition in (0..topic.spec.partitions).map(PartitionId) {
        let place = PartitionRef::new(topic.id, partition);
        bounds.push((partition, api.app.log.bounds(place).await?));
    }
    Ok(wire::show(&topic.spec, &bounds))
}
