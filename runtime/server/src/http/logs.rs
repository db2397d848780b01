//! `/v1/functions/{function}/logs`: what a function wrote, newest lines or followed. Never the program's own
//! log.
use std::{collections::VecDeque, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::{
    OwnedSemaphorePermit,
    broadcast::{Receiver, error::RecvError},
};
use tokio_util::sync::CancellationToken;

use super::{
    Api, answer,
    error::ApiResult,
    functions,
    params::{PathArgs, Query, negotiate},
    records::{EVENTS, JSON, SIGN_OF_LIFE, events},
    wire::function::show_line,
};
use crate::drive::Line;

const LIMIT: u64 = 100;

pub(crate) async fn logs(
    State(api): State<Arc<Api>>,
    path: PathArgs,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let name = path.function()?;
    let kind = negotiate(&headers, &[JSON, EVENTS])?;
    let mut query = Query::of(&uri)?;
    let most = api.app.limits().function_log_lines as u64;
    let limit = query.integer("limit", LIMIT.min(most), 0, most)? as usize;
    query.finish()?;
    functions::find(&api, &name)?;
    let kept = api.app.supervisor.function_logs();
    if kind == JSON {
        let shown = kept.newest(&name, limit).iter().map(|line| show_line(line)).collect();
        return Ok(answer::ok(&answer::list("logs", shown, None)));
    }
    let permit = api.follower()?;
    // First follow, then look back: so none falls between, and what is in both is told once.
    let lines = kept.follow(&name);
    let before = VecDeque::from(kept.newest(&name, limit));
    let told = before.iter().cloned().collect();
    let stop = api.stop.clone();
    let follower = Follower { before, told, lines, stop, _permit: permit };
    let pieces = futures::stream::unfold(follower, |mut follower| async {
        let piece = follower.next().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), follower))
    });
    Ok(events(Body::from_stream(pieces)))
}

struct Follower {
    before: VecDeque<Arc<Line>>,
    /// What was there when following began; empty as soon as a line came that is not of it.
    told: Vec<Arc<Line>>,
    lines: Receiver<Arc<Line>>,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(line) = self.before.pop_front() {
            return Some(event(&line));
        }
        loop {
            let received = tokio::select! {
                received = self.lines.recv() => received,
                () = tokio::time::sleep(SIGN_OF_LIFE) => {
                    return Some(Bytes::from_static(b": still here\n\n"));
                }
                () = self.stop.cancelled() => return None,
            };
            match received {
                Ok(line) if self.told.iter().any(|told| Arc::ptr_eq(told, &line)) => {}
                Ok(line) => {
                    self.told.clear();
                    return Some(event(&line));
                }
                Err(RecvError::Lagged(missed)) => {
                    let data = json!({"missed": missed});
                    return Some(format!("event: gone\ndata: {data}\n\n").into());
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn event(line: &Line) -> Bytes {
    format!("data: {}\n\n", show_line(line)).into()
}
