//! Follows a topic for ever as server-sent events. An event's id is the place behind it, so `Last-Event-ID`
//! goes on exactly there. Never a record that a reader with a page would not see.
use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use log_contract::{Offset, PartitionId, TopicInfo};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    page::{Found, Page, Reader},
    places::{From, Places},
    read::{EVENTS, show_one_gone},
};
use crate::http::{
    Api, answer,
    body::{Admitted, text_header},
    error::{ApiError, ApiResult, Code},
    wire::record,
};

/// A line at least this often, so that both sides know that the other is there.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Records of one piece.
const PAGE_RECORDS: usize = 1_000;
/// Bytes of one piece, as there may be a thousand followers. One record alone may be larger: it counts
/// among the answers on their way out.
const PIECE_BYTES_MAX: usize = 256 << 10;
/// Above so many partitions a place is told once a page only: it is as long as they are many.
const PLACED_PARTITIONS_MAX: usize = 64;

/// `Last-Event-ID` wins over `from`.
pub(super) fn resumed(headers: &HeaderMap, from: From) -> ApiResult<From> {
    let Some(id) = text_header(headers, "last-event-id")? else { return Ok(from) };
    Places::parse(id).map(From::Places).ok_or_else(|| {
        ApiError::new(Code::InvalidHeader, format!("`{id}` is no id of an event of ours"))
            .field("last-event-id")
    })
}

pub(super) async fn follow(
    api: Arc<Api>,
    topic: Arc<TopicInfo>,
    partition: Option<PartitionId>,
    from: From,
) -> ApiResult<Response> {
    let permit = api.follower()?;
    let log = Arc::clone(&api.app.log);
    let reader = Reader::start(log, topic, partition, from, api.stop.clone()).await?;
    let reader = reader.in_pages_of(PIECE_BYTES_MAX);
    let pieces =
        futures::stream::unfold(Follower::new(api, reader, permit), |mut follower| async {
            let piece = follower.next().await?;
            Some((Ok::<_, std::convert::Infallible>(piece), follower))
        });
    Ok(events(Body::from_stream(pieces)))
}

/// An answer that does not end, past all caches.
pub(crate) fn events(body: Body) -> Response {
    let mut response = answer::text(StatusCode::OK, EVENTS, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct Follower {
    api: Arc<Api>,
    reader: Reader,
    /// Places behind each record of the page that is being told.
    behind: Places,
    is_new: bool,
    is_over: bool,
    /// The piece that the connection has now, if it is large.
    held: Admitted,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn new(api: Arc<Api>, reader: Reader, permit: OwnedSemaphorePermit) -> Self {
        let (behind, held) = (reader.places().clone(), Admitted::NOTHING);
        Self { api, reader, behind, is_new: true, is_over: false, held, _permit: permit }
    }

    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.is_new) {
            // Something at once: the caller knows that it is heard.
            return Some(Bytes::from_static(b": following\n\n"));
        }
        if self.is_over || self.reader.is_stopped() {
            return None;
        }
        self.held = Admitted::NOTHING;
        match self.piece().await {
            Ok(None) if self.reader.is_stopped() => None,
            Ok(None) => Some(Bytes::from_static(b": still here\n\n")),
            Ok(piece) => piece,
            Err(error) => {
                self.is_over = true;
                Some(format!("event: error\ndata: {}\n\n", error.to_json()).into())
            }
        }
    }

    /// `None`: nothing came.
    async fn piece(&mut self) -> ApiResult<Option<Bytes>> {
        let page = self.reader.next(PAGE_RECORDS, SIGN_OF_LIFE).await?;
        if page.records.is_empty() && page.gone.is_empty() {
            return Ok(None);
        }
        let bytes = page.bytes();
        if bytes > PIECE_BYTES_MAX {
            self.api.answers.admit(&mut self.held, bytes * 2).await?;
        }
        Ok(Some(self.told(&page).into()))
    }

    fn told(&mut self, page: &Page) -> Vec<u8> {
        let mut out = Vec::new();
        for gone in &page.gone {
            self.behind.0.insert(gone.partition, gone.start);
            let shown = format!("event: gone\ndata: {}\n\n", show_one_gone(gone));
            out.extend_from_slice(shown.as_bytes());
        }
        let is_placed = self.behind.0.len() <= PLACED_PARTITIONS_MAX;
        let nexts = self.nexts(page);
        let last = page.records.len().saturating_sub(1);
        for (nth, (found, next)) in page.records.iter().zip(nexts).enumerate() {
            let Found { partition, batch, at } = found;
            self.behind.0.insert(*partition, next);
            if nth == last {
                self.behind.clone_from(self.reader.places());
            }
            if is_placed || nth == last {
                out.extend_from_slice(format!("id: {}\n", self.behind.show()).as_bytes());
            }
            out.extend_from_slice(b"data: ");
            let place = Some(record::Place { partition: *partition });
            let attributes = batch.attributes().map(AsRef::as_ref);
            record::write(&mut out, place, &batch.record(*at), attributes);
            out.extend_from_slice(b"\n\n");
        }
        out
    }

    /// Where reading goes on behind each record: at the next one of its partition, and behind the last of
    /// a partition where the reader stands. Only a log knows what follows an offset.
    fn nexts(&self, page: &Page) -> Vec<Offset> {
        let mut ahead = self.reader.places().0.clone();
        let backwards = page.records.iter().rev().map(|found| {
            let offset = found.batch.offset(found.at);
            ahead.insert(found.partition, offset).expect("the reader stands in each partition")
        });
        let mut nexts: Vec<_> = backwards.collect();
        nexts.reverse();
        nexts
    }
}
