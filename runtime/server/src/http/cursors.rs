//! `/v1/cursors`: the positions that outlive their triggers. Never moved here: a trigger's seek does that.
use std::sync::Arc;

use axum::{extract::State, http::Uri, response::Response};
use log_contract::{CursorInfo, CursorPosition};
use serde_json::{Value, json};

use super::{
    Api, answer,
    error::ApiResult,
    params::{PathArgs, Query, no_query},
};

pub(crate) async fn list(State(api): State<Arc<Api>>, uri: Uri) -> ApiResult<Response> {
    let mut query = Query::of(&uri)?;
    let page = query.page()?;
    query.finish()?;
    let all = api.app.catalog.cursors().await?;
    let all = all.into_iter().filter(|cursor| !cursor.name.is_internal()).collect();
    let (cursors, next) = page.cut(all, |cursor: &CursorInfo| cursor.name.as_str());
    let shown = cursors.iter().map(|cursor| show(&api, cursor));
    Ok(answer::ok(&answer::list("cursors", shown.collect(), next)))
}

pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
) -> ApiResult<Response> {
    let cursor = path.cursor()?;
    no_query(&uri)?;
    api.app.catalog.delete_cursor(&cursor).await?;
    Ok(answer::ok(&json!({"deleted": cursor.as_str()})))
}

fn show(api: &Api, cursor: &CursorInfo) -> Value {
    let triggers =
        api.app.catalog.triggers_with(|trigger| trigger.definition.cursor == cursor.name);
    let position = |CursorPosition { topic, partition, progress }: &CursorPosition| {
        let name = api.app.catalog.topics().by_id(*topic).map(|topic| topic.spec.name.to_string());
        json!({
            "topic": name, "partition": partition.0, "next": progress.next().0,
            "finished_ahead": progress.ahead().len(),
        })
    };
    json!({
        "name": cursor.name.as_str(),
        "trigger": triggers.first().map(AsRef::<str>::as_ref),
        "in_use": cursor.in_use,
        "positions": cursor.positions.iter().map(position).collect::<Vec<_>>(),
    })
}
