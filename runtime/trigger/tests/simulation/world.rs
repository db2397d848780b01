//! The "do" side: time, and all that may go wrong. `model` judges.
use crate::{
    guest, is_poisoned,
    log::Budget,
    model::Model,
    rng::Rng,
    scene::{Kind, Scene},
};
use log_contract::*;
use std::{ops::ControlFlow, time::Duration};
use trigger::*;

pub struct World {
    pub rng: Rng,
    pub now: Timestamp,
    pub scene: Scene,
    pub model: Model,
    pub feed: Feed,
    pub width: usize,
    pending: Vec<(Timestamp, Happening)>,
    timer: Option<Timestamp>,
    /// Retention took what lies before.
    start: u64,
    draining: bool,
    pub starts: u32,
    pub first: Offset,
    pub events: u64,
    pub released: u64,
    pub refusals: u64,
    /// An operator has mended the function.
    pub is_fixed: bool,
    /// `TRACE=1` tells a seed's story.
    trace: bool,
}

#[derive(Debug)]
enum Happening {
    Read { from: Offset, budget: Budget },
    Invoked { delivery: DeliveryId, answer: Option<Result<Outcome, HostFault>> },
    Event(Event),
}

enum Happened {
    Event(Event),
    Nothing,
    Crash,
}

impl World {
    pub fn new(mut rng: Rng, scene: Scene) -> Self {
        let first = Offset(rng.below(1 + scene.records.keys().next().copied().unwrap_or(0)));
        let width = 1 + rng.below(5) as usize;
        let (model, policy) = (Model::new(&scene, first), scene.policy);
        let progress = Progress::at(first);
        let feed = Feed::new(policy, width, progress, &Memo::default(), Before::Nothing);
        let mut world = Self {
            rng,
            now: Timestamp(0),
            scene,
            model,
            feed,
            width,
            pending: Vec::new(),
            timer: None,
            start: 0,
            draining: false,
            starts: 0,
            first,
            events: 0,
            released: 0,
            refusals: 0,
            is_fixed: false,
            trace: std::env::var("TRACE").is_ok(),
        };
        world.restart(Before::Nothing);
        world
    }

    pub fn is_faulty(&self) -> bool {
        self.scene.faults && self.now < self.scene.faults_until
    }

    /// A new incarnation: only the log remembers.
    pub fn restart(&mut self, before: Before) {
        self.pending.clear();
        self.timer = None;
        self.draining = false;
        self.starts += 1;
        let is_damaged = self.is_faulty() && self.rng.chance(2);
        let (progress, memo) = self.model.restart(before, is_damaged);
        if self.trace {
            eprintln!("{:>6} START {before:?} {progress:?} {memo:?}", self.now.0);
        }
        self.feed = Feed::new(self.scene.policy, self.width, progress, &memo, before);
        assert_eq!(self.feed.memo_error().is_some(), is_damaged, "an unreadable memo is said");
        self.pending.push((self.now, Happening::Event(Event::Woke)));
    }

    pub fn is_done(&self) -> bool {
        self.model.progress().next() >= Offset(self.scene.end)
    }

    /// Everything that may come from outside.
    fn mischief(&mut self) {
        if !self.is_faulty() {
            if self.width == 0 {
                self.set_width(1 + self.now.0 as usize % 4);
            }
            return;
        }
        let often = if self.scene.moves { 20 } else { 2 };
        match self.rng.below(1_200) {
            0..3 if !self.scene.moves => self.restart(Before::Crashed),
            3..5 => self.event(Event::Drain),
            7..30 => {
                let width = self.rng.below(6) as usize;
                self.set_width(width);
            }
            30..33 if self.rng.chance(20) => {
                let to = self.start + self.rng.below(1 + self.scene.end - self.start);
                let appended = self.appended_end();
                self.start = self.start.max(to.min(appended));
                self.model.trimmed(self.start);
            }
            33..36 => self.event(Event::Release),
            n if (40..40 + often).contains(&n) => self.event(Event::LeaseLost),
            _ => (),
        }
    }

    fn set_width(&mut self, width: usize) {
        self.event(Event::Width(width));
    }

    fn event(&mut self, event: Event) {
        self.pending.push((self.now, Happening::Event(event)));
    }

    pub fn step(&mut self) -> ControlFlow<()> {
        self.mischief();
        let first = (0..self.pending.len()).min_by_key(|at| self.pending[*at].0);
        let due = first.map(|at| self.pending[at].0);
        let event = match (first, self.timer) {
            (Some(at), timer) if timer.is_none_or(|timer| due <= Some(timer)) => {
                let (due, happening) = self.pending.swap_remove(at);
                self.now = self.now.max(due);
                match self.happen(happening) {
                    Happened::Event(event) => event,
                    Happened::Nothing => return ControlFlow::Continue(()),
                    Happened::Crash => {
                        self.restart(Before::Crashed);
                        return ControlFlow::Continue(());
                    }
                }
            }
            (_, Some(timer)) => {
                self.now = self.now.max(timer);
                self.timer = None;
                Event::Woke
            }
            (_, None) if self.is_faulty() || self.width == 0 => {
                self.now = self.now.after(ms(20));
                return ControlFlow::Continue(());
            }
            (_, None) => return ControlFlow::Break(()),
        };
        self.tell(event);
        ControlFlow::Continue(())
    }

    fn tell(&mut self, event: Event) {
        self.events += 1;
        self.draining |= matches!(event, Event::Drain);
        if let Event::Width(width) = event {
            self.width = width;
        }
        let lease_gone =
            matches!(event, Event::LeaseLost | Event::SettleFailed(SettleError::LeaseVoid));
        self.model.answered(self.now, &self.scene, &event);
        let told = self.trace.then(|| format!("{event:?}"));
        let asked = match &event {
            Event::SettleFailed(error) => Event::SettleFailed(error.clone()),
            _ => Event::Woke,
        };
        let commands = self.feed.on_event(self.now, event);
        let stand = self.feed.stand(self.now);
        if let Some(told) = told {
            eprintln!("{:>6} {told}\n       -> {commands:?}", self.now.0);
        }
        self.model.follow(self.now, &self.scene, &asked, &stand, &commands);
        self.model.check_stand(self.now, &self.scene, &stand, &commands);
        self.model.check_counts(&self.scene, &stand, &self.feed.counts());
        if self.rng.chance(10) && stand.state != State::Stopped {
            let again = self.feed.on_event(self.now, Event::Woke);
            assert!(again.is_empty(), "deciding twice changes nothing: {again:?}");
            assert_eq!(stand, self.feed.stand(self.now), "nor the status");
        }
        for command in commands {
            assert!(!lease_gone || matches!(command, Command::Stopped), "without a lease: nothing");
            let starts = matches!(command, Command::Fetch { .. } | Command::Invoke { .. });
            assert!(!(starts && self.draining), "a draining feed starts nothing");
            if matches!(command, Command::Stopped) {
                self.model.stopped(&stand, lease_gone);
                return self.restart(Before::HandedOver);
            }
            self.perform(command, &stand);
        }
        self.model.check_memory(&self.scene, &stand);
        self.operate(&stand);
    }

    /// An operator looks at what is held, and lets it go on; at the third look the function is mended.
    fn operate(&mut self, stand: &Stand) {
        if stand.state != State::Held || (is_poisoned(stand) && self.model.is_killed_by_next()) {
            return;
        }
        let is_asked =
            self.pending.iter().any(|(_, what)| matches!(what, Happening::Event(Event::Release)));
        let waits_for_me = is_poisoned(stand)
            || matches!(stand.reason, Some(Reason::GivenUp { .. } | Reason::Invalid(_)));
        if waits_for_me && !is_asked {
            self.released += 1;
            self.is_fixed |= self.released > 2;
            let soon = self.now.after(ms(self.rng.below(300)));
            self.pending.push((soon, Happening::Event(Event::Release)));
        }
    }

    fn perform(&mut self, command: Command, stand: &Stand) {
        let soon = self.now.after(ms(self.rng.below(30)));
        match command {
            Command::Fetch { from, records_max, bytes_max } => {
                let budget = Budget { records_max, bytes_max };
                self.model.fetch(&self.scene, from, budget, stand);
                // The driver gives up the read before, unless its answer is on its way already.
                if self.rng.chance(50) {
                    self.pending.retain(|(_, what)| !matches!(what, Happening::Read { .. }));
                }
                self.pending.push((soon, Happening::Read { from, budget }));
            }
            Command::Invoke { delivery, span, attempt, overlay } => {
                let (now, width) = (self.now, self.width);
                self.model.invoke(now, &self.scene, width, delivery, &span, attempt);
                self.model.check_overlay(&self.scene, &span, &overlay);
                let answer = self.guest(&span, attempt, &overlay);
                self.pending.push((soon, Happening::Invoked { delivery, answer }));
            }
            Command::Settle(settle) => {
                let event = self.settle(&settle);
                self.pending.push((soon, Happening::Event(event)));
            }
            Command::WakeAt(at) => self.timer = Some(at.max(self.now)),
            Command::Stopped => unreachable!("handled where it came from"),
        }
    }

    fn happen(&mut self, happening: Happening) -> Happened {
        match happening {
            Happening::Event(event) => Happened::Event(event),
            Happening::Invoked { delivery, answer: Some(result) } => {
                let jitter = 800 + self.rng.below(401) as u16;
                let version = 1 + u32::from(self.is_fixed) + self.now.0 as u32 / 500;
                Happened::Event(Event::Invoked { delivery, version, jitter, result })
            }
            Happening::Invoked { answer: None, .. } => Happened::Crash,
            Happening::Read { from, budget } => self.read(from, budget),
        }
    }

    fn read(&mut self, from: Offset, budget: Budget) -> Happened {
        if self.is_faulty() && self.rng.chance(5) {
            return Happened::Event(Event::FetchFailed { from });
        }
        if from.0 < self.start {
            return Happened::Event(Event::Trimmed { from, start: Offset(self.start) });
        }
        if from.0 >= self.appended_end() {
            // A long poll: it waits for the next record, for ever if there is none to come.
            if let Some((_, next)) = self.scene.records.range(from.0..).next() {
                self.pending.push((next.appended_at, Happening::Read { from, budget }));
            }
            return Happened::Nothing;
        }
        Happened::Event(Event::Fetched { from, page: self.page(from, budget) })
    }

    /// What comes back from an invocation. `None`: the host dies.
    fn guest(
        &mut self,
        span: &Span,
        attempt: u32,
        overlay: &[StateWrite],
    ) -> Option<Result<Outcome, HostFault>> {
        let mut kinds = span.records().map(|r| self.scene.records[&r.offset.0].kind);
        if kinds.any(|kind| kind == Kind::Killer) {
            return None;
        }
        if self.is_faulty() && self.rng.chance(4) {
            return Some(Err(HostFault { reason: "no memory".into() }));
        }
        if self.scene.away.iter().any(|(from, to)| *from <= self.now && self.now < *to) {
            let retry_after = self.rng.chance(30).then(|| ms(self.rng.below(100)));
            return Some(Ok(Outcome::Unavailable { reason: "away".into(), retry_after }));
        }
        let (scene, model) = (&self.scene, &self.model);
        Some(Ok(guest::answer(scene, model, self.is_fixed, span, attempt, overlay)))
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
