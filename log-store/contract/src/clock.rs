//! Time enters by one door. Everybody else is told what time it is.
use crate::Timestamp;
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// Wall time in milliseconds that never goes back within a process.
pub trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> Timestamp;
}

/// A clock that a test moves by hand.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Moves forward; never back.
    pub fn set(&self, now: Timestamp) {
        self.0.fetch_max(now.0, Ordering::SeqCst);
    }

    pub fn advance(&self, by: std::time::Duration) {
        self.set(self.now().after(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// The machine's clock: anchored to the wall, driven by the monotonic one, re-anchored every second,
/// never back. A wall clock that was set back makes it stand still until the wall has caught up.
#[derive(Debug)]
pub struct SystemClock {
    began: std::time::Instant,
    /// Wall milliseconds at `began`, corrected when re-anchored.
    anchor: AtomicU64,
    /// Milliseconds since `began` of the last re-anchoring.
    anchored: AtomicU64,
    last: AtomicU64,
}

const REANCHOR_MS: u64 = 1_000;

impl SystemClock {
    #[must_use]
    pub fn start() -> Self {
        Self {
            began: std::time::Instant::now(),
            anchor: AtomicU64::new(wall()),
            anchored: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }
}

fn wall() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let anchored = self.anchored.load(Ordering::Relaxed);
        if passed >= anchored + REANCHOR_MS
            && self
                .anchored
                .compare_exchange(anchored, passed, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.anchor.store(wall().saturating_sub(passed), Ordering::Relaxed);
        }
        let now = self.anchor.load(Ordering::Relaxed).saturating_add(passed);
        Timestamp(self.last.fetch_max(now, Ordering::Relaxed).max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_tells_the_wall_and_never_goes_back() {
        let clock = SystemClock::start();
        let mut last = Timestamp(0);
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(last <= now);
            last = now;
        }
        assert!(wall().abs_diff(last.0) < 1_000, "within a second of the wall");
    }
}
