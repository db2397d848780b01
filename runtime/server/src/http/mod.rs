//! The HTTP API: what a caller says, as calls of the parts, and what they answer, as JSON. Straight-line
//! code; never a decision of the domain.
mod answer;
mod auth;
mod body;
mod cursors;
mod dead_letters;
mod error;
mod functions;
mod guard;
mod listen;
mod logs;
mod ops;
mod params;
mod records;
mod refusals;
mod router;
#[cfg(test)]
mod tests;
mod topics;
mod triggers;
mod wire;

use std::sync::Arc;

use axum::Router;
use log_contract::{TopicInfo, TopicName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use answer::RequestIds;
use body::Admission;
use error::{ApiError, ApiResult, Code};

pub use auth::Access;
pub use listen::{Bounds, serve, serve_within};
pub use wire::{parse_duration, parse_instant, parse_size, show_duration, show_instant, show_size};

/// Bytes of answers that callers have not taken yet, all together. One is at most about 10 MiB.
const ANSWERS_BYTES_MAX: usize = 256 << 20;

/// Functions that are being invoked by hand at once.
const INVOCATIONS_MAX: usize = 32;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Api {
    app: Arc<App>,
    access: Access,
    /// Bodies on their way in.
    admission: Admission,
    /// Answers on their way out.
    answers: Admission,
    /// Components on their way in.
    uploads: Admission,
    followers: Arc<Semaphore>,
    invocations: Arc<Semaphore>,
    request_ids: RequestIds,
    metrics: ops::HttpMetrics,
    /// Ends followers and long polls: the program ends.
    stop: CancellationToken,
}

/// All routes over a running program. `stop` ends what would otherwise wait or go on for ever.
pub fn router(app: Arc<App>, access: Access, stop: CancellationToken) -> Router {
    let limits = app.limits();
    let api = Api {
        access,
        admission: Admission::new(limits.admission_bytes_max),
        answers: Admission::new(ANSWERS_BYTES_MAX),
        // A packed upload counts packed and unpacked.
        uploads: Admission::new(2 * limits.component_bytes_max),
        followers: Arc::new(Semaphore::new(limits.followers_max)),
        invocations: Arc::new(Semaphore::new(INVOCATIONS_MAX)),
        request_ids: RequestIds::new(),
        metrics: ops::HttpMetrics::register(app.metrics.registry()),
        stop,
        app,
    };
    router::build(Arc::new(api))
}

impl Api {
    fn topic(&self, name: &TopicName) -> ApiResult<Arc<TopicInfo>> {
        let found = self.app.catalog.topics().get(name);
        found.ok_or_else(|| error::topic_not_found(name.as_str()))
    }

    /// The right to follow something for ever.
    fn follower(&self) -> ApiResult<OwnedSemaphorePermit> {
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| {
            let max = self.app.limits().followers_max;
            ApiError::new(Code::TooManyFollowers, format!("{max} callers follow already"))
                .retry_after(std::time::Duration::from_secs(5))
        })
    }

    /// The right to invoke a function by hand.
    fn invocation(&self) -> ApiResult<OwnedSemaphorePermit> {
        Arc::clone(&self.invocations).try_acquire_owned().map_err(|_| {
            let message = format!("{INVOCATIONS_MAX} invocations by hand run already");
            ApiError::new(Code::TooManyInvocations, message)
                .retry_after(std::time::Duration::from_secs(1))
        })
    }
}
