//! The thread that moves the epochs on, so that a guest that burns gives way every 10 ms. Sleeps while no
//! guest runs. Never more than counting and ticking.
use crate::engine::Engines;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long a guest runs before others get their turn, and how late a deadline is noticed.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Ends with its owner.
pub(crate) struct Ticker {
    pulse: Arc<Pulse>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Pulse {
    live: AtomicU64,
    is_over: AtomicBool,
}

/// While one is held, the epochs move.
pub(crate) struct Live<'a>(&'a Pulse);

impl Ticker {
    pub(crate) fn start(engines: Arc<Engines>) -> std::io::Result<Self> {
        let pulse = Arc::new(Pulse::default());
        let seen = Arc::clone(&pulse);
        let thread = thread::Builder::new().name("guest-epochs".into()).spawn(move || {
            while !seen.is_over.load(Ordering::Acquire) {
                // A guest that starts after this look has left a token that ends the parking at once.
                if seen.live.load(Ordering::Acquire) == 0 {
                    thread::park();
                } else {
                    thread::sleep(TICK);
                    engines.tick();
                }
            }
        })?;
        Ok(Self { pulse, thread: Some(thread) })
    }

    pub(crate) fn live(&self) -> Live<'_> {
        if self.pulse.live.fetch_add(1, Ordering::AcqRel) == 0
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Live(&self.pulse)
    }

    pub(crate) fn count(&self) -> u64 {
        self.pulse.live.load(Ordering::Relaxed)
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.pulse.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It holds no lock and runs no guest, so it has not panicked.
            let _ = thread.join();
        }
    }
}
