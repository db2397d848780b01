//! Rights as values: to run an attempt, to hold fetched bytes. Dropping one gives it back. Never a
//! decision about who should have how many.
use dashmap::DashMap;
use log_contract::FunctionName;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

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

const SANE: &str = "nothing panics while it holds the size or the room";

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

/// Bytes that all feeds together may hold. A trigger holds at most a part of them, and one that holds
/// none is never turned away: whoever is stuck with full hands starves nobody else.
#[derive(Debug)]
pub(super) struct Budget {
    room: Mutex<Room>,
    /// Wakes one of those who wait for room.
    freed: Notify,
}

#[derive(Debug)]
struct Room {
    /// Below 0 where pages were larger than what was taken for them, or triggers went on with the least.
    free: isize,
    most_of_one: usize,
}

/// What one trigger holds of a budget.
#[derive(Debug, Default)]
pub(super) struct Purse {
    held: AtomicUsize,
    /// Wakes one of its feeds that wait for others of its feeds.
    freed: Notify,
}

/// The least that a fetch may take: then even the last units let somebody go on.
const LEAST: usize = 64 << 10;
/// One fetch takes at most this part of what is free, so that a few stuck feeds do not starve others.
const SHARE: usize = 8;
/// One trigger holds at most this part of all.
const PURSE_SHARE: usize = 4;

/// Why a fetch has to wait.
enum Full {
    Purse,
    Budget,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        let free = isize::try_from(bytes).unwrap_or(isize::MAX);
        let most_of_one = (bytes / PURSE_SHARE).max(LEAST);
        Arc::new(Self { room: Mutex::new(Room { free, most_of_one }), freed: Notify::new() })
    }

    /// What a fetch may take of `wanted` bytes; waits while there is nothing, and says so first.
    pub(super) async fn take(
        self: &Arc<Self>,
        purse: &Arc<Purse>,
        wanted: usize,
        waits: impl Fn(bool),
    ) -> Bytes {
        let mut is_woken = false;
        loop {
            match self.try_take(purse, wanted) {
                Ok(bytes) => {
                    if is_woken {
                        waits(false);
                        // There may be more for the next one.
                        self.freed.notify_one();
                        purse.freed.notify_one();
                    }
                    return bytes;
                }
                Err(Full::Purse) => {
                    waits(true);
                    if is_woken {
                        // What woke it is for somebody else.
                        self.freed.notify_one();
                    }
                    purse.freed.notified().await;
                }
                Err(Full::Budget) => {
                    waits(true);
                    tokio::select! {
                        () = self.freed.notified() => (),
                        () = purse.freed.notified() => (),
                    }
                }
            }
            is_woken = true;
        }
    }

    fn try_take(self: &Arc<Self>, purse: &Arc<Purse>, wanted: usize) -> Result<Bytes, Full> {
        let mut room = self.room.lock().expect(SANE);
        let held = purse.held.load(Ordering::Relaxed);
        let free = usize::try_from(room.free).unwrap_or(0);
        if held > 0 && held + LEAST > room.most_of_one {
            return Err(Full::Purse);
        }
        if held > 0 && free < LEAST {
            return Err(Full::Budget);
        }
        let most = (free / SHARE).min(room.most_of_one.saturating_sub(held)).max(LEAST);
        let amount = wanted.clamp(1, most);
        room.free = room.free.saturating_sub_unsigned(amount);
        purse.held.fetch_add(amount, Ordering::Relaxed);
        Ok(Bytes { of: Some((Arc::clone(self), Arc::clone(purse))), amount })
    }
}

/// The right to hold so many bytes.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    of: Option<(Arc<Budget>, Arc<Purse>)>,
    amount: usize,
}

impl Bytes {
    pub(super) fn amount(&self) -> usize {
        self.amount
    }

    /// Two rights of the same trigger as one.
    pub(super) fn add(&mut self, mut other: Self) {
        self.amount += std::mem::take(&mut other.amount);
        self.of = self.of.take().or_else(|| other.of.take());
    }

    /// What is in memory is counted, be it more than was taken: a batch is read whole.
    pub(super) fn grow_to(&mut self, bytes: usize) {
        let more = bytes.saturating_sub(self.amount);
        if let Some((budget, purse)) = self.of.as_ref().filter(|_| more > 0) {
            let mut room = budget.room.lock().expect(SANE);
            room.free = room.free.saturating_sub_unsigned(more);
            purse.held.fetch_add(more, Ordering::Relaxed);
            self.amount += more;
        }
    }

    /// Gives back what is above `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.amount.saturating_sub(bytes);
        if let Some((budget, purse)) = self.of.as_ref().filter(|_| surplus > 0) {
            let mut room = budget.room.lock().expect(SANE);
            room.free = room.free.saturating_add_unsigned(surplus);
            purse.held.fetch_sub(surplus, Ordering::Relaxed);
            drop(room);
            self.amount -= surplus;
            budget.freed.notify_one();
            purse.freed.notify_one();
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.shrink_to(0);
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

    /// As much as one trigger may have now, fetch by fetch.
    fn fill(budget: &Arc<Budget>, purse: &Arc<Purse>) -> Vec<Bytes> {
        let take = || budget.take(purse, 1 << 20, |_| ()).now_or_never();
        std::iter::from_fn(take).take(1_000).collect()
    }

    fn amount(held: &[Bytes]) -> usize {
        held.iter().map(Bytes::amount).sum()
    }

    #[test]
    fn a_budget_gives_less_the_less_there_is_and_to_one_trigger_a_part() {
        let budget = Budget::new(16 << 20);
        let purses: Vec<Arc<Purse>> = (0..5).map(|_| Arc::default()).collect();
        let held: Vec<Vec<Bytes>> = purses.iter().map(|purse| fill(&budget, purse)).collect();
        for held in &held[..3] {
            assert!(amount(held) <= 4 << 20 && amount(held) > (4 << 20) - LEAST, "a quarter");
        }
        let first: Vec<usize> = held[3].iter().map(Bytes::amount).collect();
        assert!(first.is_sorted_by(|a, b| a >= b), "less and less: {first:?}");
        let all: usize = held.iter().map(|held| amount(held)).sum();
        assert!(all <= (16 << 20) + LEAST, "{all}");
        let stranger = Arc::<Purse>::default();
        let last = fill(&budget, &stranger);
        assert_eq!(last.len(), 1, "who holds nothing goes on, with the least");
        assert_eq!(amount(&last), LEAST);
        drop((held, last));
        assert_eq!(budget.room.lock().expect(SANE).free, 16 << 20, "all came back");
        assert!(purses.iter().all(|purse| purse.held.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn who_waits_is_woken_by_what_it_waits_for_and_passes_on_what_is_not_for_it() {
        let budget = Budget::new(4 * LEAST);
        let (ours, others) = (Arc::<Purse>::default(), Arc::<Purse>::default());
        let mut held = fill(&budget, &ours);
        assert_eq!(held.len(), 1, "a quarter is one fetch here");
        let mut theirs = fill(&budget, &others);
        let third = Arc::<Purse>::default();
        let waits = std::cell::Cell::new(false);
        let mut stuck = std::pin::pin!(budget.take(&ours, 1, |now| waits.set(now)));
        assert!(stuck.as_mut().now_or_never().is_none() && waits.get());
        theirs.clear();
        assert!(stuck.as_mut().now_or_never().is_none(), "what others gave back is not for it");
        assert_eq!(fill(&budget, &third).len(), 1);
        held.clear();
        let got = stuck.as_mut().now_or_never();
        assert!(got.is_some_and(|got| got.amount() == 1) && !waits.get());
    }

    #[test]
    fn a_page_that_is_larger_than_its_right_is_counted_and_given_back() {
        let budget = Budget::new(1 << 20);
        let purse = Arc::<Purse>::default();
        let mut page = budget.take(&purse, 1 << 20, |_| ()).now_or_never().expect("room");
        page.grow_to(3 << 20);
        assert!(budget.room.lock().expect(SANE).free < 0);
        assert!(budget.take(&purse, 1, |_| ()).now_or_never().is_none(), "its trigger waits");
        let mut all = Bytes::default();
        all.add(page);
        all.shrink_to(100);
        assert_eq!(budget.room.lock().expect(SANE).free, (1 << 20) - 100);
        assert!(budget.take(&purse, 1, |_| ()).now_or_never().is_some());
    }
}
