//! Takes a request's body in within bounds: bytes of one, bytes of all at once, time, and what it
//! unpacks to. Never what the bytes mean.
use std::{io::Read, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    error::{ApiError, ApiResult, Code},
    wire::show_size,
};

/// What a body of settings (a topic, a trigger) may have: far above any that makes sense.
pub(crate) const SETTINGS_MAX: usize = 1 << 20;

/// Between two pieces of a body.
const PIECE_WAIT: Duration = Duration::from_secs(15);
/// Slowest pace at which a whole body may come, so that nobody holds admission for long.
const BYTES_PER_SECOND_MIN: u64 = 128 << 10;
/// What passes by of a body that is refused. None of it stays in memory.
const LINGER_BYTES_MAX: usize = 64 << 20;
const LINGER_MAX: Duration = Duration::from_secs(5);
/// So much of a body is admitted piece by piece.
const STEP: usize = 1 << 20;
const ADMISSION_WAIT: Duration = Duration::from_secs(1);
/// zstd may ask for a window as large as this power of two: the largest body.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// Bytes of bodies that are in memory at once, over all requests.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    room: Arc<Semaphore>,
    /// How long a request waits for its turn before it is told to come again.
    patience: Duration,
}

/// Counts as long as it lives.
#[derive(Debug)]
pub(crate) struct Admitted(Option<OwnedSemaphorePermit>);

impl Admission {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(bytes_max)), patience: ADMISSION_WAIT }
    }

    /// Takes room for so many bytes more, waiting a moment for others to leave.
    pub(crate) async fn admit(&self, admitted: &mut Admitted, bytes: usize) -> ApiResult<()> {
        let bytes = u32::try_from(bytes).expect("bodies are far below 4 GiB");
        let room = Arc::clone(&self.room).acquire_many_owned(bytes);
        let permit = tokio::time::timeout(self.patience, room).await.map_err(|_| too_many())?;
        let permit = permit.expect("admission is never closed");
        match &mut admitted.0 {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}

impl Admitted {
    pub(crate) const NOTHING: Self = Self(None);

    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Gives back all but `bytes`.
    fn shrink_to(&mut self, bytes: usize) {
        if let Some(held) = &mut self.0 {
            drop(held.split(held.num_permits().saturating_sub(bytes)));
        }
    }
}

/// A body that is in memory and counted.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    pub(crate) admitted: Admitted,
    /// How `bytes` are packed.
    pub(crate) packing: Packing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Reads a body of at most `max` bytes. It is not unpacked yet: that costs CPU, and the caller says where.
pub(crate) async fn read(
    admission: &Admission,
    headers: &HeaderMap,
    mut body: Body,
    max: usize,
) -> ApiResult<Held> {
    let packing = packing_of(headers)?;
    let mut admitted = Admitted::NOTHING;
    let announced = body.size_hint().exact();
    let room = match announced {
        Some(length) if length > max as u64 => return refuse(body, max).await,
        Some(length) => length as usize,
        None => 0,
    };
    let began = Instant::now();
    let mut whole = Whole::default();
    while let Some(piece) = next_piece(&mut body, began, whole.len()).await? {
        let length = whole.len() + piece.len();
        if length > max {
            return refuse(body, max).await;
        }
        // What is announced counts once some of it is there: who announces and does not send holds little,
        // and who sends much waits for all of its room at once, before it holds much.
        let wanted = if length > STEP { length.max(room) } else { length };
        let missing = wanted.saturating_sub(admitted.bytes());
        if missing > 0 {
            admission.admit(&mut admitted, missing).await?;
        }
        whole.push(piece, room);
    }
    let bytes = whole.into_bytes();
    if packing != Packing::Plain {
        admission.admit(&mut admitted, max).await?;
    }
    Ok(Held { bytes, admitted, packing })
}

/// Lets the rest of a body that is too large pass by, for a while, before it is refused: who still sends
/// when the connection closes sees a broken pipe and never the answer.
async fn refuse(mut body: Body, max: usize) -> ApiResult<Held> {
    let began = Instant::now();
    let mut passed = 0;
    while passed < LINGER_BYTES_MAX
        && began.elapsed() < LINGER_MAX
        && let Ok(Some(piece)) = next_piece(&mut body, began, passed).await
    {
        passed += piece.len();
    }
    Err(too_large(max))
}

impl Held {
    /// Unpacks, if need be, to at most `max` bytes. Costs CPU.
    pub(crate) fn unpack(mut self, max: usize) -> ApiResult<(Bytes, Admitted)> {
        let bytes = match self.packing {
            Packing::Plain => return Ok((self.bytes, self.admitted)),
            Packing::Gzip => unpacked(flate2::read::MultiGzDecoder::new(&*self.bytes), max)?,
            Packing::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(&*self.bytes);
                let mut decoder = decoder.map_err(|why| damaged(&why))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|why| damaged(&why))?;
                unpacked(decoder, max)?
            }
        };
        self.admitted.shrink_to(bytes.len());
        Ok((bytes, self.admitted))
    }
}

/// A body of settings: small, and plain or packed.
pub(crate) async fn read_settings(
    admission: &Admission,
    headers: &HeaderMap,
    body: Body,
) -> ApiResult<Bytes> {
    let kind = essence(headers)?;
    let is_json = kind.is_empty() || kind == "application/json" || kind.ends_with("+json");
    if !is_json {
        return Err(no_json(&kind));
    }
    let held = read(admission, headers, body, SETTINGS_MAX).await?;
    Ok(held.unpack(SETTINGS_MAX)?.0)
}

pub(crate) fn no_json(kind: &str) -> ApiError {
    let found = if kind.is_empty() { "none" } else { kind };
    let message = format!("this call takes `application/json`, not `{found}`");
    ApiError::new(Code::UnsupportedContentType, message)
        .field("content-type")
        .hint("with curl: -H 'content-type: application/json'")
}

/// The content type in lower case without parameters; empty if there is none.
pub(crate) fn essence(headers: &HeaderMap) -> ApiResult<String> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(String::new()) };
    let kind = kind.to_str().map_err(|_| {
        ApiError::new(Code::UnsupportedContentType, "the content type is not ASCII")
            .field("content-type")
    })?;
    Ok(kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// A header of at most one line of visible text.
pub(crate) fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> ApiResult<Option<&'a str>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| {
        ApiError::new(Code::InvalidHeader, format!("header `{name}` is not ASCII")).field(name)
    })
}

/// Pieces of a body; one alone is never copied.
#[derive(Default)]
struct Whole {
    first: Bytes,
    joined: BytesMut,
}

impl Whole {
    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn push(&mut self, piece: Bytes, room: usize) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(room.max(self.first.len() + piece.len()));
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&piece);
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

async fn next_piece(body: &mut Body, began: Instant, so_far: usize) -> ApiResult<Option<Bytes>> {
    let pace = Duration::from_secs(so_far as u64 / BYTES_PER_SECOND_MIN);
    let deadline = (began + PIECE_WAIT + pace).min(Instant::now() + PIECE_WAIT);
    loop {
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx));
        match tokio::time::timeout_at(deadline, frame).await {
            Err(_) => {
                let message = "the body came too slowly";
                return Err(ApiError::new(Code::RequestTimeout, message));
            }
            Ok(None) => return Ok(None),
            Ok(Some(Err(why))) => {
                let message = format!("the body broke off: {why}");
                return Err(ApiError::new(Code::InvalidBody, message));
            }
            // Trailers say nothing here.
            Ok(Some(Ok(frame))) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

fn packing_of(headers: &HeaderMap) -> ApiResult<Packing> {
    match text_header(headers, header::CONTENT_ENCODING.as_str())?.map(str::trim) {
        None | Some("" | "identity") => Ok(Packing::Plain),
        Some("gzip" | "x-gzip") => Ok(Packing::Gzip),
        Some("zstd") => Ok(Packing::Zstd),
        Some(other) => Err(ApiError::new(
            Code::UnsupportedEncoding,
            format!("`{other}` is not understood: `gzip` and `zstd` are"),
        )
        .field("content-encoding")),
    }
}

fn unpacked(packed: impl Read, max: usize) -> ApiResult<Bytes> {
    let mut bytes = Vec::new();
    packed.take(max as u64 + 1).read_to_end(&mut bytes).map_err(|why| damaged(&why))?;
    if bytes.len() > max { Err(too_large(max)) } else { Ok(bytes.into()) }
}

fn damaged(why: &std::io::Error) -> ApiError {
    ApiError::new(Code::InvalidBody, format!("the body does not unpack: {why}"))
        .field("content-encoding")
}

fn too_large(max: usize) -> ApiError {
    let max = show_size(max as u64);
    ApiError::new(Code::BodyTooLarge, format!("the body is larger than {max}"))
        .hint(format!("send at most {max} (unpacked) in one request"))
}

fn too_many() -> ApiError {
    ApiError::new(Code::TooManyBytes, "other requests fill what may be taken in at once")
        .retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn held(bytes: Vec<u8>, packing: Packing) -> Held {
        Held { bytes: bytes.into(), admitted: Admitted::NOTHING, packing }
    }

    #[test]
    fn packed_bodies_are_unpacked_within_their_bound() {
        let plain = vec![b'a'; 100_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).expect("into memory");
        let gzip = gzip.finish().expect("into memory");
        let zstd = zstd::bulk::compress(&plain, 1).expect("into memory");
        for (packed, packing) in [(gzip, Packing::Gzip), (zstd, Packing::Zstd)] {
            assert!(packed.len() < 1_000);
            let (bytes, _) = held(packed.clone(), packing).unpack(100_000).expect("fits");
            assert_eq!(bytes, plain);
            let bomb = held(packed.clone(), packing).unpack(99_999).expect_err("a bomb");
            assert_eq!(bomb.code(), Code::BodyTooLarge);
            let cut = held(packed[..packed.len() / 2].to_vec(), packing).unpack(100_000);
            assert_eq!(cut.expect_err("cut").code(), Code::InvalidBody);
        }
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_joined_and_counted_until_it_is_dropped() {
        let admission = Admission::new(10);
        let pieces = ["ab", "cd", "e"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        let body = Body::from_stream(futures::stream::iter(pieces));
        let held = read(&admission, &HeaderMap::new(), body, 5).await.expect("fits");
        assert_eq!(held.bytes, "abcde");
        assert_eq!(admission.room.available_permits(), 5);
        drop(held);
        assert_eq!(admission.room.available_permits(), 10);
        let error = read(&admission, &HeaderMap::new(), Body::from("abcdef"), 5).await;
        assert_eq!(error.expect_err("too large").code(), Code::BodyTooLarge);
    }

    #[tokio::test]
    async fn who_finds_no_room_is_told_to_come_again() {
        let admission = Admission { patience: Duration::ZERO, ..Admission::new(10) };
        let mut first = Admitted::NOTHING;
        admission.admit(&mut first, 8).await.expect("room");
        let error = read(&admission, &HeaderMap::new(), Body::from("abc"), 5).await;
        assert_eq!(error.expect_err("full").code(), Code::TooManyBytes);
        first.shrink_to(7);
        assert!(read(&admission, &HeaderMap::new(), Body::from("abc"), 5).await.is_ok());
    }

    /// Says that it is long, and says no more.
    struct Announced(u64);

    impl axum::body::HttpBody for Announced {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }

        fn size_hint(&self) -> hyper::body::SizeHint {
            hyper::body::SizeHint::with_exact(self.0)
        }
    }

    #[tokio::test]
    async fn who_announces_a_body_and_does_not_send_it_takes_no_room() {
        let admission = Admission { patience: Duration::ZERO, ..Admission::new(10) };
        let headers = HeaderMap::new();
        let mut silent = std::pin::pin!(read(&admission, &headers, Body::new(Announced(9)), 9));
        assert!(futures::FutureExt::now_or_never(silent.as_mut()).is_none());
        assert!(read(&admission, &headers, Body::from("abcde"), 5).await.is_ok());
    }
}
