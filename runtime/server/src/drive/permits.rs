//! Rights as values: to run an attempt, to hold fetched bytes. Dropping one gives it back. Never a
//! decision about who should have how many.
use dashmap::DashMap;
use log_contract::FunctionName;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets so many through at once; the number may change at any moment.
#[derive(Debug)]
pub(super) struct Gate {
    permits: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    width: usize,
    /// Permits that are out and shall not come back, as the gate became narrower.
    surplus: usize,
}

/// The right to run one attempt.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
}

const SANE: &str = "nothing panics while it holds the size";

/// Wider than anything that runs.
const WIDEST: usize = Semaphore::MAX_PERMITS >> 3;

impl Gate {
    pub(super) fn new(width: usize) -> Arc<Self> {
        let width = width.min(WIDEST);
        let size = Mutex::new(Size { width, surplus: 0 });
        Arc::new(Self { permits: Arc::new(Semaphore::new(width)), size })
    }

    pub(super) fn set_width(&self, width: usize) {
        let width = width.min(WIDEST);
        let mut size = self.size.lock().expect(SANE);
        if width >= size.width {
            let more = width - size.width;
            let kept = more.min(size.surplus);
            size.surplus -= kept;
            self.permits.add_permits(more - kept);
        } else {
            let fewer = size.width - width;
            size.surplus += fewer - self.permits.forget_permits(fewer);
        }
        size.width = width;
    }

    /// Waits for its turn.
    ///
    /// # Panics
    /// Never: the semaphore is never closed.
    pub(super) async fn pass(self: &Arc<Self>) -> Pass {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("it is never closed");
        Pass { gate: Arc::clone(self), permit: Some(permit) }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut size = self.gate.size.lock().expect(SANE);
        if size.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            size.surplus -= 1;
            permit.forget();
        }
    }
}

/// A gate per function: what its own limit lets run over all triggers.
#[derive(Debug, Default)]
pub(super) struct FunctionGates(DashMap<FunctionName, Arc<Gate>>);

impl FunctionGates {
    /// `None`: no limit.
    pub(super) fn gate(&self, function: &FunctionName, width: Option<u32>) -> Option<Arc<Gate>> {
        let width = width? as usize;
        if let Some(gate) = self.0.get(function) {
            let gate = Arc::clone(&gate);
            if gate.size.lock().expect(SANE).width != width {
                gate.set_width(width);
            }
            return Some(gate);
        }
        let gate = self.0.entry(function.clone()).or_insert_with(|| Gate::new(width));
        Some(Arc::clone(&gate))
    }

    /// Forgets functions that are no more.
    pub(super) fn keep_only(&self, exists: impl Fn(&FunctionName) -> bool) {
        self.0.retain(|function, _| exists(function));
    }
}

/// Bytes that all feeds together may hold.
#[derive(Debug)]
pub(super) struct Budget {
    units: Arc<Semaphore>,
}

/// So many bytes are one unit: a semaphore counts in `u32`.
const UNIT: usize = 4 << 10;
/// The least that a fetch may take: then even the last units let somebody go on.
const LEAST: usize = 64 << 10;
/// One fetch takes at most this part of what is free, so that a few stuck feeds do not starve others.
const SHARE: usize = 8;

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self { units: Arc::new(Semaphore::new((bytes / UNIT).clamp(1, u32::MAX as usize))) }
    }

    /// What a fetch may take of `wanted` bytes; waits while there is nothing.
    ///
    /// # Panics
    /// Never: the semaphore is never closed.
    pub(super) async fn take(&self, wanted: usize) -> Bytes {
        let free = self.units.available_permits() * UNIT;
        let bytes = wanted.min((free / SHARE).max(LEAST));
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await;
        Bytes { permit: Some(permit.expect("it is never closed")) }
    }
}

/// The right to hold so many bytes.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    permit: Option<OwnedSemaphorePermit>,
}

impl Bytes {
    pub(super) fn amount(&self) -> usize {
        self.permit.as_ref().map_or(0, |permit| permit.num_permits() * UNIT)
    }

    pub(super) fn add(&mut self, other: Self) {
        match (&mut self.permit, other.permit) {
            (Some(held), Some(more)) => held.merge(more),
            (held @ None, more) => *held = more,
            (Some(_), None) => (),
        }
    }

    /// Gives back what is above `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let Some(permit) = &mut self.permit else { return };
        let surplus = permit.num_permits().saturating_sub(bytes.div_ceil(UNIT));
        drop(permit.split(surplus));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn a_gate_that_becomes_narrower_lets_no_more_through_than_it_says() {
        let gate = Gate::new(3);
        let mut out: Vec<Pass> = (0..3).filter_map(|_| gate.pass().now_or_never()).collect();
        assert_eq!(out.len(), 3);
        gate.set_width(1);
        out.pop();
        out.pop();
        assert!(gate.pass().now_or_never().is_none(), "one is still out");
        out.pop();
        let last = gate.pass().now_or_never();
        assert!(last.is_some() && gate.pass().now_or_never().is_none());
        gate.set_width(2);
        assert!(gate.pass().now_or_never().is_some());
    }

    #[test]
    fn a_gate_that_is_narrowed_and_widened_keeps_its_size() {
        let gate = Gate::new(4);
        let out: Vec<Pass> = (0..4).filter_map(|_| gate.pass().now_or_never()).collect();
        gate.set_width(1);
        gate.set_width(3);
        drop(out);
        let through: Vec<Pass> = (0..9).map_while(|_| gate.pass().now_or_never()).collect();
        assert_eq!(through.len(), 3);
    }

    #[test]
    fn a_budget_gives_less_the_less_there_is_and_takes_back_what_is_settled() {
        let budget = Budget::new(1 << 20);
        let mut held: Vec<Bytes> = Vec::new();
        while let Some(bytes) = budget.take(1 << 20).now_or_never() {
            held.push(bytes);
        }
        assert!(held.len() >= SHARE, "one stuck feed does not take all");
        let taken: usize = held.iter().map(Bytes::amount).sum();
        assert!(taken <= 1 << 20 && (1 << 20) - taken < LEAST, "less than one fetch is left");
        held[0].shrink_to(0);
        assert!(budget.take(1).now_or_never().is_some());
    }
}
