//! `/v1/functions`: upload, show, set, delete, invoke. Never what a component is: the catalogue asks the
//! sandbox.
use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use log_contract::FunctionName;
use serde_json::json;

use super::{
    Api, answer, body,
    error::{ApiError, ApiResult, Code},
    guard::{self, with_etag},
    params::{PathArgs, Query, no_query},
    records::{self, in_pieces},
    wire::{function as wire, read_body},
};
use crate::catalog::{Change, Function, FunctionRef, NotFound, Noun, PutVersion, Resolved};

const WASM: &str = "application/wasm";

pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let name = path.function()?;
    no_query(&uri)?;
    let kind = body::essence(&headers)?;
    if kind != WASM {
        let found = if kind.is_empty() { "none" } else { &kind };
        let message = format!("a component comes with the content type `{WASM}`, not `{found}`");
        return Err(ApiError::new(Code::UnsupportedContentType, message)
            .field("content-type")
            .hint(format!("with curl: -H 'content-type: {WASM}' --data-binary @{name}.wasm")));
    }
    let guard = guard::read(&headers)?;
    let before = api.app.catalog.function(&name);
    guard::check(guard, before.map(|function| function.etag))?;
    let max = api.app.limits().component_bytes_max;
    let held = body::read(&api.uploads, &headers, body, max).await?;
    let unpacking = tokio::task::spawn_blocking(move || held.unpack(max));
    let unpacked =
        unpacking.await.map_err(|_| ApiError::new(Code::Internal, "unpacking panicked"))?;
    let (component, _admitted) = unpacked?;
    let PutVersion { function, version, change } =
        api.app.catalog.put_version(&name, component).await?;
    let status = if change == Change::Created { StatusCode::CREATED } else { StatusCode::OK };
    let shown = wire::show_version(name.as_str(), &version);
    Ok(with_etag(answer::json(status, &shown), function.etag))
}

pub(crate) async fn list(State(api): State<Arc<Api>>, uri: Uri) -> ApiResult<Response> {
    let mut query = Query::of(&uri)?;
    let page = query.page()?;
    query.finish()?;
    let all = api.app.catalog.functions();
    let (functions, next) = page.cut(all, |function: &Arc<Function>| function.name.as_str());
    let shown = functions.iter().map(|function| wire::show(function, &guard::show(function.etag)));
    Ok(answer::ok(&answer::list("functions", shown.collect(), next)))
}

pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
) -> ApiResult<Response> {
    no_query(&uri)?;
    let function = find(&api, &path.function()?)?;
    Ok(shown(&function))
}

pub(crate) async fn versions(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
) -> ApiResult<Response> {
    let function = find(&api, &path.function()?)?;
    let mut query = Query::of(&uri)?;
    let limit = query.integer("limit", 100, 1, 1_000)? as usize;
    let after = query.integer("after", 0, 0, u64::from(u32::MAX))?;
    query.finish()?;
    let mut rest = function.versions.iter().filter(|version| u64::from(version.version) > after);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.next().and_then(|_| page.last()).map(|last| last.version.to_string());
    let shown = page.iter().map(|version| wire::show_version(function.name.as_str(), version));
    Ok(answer::ok(&answer::list("versions", shown.collect(), next)))
}

pub(crate) async fn version(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
) -> ApiResult<Response> {
    no_query(&uri)?;
    let Resolved { function, version } = resolve(&api, &path)?;
    Ok(answer::ok(&wire::show_version(function.name.as_str(), &version)))
}

pub(crate) async fn component(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
) -> ApiResult<Response> {
    no_query(&uri)?;
    let Resolved { version, .. } = resolve(&api, &path)?;
    match api.app.catalog.artifacts().component(version.digest).await {
        Ok(Some(bytes)) => Ok(answer::text(StatusCode::OK, WASM, bytes)),
        Ok(None) => Err(damaged(format!("component `{}` is not in the store", version.digest))),
        Err(log_contract::BlobError::Unavailable(why)) => Err(why.into()),
        Err(error @ log_contract::BlobError::Damaged(_)) => Err(damaged(error.to_string())),
    }
}

pub(crate) async fn patch(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let name = path.function()?;
    no_query(&uri)?;
    let guard = guard::read(&headers)?;
    let body = body::read_settings(&api.admission, &headers, body).await?;
    let patch = read_body(&body, |fields| Some(wire::read_patch(fields)))?;
    let function = api.app.catalog.patch_function(&name, patch, guard).await?;
    Ok(shown(&function))
}

pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let name = path.function()?;
    no_query(&uri)?;
    let function = find(&api, &name)?;
    guard::check(guard::read(&headers)?, Some(function.etag))?;
    api.app.catalog.delete_function(&name).await?;
    Ok(answer::ok(&json!({"deleted": name.as_str()})))
}

pub(crate) async fn invoke(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let function = reference(path.text("function"))?;
    no_query(&uri)?;
    // Before the body is read: most that is wrong with such a call is the name.
    api.app.catalog.resolve(&function)?;
    let _turn = api.invocation()?;
    let (batch, _admitted) = records::read_for_invocation(&api, &headers, body).await?;
    let once = api.app.supervisor.invoke_once(&function, batch).await?;
    match wire::show_once(&once) {
        Ok(shown) => Ok(in_pieces("application/json", shown, body::Admitted::NOTHING)),
        Err(fault) => {
            let message = format!("the host cannot run the function now: {}", fault.reason);
            Err(ApiError::new(Code::SandboxUnavailable, message)
                .retry_after(std::time::Duration::from_secs(1)))
        }
    }
}

fn shown(function: &Function) -> Response {
    let etag = guard::show(function.etag);
    with_etag(answer::ok(&wire::show(function, &etag)), function.etag)
}

pub(crate) fn find(api: &Api, name: &FunctionName) -> ApiResult<Arc<Function>> {
    api.app.catalog.function(name).ok_or_else(|| {
        let hint = format!("upload it: PUT /v1/functions/{name}");
        NotFound::new(Noun::Function, name.as_str()).with_hint(hint).into()
    })
}

/// `/versions/{v}`: a number, an alias, or a digest.
fn resolve(api: &Api, path: &PathArgs) -> ApiResult<Resolved> {
    let text = format!("{}@{}", path.text("function"), path.text("version"));
    Ok(api.app.catalog.resolve(&reference(&text)?)?)
}

fn reference(text: &str) -> ApiResult<FunctionRef> {
    text.parse().map_err(|why: crate::catalog::FunctionRefError| {
        ApiError::new(Code::InvalidName, why.to_string())
    })
}

fn damaged(message: String) -> ApiError {
    ApiError::new(Code::Damaged, message)
}
