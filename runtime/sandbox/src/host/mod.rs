//! All that a guest sees of the host: its clocks, randomness, log, environment and state. Nothing here
//! reaches a disk or a network.
//!
//! **Invariant:** what a guest reads here follows from the call alone.
mod clocks;
mod logs;
mod memory;
mod random;
mod state;

pub(crate) use memory::{GuestMemory, MemoryGauge};

use crate::{call::Call, fault::Fault, logs::Logs};
use clocks::GuestClock;
pub(crate) use clocks::Pace;
use log_contract::{Digest, StateWrite};
use logs::LogBuffer;
use random::Seed;
use state::GuestState;
use std::sync::Arc;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Pollables, streams and the like that a guest may make the host keep.
const HANDLES_MAX: usize = 1_024;
/// Random bytes in one call.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// What belongs to one invocation. Dropped with its store.
pub(crate) struct Host {
    component: Digest,
    call: Arc<Call>,
    /// Made when it is first asked for: many guests never ask.
    wasi: Option<Wasi>,
    table: ResourceTable,
    clock: GuestClock,
    pub(crate) memory: GuestMemory,
    pub(crate) state: GuestState,
    /// Whom a deadline that passes now is to be blamed on.
    pub(crate) waits_for: WaitsFor,
}

/// What a guest has of wasi, and what it wrote there.
struct Wasi {
    ctx: WasiCtx,
    logs: LogBuffer,
}

/// Where an invocation is when its time is up. (An outgoing call, once there are any, is a third: its deadline
/// is an outage, not the guest's failure.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    Guest,
    /// The log, for state. Ours.
    State,
}

impl Host {
    pub(crate) fn new(component: Digest, call: &Arc<Call>, memory: GuestMemory) -> Self {
        let newest =
            call.span.runs().last().map_or(0, |run| run.batch().appended_at(run.range().end - 1).0);
        let clock = GuestClock::starting_at(newest);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Self {
            component,
            call: Arc::clone(call),
            wasi: None,
            table,
            clock,
            memory,
            state: GuestState::new(call),
            waits_for: WaitsFor::Guest,
        }
    }

    pub(crate) fn pace(&self) -> &Arc<Pace> {
        self.clock.pace()
    }

    /// What it wrote to its streams, with unended lines ended.
    pub(crate) fn take_logs(&self) -> Logs {
        self.wasi.as_ref().map_or_else(Logs::default, |wasi| wasi.logs.take())
    }

    /// What it said last on stderr. Asked after `take_logs`.
    pub(crate) fn last_words(&self) -> Option<String> {
        self.wasi.as_ref()?.logs.last_words()
    }

    /// The writes of a guest that has answered, in order.
    pub(crate) fn take_writes(&mut self) -> Vec<StateWrite> {
        self.state.take_writes()
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { component, call, clock, wasi, table, .. } = self;
        let wasi = wasi.get_or_insert_with(|| {
            let logs = LogBuffer::new(call.limits.log_bytes);
            Wasi { ctx: wasi_of(*component, call, clock, &logs), logs }
        });
        WasiCtxView { ctx: &mut wasi.ctx, table }
    }
}

fn wasi_of(component: Digest, call: &Call, clock: &GuestClock, logs: &LogBuffer) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    wasi.allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .wall_clock(clock.clone())
        .monotonic_clock(clock.clone())
        .stdout(logs.stdout())
        .stderr(logs.stderr())
        .max_random_size(RANDOM_BYTES_MAX);
    Seed::of(component, call).give(&mut wasi);
    for (name, value) in call.environment.iter() {
        wasi.env(name, value);
    }
    wasi.build()
}

/// The whole of wasi p2, as every language's runtime imports it, and ours.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    // Its waits are real, and its clock is not: see `clocks`.
    linker.allow_shadowing(true);
    wasmtime_wasi::p2::bindings::clocks::monotonic_clock::add_to_linker::<Host, HasSelf<Host>>(
        linker,
        |host| host,
    )?;
    linker.allow_shadowing(false);
    state::link(linker)
}

/// Ends the guest with a reason of ours.
fn trap<T>(fault: Fault) -> wasmtime::Result<T> {
    Err(wasmtime::Error::new(fault))
}
