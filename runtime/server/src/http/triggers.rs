//! `/v1/triggers`: put, show, pause, resume, seek, delete. Never what a feed does about it.
use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use log_contract::TriggerName;
use serde_json::{Value, json};

use super::{
    Api, answer, body,
    error::{ApiError, ApiResult},
    guard::{self, with_etag},
    params::{PathArgs, Query, no_query},
    wire::{read_body, trigger as wire},
};
use crate::catalog::{Change, NotFound, Noun, PutTrigger, Trigger};

pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let name = path.trigger()?;
    no_query(&uri)?;
    let guard = guard::read(&headers)?;
    let body = body::read_settings(&api.admission, &headers, body).await?;
    let (definition, unsupported) =
        read_body(&body, |fields| wire::read_definition(&name, fields))?;
    if let Some(field) = unsupported {
        return Err(ApiError::not_supported_yet(field).hint("leave it out, or null"));
    }
    let PutTrigger { trigger, change, resumed_from } =
        api.app.catalog.put_trigger(&name, definition, guard).await?;
    let status = if change == Change::Created { StatusCode::CREATED } else { StatusCode::OK };
    let mut shown = show(&api, &trigger).await;
    if let (false, Some(fields)) = (resumed_from.is_empty(), shown.as_object_mut()) {
        fields.insert("resumed_from".into(), wire::show_resumed(&resumed_from));
    }
    Ok(with_etag(answer::json(status, &shown), trigger.etag))
}

pub(crate) async fn list(State(api): State<Arc<Api>>, uri: Uri) -> ApiResult<Response> {
    let mut query = Query::of(&uri)?;
    let page = query.page()?;
    query.finish()?;
    let all = api.app.catalog.triggers();
    let (triggers, next) = page.cut(all, |trigger: &Arc<Trigger>| trigger.name.as_str());
    let mut shown = Vec::with_capacity(triggers.len());
    for trigger in triggers {
        shown.push(show(&api, &trigger).await);
    }
    Ok(answer::ok(&answer::list("triggers", shown, next)))
}

pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
) -> ApiResult<Response> {
    no_query(&uri)?;
    let trigger = find(&api, &path.trigger()?)?;
    Ok(shown(&api, &trigger).await)
}

pub(crate) async fn pause(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let name = path.trigger()?;
    no_query(&uri)?;
    no_body(&api, &headers, body).await?;
    let trigger = api.app.supervisor.pause(&name).await?;
    Ok(shown(&api, &trigger).await)
}

pub(crate) async fn resume(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let name = path.trigger()?;
    no_query(&uri)?;
    no_body(&api, &headers, body).await?;
    let trigger = api.app.supervisor.resume(&name).await?;
    Ok(shown(&api, &trigger).await)
}

pub(crate) async fn seek(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let name = path.trigger()?;
    no_query(&uri)?;
    let body = body::read_settings(&api.admission, &headers, body).await?;
    let (to, is_dry) = read_body(&body, wire::read_seek)?;
    let report = api.app.supervisor.seek(&name, to, is_dry).await?;
    Ok(answer::ok(&wire::show_seek(&report)))
}

pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let name = path.trigger()?;
    no_query(&uri)?;
    let trigger = find(&api, &name)?;
    api.app.supervisor.delete(&name, guard::read(&headers)?).await?;
    let cursor = trigger.definition.cursor.as_str();
    Ok(answer::ok(&json!({"deleted": name.as_str(), "cursor": cursor})))
}

pub(crate) fn find(api: &Api, name: &TriggerName) -> ApiResult<Arc<Trigger>> {
    api.app.catalog.trigger(name).ok_or_else(|| {
        let hint = format!("create it: PUT /v1/triggers/{name}");
        NotFound::new(Noun::Trigger, name.as_str()).with_hint(hint).into()
    })
}

/// `{}` at most: a field would be ignored otherwise.
async fn no_body(api: &Api, headers: &HeaderMap, body: Body) -> ApiResult<()> {
    let body = body::read_settings(&api.admission, headers, body).await?;
    read_body(&body, |_| Some(()))
}

async fn show(api: &Api, trigger: &Trigger) -> Value {
    let status = api.app.supervisor.status(&trigger.name).await;
    wire::show(trigger, &guard::show(trigger.etag), status.as_ref())
}

async fn shown(api: &Api, trigger: &Trigger) -> Response {
    with_etag(answer::ok(&show(api, trigger).await), trigger.etag)
}
