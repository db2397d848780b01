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
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit = permit.expect("it is never closed");
            // One that came back past us, from whoever left while it was handed over.
            let mut size = self.size.lock().expect(SANE);
            if size.surplus == 0 {
                return Pass { gate: Arc::clone(self), permit: Some(permit) };
            }
            size.surplus -= 1;
            permit.forget();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut size = self.gate.size.lock().expect(SANE);
        if size.surplus > 0 {
            size.surplus -= 1;
            permit.forget();
        } else {
            // Under the lock: who narrows the gate meanwhile counts it neither as out nor as back.
            drop(permit);
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

/// Bytes that all feeds together may hold. A trigger holds at most a part of them, and a feed that holds
/// none is never turned away: whoever is stuck with full hands starves nobody else.
#[derive(Debug)]
pub(super) struct Budget {
    room: Mutex<Room>,
    /// Wakes one of those who wait for room.
    freed: Notify,
}

#[derive(Debug)]
struct Room {
    /// Below 0 where pages were larger than what was taken for them, or feeds went on with the least.
    free: isize,
    most_of_one: usize,
}

/// What one trigger, or one feed, holds of a budget.
#[derive(Debug, Default)]
pub(super) struct Purse {
    held: AtomicUsize,
    /// Wakes one of those who wait for it to hold less.
    freed: Notify,
}

/// A feed's purse, and that of its trigger.
#[derive(Clone, Debug)]
pub(super) struct Purses {
    pub(super) feed: Arc<Purse>,
    pub(super) trigger: Arc<Purse>,
}

/// The least that a fetch takes, unless its feed holds nothing.
const LEAST: usize = 64 << 10;
/// What a feed that holds nothing takes, whatever others hold.
const LEAST_OF_FEED: usize = 16 << 10;
/// One fetch takes at most this part of what is free, in all and in its trigger's purse, so that a few
/// stuck feeds leave others more than the least.
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

    /// What a fetch may take of `wanted` bytes; waits while there is nothing.
    pub(super) async fn take(self: &Arc<Self>, purses: &Purses, wanted: usize) -> Bytes {
        let Purses { feed, trigger } = purses;
        let mut is_woken = false;
        loop {
            match self.try_take(purses, wanted) {
                Ok(bytes) => {
                    if is_woken {
                        // There may be more for the next one.
                        self.freed.notify_one();
                        trigger.freed.notify_one();
                    }
                    return bytes;
                }
                Err(Full::Purse) => {
                    if is_woken {
                        // What woke it is for somebody else.
                        self.freed.notify_one();
                    }
                    tokio::select! {
                        () = trigger.freed.notified() => (),
                        () = feed.freed.notified() => (),
                    }
                }
                Err(Full::Budget) => {
                    tokio::select! {
                        () = self.freed.notified() => (),
                        () = trigger.freed.notified() => (),
                        () = feed.freed.notified() => (),
                    }
                }
            }
            is_woken = true;
        }
    }

    fn try_take(self: &Arc<Self>, purses: &Purses, wanted: usize) -> Result<Bytes, Full> {
        let mut room = self.room.lock().expect(SANE);
        let free = usize::try_from(room.free).unwrap_or(0);
        let left = room.most_of_one.saturating_sub(purses.trigger.held.load(Ordering::Relaxed));
        let most = if left >= LEAST && free >= LEAST {
            (free.min(left) / SHARE).max(LEAST)
        } else if purses.feed.held.load(Ordering::Relaxed) == 0 {
            LEAST_OF_FEED
        } else if left < LEAST {
            return Err(Full::Purse);
        } else {
            return Err(Full::Budget);
        };
        let mut bytes = Bytes { of: Some((Arc::clone(self), purses.clone())), amount: 0 };
        bytes.count(&mut room, wanted.clamp(1, most));
        Ok(bytes)
    }
}

/// The right to hold so many bytes.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    of: Option<(Arc<Budget>, Purses)>,
    amount: usize,
}

impl Bytes {
    pub(super) fn amount(&self) -> usize {
        self.amount
    }

    fn count(&mut self, room: &mut Room, more: usize) {
        if let Some((_, purses)) = &self.of {
            room.free = room.free.saturating_sub_unsigned(more);
            purses.feed.held.fetch_add(more, Ordering::Relaxed);
            purses.trigger.held.fetch_add(more, Ordering::Relaxed);
            self.amount += more;
        }
    }

    /// Two rights of the same feed as one.
    pub(super) fn add(&mut self, mut other: Self) {
        self.amount += std::mem::take(&mut other.amount);
        self.of = self.of.take().or_else(|| other.of.take());
    }

    /// What is in memory is counted, be it more than was taken: a batch is read whole.
    pub(super) fn grow_to(&mut self, bytes: usize) {
        let more = bytes.saturating_sub(self.amount);
        let budget = self.of.as_ref().map(|(budget, _)| Arc::clone(budget));
        if let Some(budget) = budget.filter(|_| more > 0) {
            self.count(&mut budget.room.lock().expect(SANE), more);
        }
    }

    /// Gives back what is above `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.amount.saturating_sub(bytes);
        if let Some((budget, purses)) = self.of.as_ref().filter(|_| surplus > 0) {
            let mut room = budget.room.lock().expect(SANE);
            room.free = room.free.saturating_add_unsigned(surplus);
            purses.feed.held.fetch_sub(surplus, Ordering::Relaxed);
            purses.trigger.held.fetch_sub(surplus, Ordering::Relaxed);
            drop(room);
            self.amount -= surplus;
            for freed in [&budget.freed, &purses.trigger.freed, &purses.feed.freed] {
                freed.notify_one();
            }
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

    fn feeds_of_one_trigger(count: usize) -> Vec<Purses> {
        let trigger = Arc::<Purse>::default();
        (0..count).map(|_| Purses { feed: Arc::default(), trigger: trigger.clone() }).collect()
    }

    fn feed() -> Purses {
        feeds_of_one_trigger(1).remove(0)
    }

    fn take(budget: &Arc<Budget>, purses: &Purses) -> Option<Bytes> {
        budget.take(purses, 1 << 20).now_or_never()
    }

    /// As much as one feed may have now, fetch by fetch.
    fn fill(budget: &Arc<Budget>, purses: &Purses) -> Vec<Bytes> {
        std::iter::from_fn(|| take(budget, purses)).take(1_000).collect()
    }

    fn amount(held: &[Bytes]) -> usize {
        held.iter().map(Bytes::amount).sum()
    }

    #[test]
    fn a_trigger_gets_a_part_and_a_fetch_less_the_less_is_left_of_it() {
        let budget = Budget::new(16 << 20);
        let ours = feeds_of_one_trigger(3);
        let first = fill(&budget, &ours[0]);
        assert!(amount(&first) <= 4 << 20 && amount(&first) > (4 << 20) - LEAST, "a quarter");
        let sizes: Vec<usize> = first.iter().map(Bytes::amount).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes[0] == (4 << 20) / SHARE, "{sizes:?}");
        let second = fill(&budget, &ours[1]);
        assert_eq!(amount(&second), LEAST_OF_FEED, "who holds nothing goes on, with the least");
        let others: Vec<Purses> = (0..5).map(|_| feed()).collect();
        let all: Vec<Vec<Bytes>> = others.iter().map(|feed| fill(&budget, feed)).collect();
        assert!(all.iter().all(|held| amount(held) >= LEAST_OF_FEED));
        let sum: usize = all.iter().map(|held| amount(held)).sum();
        assert!(sum + amount(&first) <= (16 << 20) + 5 * LEAST_OF_FEED, "{sum}");
        drop((first, second, all));
        assert_eq!(budget.room.lock().expect(SANE).free, 16 << 20, "all came back");
        let is_empty = |purse: &Purse| purse.held.load(Ordering::Relaxed) == 0;
        assert!(ours.iter().all(|it| is_empty(&it.feed) && is_empty(&it.trigger)));
    }

    #[test]
    fn who_waits_is_woken_by_what_it_waits_for() {
        let budget = Budget::new(8 * LEAST);
        let ours = feeds_of_one_trigger(2);
        let mut held = fill(&budget, &ours[0]);
        assert_eq!(amount(&held), 2 * LEAST, "a quarter");
        let mut beside = fill(&budget, &ours[1]);
        let wait = |purses| budget.take(purses, 1);
        let mut stuck = std::pin::pin!(wait(&ours[0]));
        assert!(stuck.as_mut().now_or_never().is_none());
        let other = fill(&budget, &feed());
        drop(other);
        assert!(stuck.as_mut().now_or_never().is_none(), "what others gave back is not for it");
        held.clear();
        let got = stuck.as_mut().now_or_never();
        assert!(got.is_some_and(|got| got.amount() == 1), "it holds nothing now");
        // Its trigger's purse is full, and the one that waits is not the one that gives back.
        let held = fill(&budget, &ours[0]);
        let mut stuck = std::pin::pin!(wait(&ours[1]));
        assert!(stuck.as_mut().now_or_never().is_none());
        drop(held);
        assert!(stuck.as_mut().now_or_never().is_some());
        beside.clear();
    }

    #[test]
    fn who_is_woken_for_room_that_is_not_its_own_passes_it_on() {
        let budget = Budget::new(16 * LEAST);
        let held: Vec<(Purses, Vec<Bytes>)> = std::iter::repeat_with(feed)
            .map(|it| (it.clone(), fill(&budget, &it)))
            .take(5)
            .collect();
        let (first, last) = (held[0].0.clone(), held[4].0.clone());
        let wait = |purses| budget.take(purses, 1);
        let (mut a, mut b) = (std::pin::pin!(wait(&first)), std::pin::pin!(wait(&last)));
        assert!(a.as_mut().now_or_never().is_none() && b.as_mut().now_or_never().is_none());
        drop(held);
        assert!(a.as_mut().now_or_never().is_some() && b.as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_page_that_is_larger_than_its_right_is_counted_and_given_back() {
        let budget = Budget::new(1 << 20);
        let feed = feed();
        let mut page = take(&budget, &feed).expect("room");
        page.grow_to(3 << 20);
        assert!(budget.room.lock().expect(SANE).free < 0);
        assert!(take(&budget, &feed).is_none(), "its feed waits");
        let mut all = Bytes::default();
        all.add(page);
        all.shrink_to(100);
        assert_eq!(budget.room.lock().expect(SANE).free, (1 << 20) - 100);
        assert!(take(&budget, &feed).is_some());
    }
}
