//! Keeps the feeds that run in step with the triggers that there are. What to start and to end is
//! `reconcile`'s; what an operator says is in `control`.
use super::{
    board::Board,
    context::{Context, Jitter},
    events::{Events, Kind},
    figures::{Figures, Gauges},
    function_logs::FunctionLogs,
    member::Member,
    permits::{Budget, FunctionGates, Gate},
    plan,
    reconcile::{Action, Desired, Running, reconcile},
    running::RunningTrigger,
    scaler,
};
use crate::{
    artifacts::Artifacts,
    catalog::{Catalog, Halted, Trigger},
    config::Limits,
};
use log_contract::{Clock, Log, TriggerName};
use prometheus::Registry;
use sandbox::Sandbox;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Starts, stops and steers feeds.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) context: Arc<Context>,
    running: Mutex<BTreeMap<TriggerName, Arc<RunningTrigger>>>,
    /// Of the newest orders to anybody.
    revision: AtomicU64,
    /// Something ended, or wants to be halted.
    attention: Arc<Notify>,
    /// Nothing new is started any more.
    ending: CancellationToken,
}

/// What the supervisor is built from.
#[derive(Debug)]
pub struct Parts {
    pub log: Arc<dyn Log>,
    pub clock: Arc<dyn Clock>,
    pub catalog: Arc<Catalog>,
    pub artifacts: Arc<Artifacts>,
    pub sandbox: Arc<Sandbox>,
    pub limits: Limits,
    /// Workers that run guests.
    pub cores: usize,
    /// Guests at once, of all triggers.
    pub guests: usize,
}

const SANE: &str = "nothing panics while it holds the triggers";
/// CPU-bound triggers may have so many attempts out beyond the cores. The sandbox lets no more of them run than
/// there are cores; the next one waits there for its turn, so that no core idles while a feed takes an answer and
/// asks for another attempt.
const NEXT_IN_LINE: f64 = 1.0;
/// One trigger has at most this part of all guests, so that one whose guests wait leaves room for others.
const TRIGGER_SHARE: usize = 4;
/// After the catalogue did not answer.
const PAUSE: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Registers its figures; starts nothing yet.
    ///
    /// # Errors
    /// A figure's name is taken.
    pub fn new(parts: Parts, registry: &Registry) -> prometheus::Result<Arc<Self>> {
        let Parts { log, clock, catalog, artifacts, sandbox, limits, cores, guests } = parts;
        let board = Arc::new(Board::default());
        Gauges::register(
            registry,
            Arc::clone(&board),
            Arc::clone(&clock),
            limits.metric_partitions_max,
        )?;
        let context = Context {
            budget: Budget::new(limits.feeds_bytes_max),
            gates: FunctionGates::default(),
            guests: Gate::new(guests),
            trigger_width_max: (guests / TRIGGER_SHARE).max(1),
            board,
            figures: Figures::register(registry)?,
            events: Arc::new(Events::new()),
            logs: Arc::new(FunctionLogs::new(limits.function_log_lines)),
            tasks: TaskTracker::new(),
            let_go: CancellationToken::new(),
            by_hand: Arc::default(),
            jitter: Jitter::seeded(clock.now().0),
            log,
            clock,
            catalog,
            artifacts,
            sandbox,
            limits,
            cores: u32::try_from(cores).map_or(1.0, f64::from) + NEXT_IN_LINE,
        };
        Ok(Arc::new(Self {
            context: Arc::new(context),
            running: Mutex::default(),
            revision: AtomicU64::new(0),
            attention: Arc::new(Notify::new()),
            ending: CancellationToken::new(),
        }))
    }

    /// Starts the feeds and two tasks: `supervisor` follows the catalogue, `scaler` looks at lags. Both
    /// end when a drain begins; a panic in one is a bug that is told at the end.
    pub fn start(self: &Arc<Self>) {
        self.reconcile();
        let tasks = &self.context.tasks;
        tasks.spawn(Arc::clone(self).follow());
        tasks.spawn(Arc::clone(self).scale());
    }

    /// Lets every feed finish what it has out; after the deadline lets go of the rest. Whether all came
    /// to rest in time.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.ending.cancel();
        for running in self.locked().values() {
            running.ending.cancel();
        }
        self.context.tasks.close();
        let is_at_rest = time::timeout(deadline, self.context.tasks.wait()).await.is_ok();
        if !is_at_rest {
            tracing::warn!(?deadline, "feeds did not come to rest in time: what is out runs again");
            self.context.let_go.cancel();
            self.context.tasks.wait().await;
        }
        is_at_rest
    }

    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.context.events
    }

    #[must_use]
    pub fn function_logs(&self) -> &Arc<FunctionLogs> {
        &self.context.logs
    }

    /// Nothing new is started any more.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    pub(super) fn find(&self, trigger: &TriggerName) -> Option<Arc<RunningTrigger>> {
        self.locked().get(trigger).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<RunningTrigger>> {
        self.locked().values().cloned().collect()
    }

    /// Brings what runs to what the catalogue says. Stable, so once more never hurts.
    pub(super) fn reconcile(&self) {
        // Before the catalogue is read: who read it earlier must not order later.
        let mut running = self.locked();
        if self.ending.is_cancelled() {
            return;
        }
        let catalog = &self.context.catalog;
        let triggers: BTreeMap<TriggerName, Arc<Trigger>> =
            catalog.triggers().into_iter().map(|trigger| (trigger.name.clone(), trigger)).collect();
        let wanted = |trigger: &Arc<Trigger>| plan::desired(catalog, trigger);
        let desired: BTreeMap<TriggerName, Desired> =
            triggers.iter().map(|(name, trigger)| (name.clone(), wanted(trigger))).collect();
        running.retain(|_, running| {
            let has_ended = running.ended.is_cancelled();
            if has_ended {
                running.figures.remove();
            }
            !has_ended
        });
        let now = running.iter().map(|(name, running)| {
            let is_ending = running.ending.is_cancelled();
            let (identity, fingerprint) = (running.identity.clone(), running.fingerprint());
            (name.clone(), Running { identity, fingerprint, is_ending })
        });
        let now = now.collect();
        for action in reconcile(&desired, &now) {
            match action {
                Action::Start(name) => {
                    let started = self.start_trigger(&triggers[&name], desired[&name].clone());
                    running.insert(name, started);
                }
                Action::Tell(name) => {
                    if let Some(running) = running.get(&name) {
                        self.order(running, &triggers[&name], &desired[&name]);
                    }
                }
                Action::End(name) => {
                    if let Some(running) = running.get(&name) {
                        running.ending.cancel();
                    }
                }
            }
        }
    }

    /// Task `member`: drains on its token; a panic ends the trigger's feeds, and the next reconcile
    /// starts it anew.
    fn start_trigger(&self, trigger: &Trigger, desired: Desired) -> Arc<RunningTrigger> {
        let running = RunningTrigger::new(
            trigger.name.clone(),
            desired.identity,
            desired.fingerprint,
            self.orders(trigger),
            self.context.figures.of(&trigger.name),
            Arc::clone(&self.attention),
            self.context.now(),
        );
        let member = Member { context: Arc::clone(&self.context), running: Arc::clone(&running) };
        self.context.tasks.spawn(member.run());
        running
    }

    fn order(&self, running: &RunningTrigger, trigger: &Trigger, desired: &Desired) {
        let before = running.orders();
        let orders = self.orders(trigger);
        if let (Ok(before), Ok(now)) = (&before.binding, &orders.binding)
            && (before.function != now.function || before.version != now.version)
        {
            let message = format!("{}@{}", now.function, now.version);
            self.context.tell(Kind::VersionChanged, &trigger.name, None, message);
        }
        let mut halt = running.halt.lock().expect(SANE);
        if let Err(problem) = halt.set_share(orders.plan.halt_share) {
            tracing::warn!(trigger = %trigger.name, %problem, "the share stays as it was");
        }
        drop(halt);
        running.order(orders, desired.fingerprint);
    }

    fn orders(&self, trigger: &Trigger) -> plan::Orders {
        let revision = self.revision.fetch_add(1, Ordering::Relaxed) + 1;
        let Context { catalog, limits, log, .. } = self.context.as_ref();
        plan::orders(catalog, trigger, limits, &log.limits(), revision)
    }

    async fn follow(self: Arc<Self>) {
        let catalog = &self.context.catalog;
        let mut changes = catalog.changes();
        loop {
            self.halt_who_asked().await;
            self.reconcile();
            self.context.logs.keep_only(|name| catalog.function(name).is_some());
            self.context.gates.keep_only(|name| catalog.function(name).is_some());
            tokio::select! {
                () = self.ending.cancelled() => return,
                () = self.attention.notified() => (),
                // The catalogue lives as long as we.
                _ = changes.changed() => (),
                elsewhere = catalog.changed_elsewhere() => {
                    let refreshed = match elsewhere {
                        Ok(()) => catalog.refresh().await.map_err(|error| error.to_string()),
                        Err(error) => Err(error.to_string()),
                    };
                    if let Err(error) = refreshed {
                        tracing::warn!(error, "the catalogue does not answer");
                        tokio::select! {
                            () = time::sleep(PAUSE) => (),
                            () = self.ending.cancelled() => return,
                        }
                    }
                }
            }
        }
    }

    async fn halt_who_asked(&self) {
        for running in self.all() {
            let reason = running.wants_halt.lock().expect(SANE).take();
            let Some(reason) = reason else { continue };
            tracing::error!(trigger = %running.name, %reason, "the trigger is halted");
            self.context.tell(Kind::Halted, &running.name, None, reason.to_string());
            let halted = Halted { since: self.context.now(), reason: Arc::clone(&reason) };
            let set = self.context.catalog.set_halted(&running.name, Some(halted)).await;
            if let Err(error) = set {
                tracing::warn!(trigger = %running.name, %error, "the halt is not durable yet");
                running.ask_to_halt(reason);
                time::sleep(PAUSE).await;
            }
        }
    }

    async fn scale(self: Arc<Self>) {
        let mut ticks = time::interval(scaler::TICK);
        let mut nth = 0_u32;
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.ending.cancelled() => return,
                _ = ticks.tick() => (),
            }
            let all = self.all();
            scaler::look(&self.context, &all);
            nth = nth.wrapping_add(1);
            for running in all.iter().filter(|_| nth.is_multiple_of(scaler::ENDS)) {
                scaler::look_at_ends(&self.context, running, false).await;
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<TriggerName, Arc<RunningTrigger>>> {
        self.running.lock().expect(SANE)
    }
}
