//! Time as a guest sees it: it starts at the newest `appended_at` of the batch and moves by a fixed step
//! with each look, and by a wait when that is over. Never the machine's time.
use super::Host;
use async_trait::async_trait;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use wasmtime::component::Resource;
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock,
    p2::{DynPollable, Pollable, bindings::clocks::monotonic_clock, subscribe},
};

/// By how much time moves with each look: loops that wait for a time end.
const STEP_NANOS: u64 = 1_000;
/// Where the monotonic clock starts. Go's runtime ends at once if it reads 0.
const MONOTONIC_START_NANOS: u64 = 1_000_000_000;

/// Both clocks of one guest.
#[derive(Clone)]
pub(super) struct GuestClock {
    start: Duration,
    pace: Arc<Pace>,
}

/// How far a guest has come, as those who are not the guest may look at it.
#[derive(Default)]
pub(crate) struct Pace {
    elapsed_nanos: AtomicU64,
    /// It gave way to others though it could have gone on.
    has_given_way: AtomicBool,
}

impl Pace {
    pub(crate) fn give_way(&self) {
        self.has_given_way.store(true, Ordering::Relaxed);
    }

    /// Whether it gave way since the last look.
    pub(crate) fn has_given_way(&self) -> bool {
        self.has_given_way.load(Ordering::Relaxed)
            && self.has_given_way.swap(false, Ordering::Relaxed)
    }
}

impl GuestClock {
    pub(super) fn starting_at(millis: u64) -> Self {
        Self { start: Duration::from_millis(millis), pace: Arc::default() }
    }

    pub(super) fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    fn look(&self) -> u64 {
        let before = self.pace.elapsed_nanos.fetch_add(STEP_NANOS, Ordering::Relaxed);
        before.saturating_add(STEP_NANOS)
    }

    fn pass(&self, until_nanos: u64) {
        self.pace.elapsed_nanos.fetch_max(until_nanos, Ordering::Relaxed);
    }
}

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(STEP_NANOS)
    }

    fn now(&self) -> Duration {
        self.start.saturating_add(Duration::from_nanos(self.look()))
    }
}

impl HostMonotonicClock for GuestClock {
    fn resolution(&self) -> u64 {
        STEP_NANOS
    }

    fn now(&self) -> u64 {
        MONOTONIC_START_NANOS.saturating_add(self.look())
    }
}

impl monotonic_clock::Host for Host {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(HostMonotonicClock::now(&self.clock))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(STEP_NANOS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let until = when.saturating_sub(MONOTONIC_START_NANOS);
        let now = self.clock.look();
        self.wait(until.saturating_sub(now), until)
    }

    fn subscribe_duration(&mut self, nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let until = self.clock.look().saturating_add(nanos);
        self.wait(nanos, until)
    }
}

impl Host {
    fn wait(&mut self, nanos: u64, until: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let at = Instant::now().checked_add(Duration::from_nanos(nanos));
        let wait = Wait { clock: self.clock.clone(), at, until_nanos: until, is_over: false };
        let wait = self.table.push(wait)?;
        subscribe(&mut self.table, wait)
    }
}

/// A wait in real time. When it is over the guest's clocks have passed it, or a loop that waits for a time
/// would wait again and again.
struct Wait {
    clock: GuestClock,
    /// `None`: beyond what can be told.
    at: Option<Instant>,
    until_nanos: u64,
    is_over: bool,
}

#[async_trait]
impl Pollable for Wait {
    async fn ready(&mut self) {
        match self.at {
            _ if self.is_over => {}
            // Gives way once also if it need not wait, or a guest that polls in a loop holds its worker.
            Some(at) if at <= Instant::now() => tokio::task::yield_now().await,
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.is_over = true;
        self.clock.pass(self.until_nanos);
    }
}
