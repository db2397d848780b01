//! One invocation from a fresh instance to its end. Never a retry, never a second look at an answer.
use crate::{
    abi::{Answer, BatchIn, Params, Records, WindowIn, fuel},
    answer,
    call::{Call, Cost, Invoked, Window},
    fault::{self, Fault, Stage},
    function::{Function, Linked},
    host::{GuestMemory, Host, MemoryGauge, Pace, WaitsFor},
    turns::{Seat, Turns},
};
use log_contract::Digest;
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};
use trigger::{FailureKind, HostFault, Outcome};
use wasmtime::{Store, UpdateDeadline, component::TypedFunc};

/// Resources of wasi that one guest may hold.
const GUEST_HANDLES_MAX: usize = 1_024;

/// What all invocations share.
pub(crate) struct Runner {
    slots: u64,
    memory_max: usize,
    turns: Turns,
    pub(crate) gauge: MemoryGauge,
    pub(crate) invocations: AtomicU64,
    in_pool: AtomicU64,
    pub(crate) pooled: AtomicU64,
    pub(crate) on_demand: AtomicU64,
    has_warned: AtomicBool,
}

/// How an instance ended.
enum End {
    Answered(Answer),
    Broke(wasmtime::Error, Stage),
    TimedOut,
}

/// What [`bounded`] saw.
#[derive(Default)]
struct Spent {
    cpu: Duration,
    /// It could go on, and others had the cores.
    waited: Duration,
}

/// A slot of the pool, counted.
struct Slot<'a>(&'a AtomicU64);

impl Runner {
    pub(crate) fn new(slots: u64, memory_max: usize, turns: Turns) -> Self {
        Self {
            slots,
            memory_max,
            turns,
            gauge: MemoryGauge::default(),
            invocations: AtomicU64::new(0),
            in_pool: AtomicU64::new(0),
            pooled: AtomicU64::new(0),
            on_demand: AtomicU64::new(0),
            has_warned: AtomicBool::new(false),
        }
    }

    pub(crate) async fn run(&self, function: &Function, call: Call) -> Invoked {
        self.invocations.fetch_add(1, Ordering::Relaxed);
        let call = Arc::new(call);
        if let Some(linked) = function.pooled()
            && let Some(_slot) = self.slot()
        {
            // What does not fit after all (several memories, say) has not begun, so it begins elsewhere.
            if let Some(invoked) = self.run_on(linked, function.digest(), &call, true).await {
                self.pooled.fetch_add(1, Ordering::Relaxed);
                return invoked;
            }
        }
        self.on_demand.fetch_add(1, Ordering::Relaxed);
        if function.pooled().is_some() && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                slots = self.slots,
                "more guests at once than the pool has slots: the others cost twice as much to start"
            );
        }
        let linked = match function.on_demand() {
            Ok(linked) => linked,
            Err(trouble) => return not_run(&trouble.to_string()),
        };
        match self.run_on(linked, function.digest(), &call, false).await {
            Some(invoked) => invoked,
            None => not_run("the engine without a pool has a full pool"),
        }
    }

    fn slot(&self) -> Option<Slot<'_>> {
        let slot = Slot(&self.in_pool);
        let before = self.in_pool.fetch_add(1, Ordering::Relaxed);
        (before < self.slots).then_some(slot)
    }

    /// `None`: the pool had no room, and no code of the guest has run.
    async fn run_on(
        &self,
        linked: &Linked,
        component: Digest,
        call: &Arc<Call>,
        is_pool: bool,
    ) -> Option<Invoked> {
        let mut seat = self.turns.seat(&call.share);
        poll_fn(|cx| seat.poll_turn(cx)).await;
        let started = Instant::now();
        let mut spent = Spent::default();
        let memory = GuestMemory::new(call.limits.memory_bytes.min(self.memory_max), &self.gauge);
        let mut store = store_for(linked, Host::new(component, call, memory), call);
        let pace = Arc::clone(store.data().pace());
        let guest = handle(linked, &mut store, call);
        let end = bounded(guest, &pace, call.limits.timeout, &mut spent, &mut seat).await;
        let host = store.data_mut();
        let is_full =
            matches!(&end, End::Broke(error, Stage::Instantiate) if fault::is_pool_full(error));
        if is_pool && is_full {
            return None;
        }
        let ended = Instant::now();
        let logs = host.take_logs();
        let result = judge(end, host, call);
        let memory_peak_bytes = host.memory.peak;
        // The guest's memory is given back before the time is taken: that costs too.
        drop(store);
        seat.leave(ended.elapsed());
        let Spent { cpu, waited } = spent;
        let cost = Cost { wall: started.elapsed(), cpu, waited, memory_peak_bytes };
        Some(Invoked { result, cost, logs })
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An invocation that never began.
pub(crate) fn not_run(reason: &str) -> Invoked {
    let result = Err(HostFault { reason: reason.into() });
    Invoked { result, cost: Cost::default(), logs: crate::logs::Logs::default() }
}

fn store_for(linked: &Linked, host: Host, call: &Call) -> Store<Host> {
    let mut store = Store::new(linked.pre.engine(), host);
    store.limiter(|host| &mut host.memory);
    store.set_hostcall_fuel(fuel(&call.limits));
    store.set_max_component_handles(GUEST_HANDLES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        store.data().pace().give_way();
        Ok(UpdateDeadline::Yield(1))
    });
    store
}

async fn handle(linked: &Linked, store: &mut Store<Host>, call: &Call) -> End {
    let instance = match linked.pre.instantiate_async(&mut *store).await {
        Ok(instance) => instance,
        Err(error) => return End::Broke(error, Stage::Instantiate),
    };
    let Some(function) = instance.get_func(&mut *store, linked.handle) else {
        let error = wasmtime::Error::new(Fault::trap("`handle` is gone".into()));
        return End::Broke(error, Stage::Instantiate);
    };
    // SAFETY: linking has checked that `handle` has exactly this type (`Linked::new`), and the index is of
    // this component.
    #[expect(unsafe_code, reason = "the check of a type is done once, not for each instance")]
    let function = unsafe { TypedFunc::<Params<'_>, Answer>::new_unchecked(function) };
    match function.call_async(&mut *store, (batch(call),)).await {
        Ok(answer) => End::Answered(answer),
        Err(error) => End::Broke(error, Stage::Handle),
    }
}

fn batch(call: &Call) -> BatchIn<'_> {
    let window = call.window.map(|Window { start, end, is_final, is_early }| WindowIn {
        start_ms: start.0,
        end_ms: end.0,
        is_final,
        is_early,
    });
    BatchIn {
        trigger: &call.trigger,
        invocation: &call.invocation,
        attempt: call.attempt,
        topic: &call.topic,
        partition: call.partition.0,
        window,
        records: Records(&call.span),
    }
}

/// Runs a guest until it ends or its time is up; counts its time on the worker. The clock is looked at
/// whenever the guest gives way, so one that burns ends without a timer, and one that sleeps with it.
///
/// A guest that could go on while others have the cores is not billed for that: its deadline moves.
async fn bounded(
    guest: impl Future<Output = End>,
    pace: &Pace,
    timeout: Duration,
    spent: &mut Spent,
    seat: &mut Seat<'_>,
) -> End {
    let mut deadline = Instant::now() + timeout;
    let mut waits_since: Option<Instant> = None;
    let mut guest = pin!(guest);
    let mut alarm = pin!(tokio::time::sleep_until(deadline.into()));
    poll_fn(|cx| {
        let mut began = Instant::now();
        if seat.poll_turn(cx).is_pending() {
            waits_since.get_or_insert(began);
            return Poll::Pending;
        }
        if let Some(since) = waits_since.take() {
            began = Instant::now();
            spent.waited += began - since;
            deadline += began - since;
        }
        let polled = guest.as_mut().poll(cx);
        let now = Instant::now();
        let ran = now - began;
        spent.cpu += ran;
        if let Poll::Ready(end) = polled {
            // The turn is kept for what is left to do.
            seat.charge(ran);
            return Poll::Ready(end);
        }
        if now >= deadline {
            seat.charge(ran);
            return Poll::Ready(End::TimedOut);
        }
        if pace.has_given_way() {
            // It is woken already.
            seat.give_way(ran);
            waits_since = Some(now);
            return Poll::Pending;
        }
        seat.leave(ran);
        if alarm.deadline() < deadline.into() {
            alarm.as_mut().reset(deadline.into());
        }
        alarm.as_mut().poll(cx).map(|()| End::TimedOut)
    })
    .await
}

fn judge(end: End, host: &mut Host, call: &Call) -> Result<Outcome, HostFault> {
    match end {
        End::Answered((answer,)) => answer::outcome(answer, host.take_writes(), call),
        End::Broke(error, stage) => fault::of_error(&error, stage, host, &call.limits).into(),
        End::TimedOut => {
            let timeout = call.limits.timeout;
            match host.waits_for {
                WaitsFor::State => {
                    let reason = format!("reading state was not done within {timeout:?}").into();
                    Err(HostFault { reason })
                }
                WaitsFor::Guest => {
                    let reason = format!("ran longer than {timeout:?}");
                    Ok(Outcome::Failed(fault::failure(FailureKind::TimedOut, &reason)))
                }
            }
        }
    }
}
