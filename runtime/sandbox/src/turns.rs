//! Who of the guests has a core: as many run as there are cores, and whose share has used least is next.
//! Workers alone would take turns among guests, so that many long ones left little to a short one, which
//! would wait behind all of them. Never how long a turn is: the ticker's.
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Who shares the cores as one, however many guests it has: a trigger.
#[derive(Debug, Default)]
pub struct Share {
    /// Nanoseconds on a core. Only differences mean something.
    used: AtomicU64,
}

/// By so much less a share must have used than those who run, for them to give way at once. Nanoseconds.
const HEAD_START: u64 = 2_000_000;
/// How often they are asked to, at most.
const KICKS_APART: Duration = Duration::from_millis(1);
/// Whoever rested is served first for so much, not for all that it did not use. Nanoseconds.
const CREDIT: u64 = 50_000_000;
const SANE: &str = "nothing panics while it holds the turns";

pub(crate) struct Turns {
    state: Mutex<State>,
    /// Asks all who run to give way.
    kick: Box<dyn Fn() + Send + Sync>,
}

struct State {
    free: usize,
    /// What somebody had used who got a turn: the most.
    level: u64,
    waiting: Vec<Waiting>,
    seats: u64,
    kicked_at: Option<Instant>,
}

struct Waiting {
    seat: u64,
    share: Arc<Share>,
    waker: Waker,
    is_granted: bool,
}

/// One guest's place among the others. Given up when it is dropped.
pub(crate) struct Seat<'a> {
    turns: &'a Turns,
    share: Arc<Share>,
    id: u64,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Away,
    Waits,
    HasTurn,
}

impl Share {
    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts what was used of a core for whose share it is. Gives the sum, in nanoseconds: only
    /// differences mean something.
    pub fn charge(&self, used: Duration) -> u64 {
        let nanos = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
        self.used.fetch_add(nanos, Ordering::Relaxed).saturating_add(nanos)
    }
}

impl Turns {
    pub(crate) fn new(cores: usize, kick: impl Fn() + Send + Sync + 'static) -> Self {
        let (free, waiting) = (cores.max(1), Vec::new());
        let state = State { free, level: 0, waiting, seats: 0, kicked_at: None };
        Self { state: Mutex::new(state), kick: Box::new(kick) }
    }

    pub(crate) fn seat(&self, share: &Arc<Share>) -> Seat<'_> {
        let mut state = self.state();
        state.seats += 1;
        // Nobody saves up more than its credit.
        share.used.fetch_max(state.level.saturating_sub(CREDIT), Ordering::Relaxed);
        Seat { turns: self, share: Arc::clone(share), id: state.seats, place: Place::Away }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(SANE)
    }
}

impl State {
    /// Who is next, and what its share has used.
    fn next(&self) -> Option<(usize, u64)> {
        let waiting = self.waiting.iter().enumerate().filter(|(_, one)| !one.is_granted);
        let keyed = waiting.map(|(at, one)| (one.share.used(), one.seat, at));
        keyed.min().map(|(used, _, at)| (at, used))
    }

    /// Whether those who run should give way now, not only at the next tick.
    fn is_urgent(&mut self, share: &Share) -> bool {
        if share.used().saturating_add(HEAD_START) > self.level {
            return false;
        }
        let now = Instant::now();
        let is_due = self.kicked_at.is_none_or(|at| now - at >= KICKS_APART);
        if is_due {
            self.kicked_at = Some(now);
        }
        is_due
    }

    fn pass_on(&mut self) {
        match self.next() {
            Some((at, used)) => {
                self.level = self.level.max(used);
                self.waiting[at].is_granted = true;
                self.waiting[at].waker.wake_by_ref();
            }
            None => self.free += 1,
        }
    }
}

impl Seat<'_> {
    /// Ready: it may run until it gives way or leaves.
    pub(crate) fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.place == Place::HasTurn {
            return Poll::Ready(());
        }
        let mut state = self.turns.state();
        if self.place == Place::Waits {
            let at = state.waiting.iter().position(|one| one.seat == self.id);
            let at = at.expect("who waits is in the list until it sees its turn");
            if !state.waiting[at].is_granted {
                state.waiting[at].waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            state.waiting.swap_remove(at);
        } else if state.free > 0 {
            state.free -= 1;
            state.level = state.level.max(self.share.used());
        } else {
            let (share, waker) = (Arc::clone(&self.share), cx.waker().clone());
            state.waiting.push(Waiting { seat: self.id, share, waker, is_granted: false });
            self.place = Place::Waits;
            let is_urgent = state.is_urgent(&self.share);
            drop(state);
            if is_urgent {
                (self.turns.kick)();
            }
            return Poll::Pending;
        }
        self.place = Place::HasTurn;
        Poll::Ready(())
    }

    /// It has run for so long and could go on: somebody whose share has used no more is first.
    pub(crate) fn give_way(&mut self, ran: Duration) {
        let mut state = self.turns.state();
        let ours = self.share.charge(ran);
        if state.next().is_some_and(|(_, theirs)| theirs <= ours) {
            state.pass_on();
            self.place = Place::Away;
        }
    }

    /// It has run for so long and goes on.
    pub(crate) fn charge(&self, ran: Duration) {
        self.share.charge(ran);
    }

    /// It has run for so long, and waits for something, or is over.
    pub(crate) fn leave(&mut self, ran: Duration) {
        if self.place == Place::HasTurn {
            let mut state = self.turns.state();
            self.share.charge(ran);
            state.pass_on();
            self.place = Place::Away;
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.leave(Duration::ZERO);
        if self.place == Place::Waits {
            let mut state = self.turns.state();
            let at = state.waiting.iter().position(|one| one.seat == self.id);
            if at.is_some_and(|at| state.waiting.swap_remove(at).is_granted) {
                state.pass_on();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn poll(seat: &mut Seat<'_>) -> bool {
        seat.poll_turn(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn as_many_run_as_there_are_cores_and_who_used_least_is_next() {
        let turns = Turns::new(2, || ());
        let shares: Vec<Arc<Share>> = (0..4).map(|_| Arc::default()).collect();
        for (share, used) in shares.iter().zip([0, 0, 30, 20]) {
            share.charge(used * MS);
        }
        let mut seats: Vec<Seat<'_>> = shares.iter().map(|share| turns.seat(share)).collect();
        let runs: Vec<bool> = seats.iter_mut().map(poll).collect();
        assert_eq!(runs, [true, true, false, false]);
        seats[0].give_way(10 * MS);
        assert!(poll(&mut seats[0]), "the others have used more");
        seats[0].give_way(15 * MS);
        assert!(!poll(&mut seats[0]) && poll(&mut seats[3]) && !poll(&mut seats[2]));
        seats[1].leave(MS);
        assert!(poll(&mut seats[0]) && !poll(&mut seats[2]), "25 before 30");
        seats[3].leave(MS);
        assert!(poll(&mut seats[2]) && poll(&mut seats[2]));
    }

    #[test]
    fn a_seat_that_is_dropped_gives_its_turn_to_the_next_whether_it_has_seen_it_or_not() {
        let turns = Turns::new(1, || ());
        let share = Arc::<Share>::default();
        let (mut one, mut two, mut three) =
            (turns.seat(&share), turns.seat(&share), turns.seat(&share));
        assert!(poll(&mut one) && !poll(&mut two) && !poll(&mut three));
        drop(one);
        // Granted, and never looked at.
        drop(two);
        assert!(poll(&mut three));
        let mut four = turns.seat(&share);
        assert!(!poll(&mut four));
        drop(four);
        drop(three);
        let state = turns.state();
        assert_eq!((state.free, state.waiting.len()), (1, 0));
    }

    #[test]
    fn who_rested_is_first_but_not_for_all_that_it_did_not_use() {
        let turns = Turns::new(1, || ());
        let (busy, rested) = (Arc::<Share>::default(), Arc::<Share>::default());
        busy.charge(3_600_000 * MS);
        let mut burns = turns.seat(&busy);
        assert!(poll(&mut burns));
        let mut late = turns.seat(&rested);
        assert!(!poll(&mut late));
        burns.give_way(10 * MS);
        assert!(!poll(&mut burns) && poll(&mut late));
        let mut turns_of_late = 1;
        loop {
            late.give_way(10 * MS);
            if !poll(&mut late) {
                break;
            }
            turns_of_late += 1;
        }
        assert!((5..=7).contains(&turns_of_late), "50 ms and a turn: {turns_of_late}");
        assert!(poll(&mut burns));
    }

    #[test]
    fn who_used_much_less_does_not_wait_for_a_tick() {
        let kicks = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&kicks);
        let turns = Turns::new(1, move || {
            seen.fetch_add(1, Ordering::Relaxed);
        });
        let (busy, same, light) =
            (Arc::<Share>::default(), Arc::<Share>::default(), Arc::<Share>::default());
        busy.charge(20 * MS);
        same.charge(19 * MS);
        let mut burns = turns.seat(&busy);
        assert!(poll(&mut burns));
        let mut equal = turns.seat(&same);
        assert!(!poll(&mut equal));
        assert_eq!(kicks.load(Ordering::Relaxed), 0, "it can wait");
        let mut late = turns.seat(&light);
        assert!(!poll(&mut late) && !poll(&mut late));
        assert_eq!(kicks.load(Ordering::Relaxed), 1);
        burns.give_way(MS);
        assert!(poll(&mut late));
    }
}
