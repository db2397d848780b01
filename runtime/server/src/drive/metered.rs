//! What a trigger takes of the guests' threads beside its guests: its feeds, which run there, too. It counts
//! as the trigger's share, so that one whose records make little work for its function and much for its feed
//! (dead letters, outputs) is not let at more cores than another.
use std::{
    future::{Future, poll_fn},
    pin::pin,
    time::{Duration, Instant},
};

/// Does some work, and tells each time for how long it had a thread.
pub(super) async fn metered<T>(work: impl Future<Output = T>, tell: impl Fn(Duration)) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let begun = Instant::now();
        let polled = work.as_mut().poll(cx);
        tell(begun.elapsed());
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_has_a_thread_counts_and_what_waits_does_not() {
        const BUSY: Duration = Duration::from_millis(2);
        let told = Cell::new((0, Duration::ZERO));
        let work = async {
            for _ in 0..3 {
                let begun = Instant::now();
                while begun.elapsed() < BUSY {
                    std::hint::spin_loop();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let begun = Instant::now();
        metered(work, |took| told.set((told.get().0 + 1, told.get().1 + took))).await;
        let (polls, took) = told.get();
        assert_eq!(polls, 4);
        let waited = Duration::from_millis(60);
        assert!(took >= 3 * BUSY && took + waited <= begun.elapsed(), "{took:?}");
    }
}
