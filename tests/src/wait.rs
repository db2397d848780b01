//! Waiting on a condition with a deadline. The only place of the tests that may sleep.
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Long enough for a slow machine; a test that waits so long is red anyway.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer. Panics, saying what was waited for, after `deadline`.
pub async fn until_within<T>(
    what: &str,
    deadline: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited {deadline:?} for: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// [`until_within`] the usual deadline.
pub async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(what, DEADLINE, ask).await
}

/// Lets time pass where the passing itself is what is tested.
pub async fn pass(time: Duration) {
    sleep(time).await;
}
