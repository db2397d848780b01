//! Whose fault an error of the engine is, and the words for it. The only place that reads the engine's
//! errors.
use crate::{call::Limits, host::Host};
use std::{fmt, sync::Arc};
use trigger::{Failure, FailureKind, HostFault, Outcome};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Of a reason that is kept, shown and put into dead letters.
const REASON_BYTES_MAX: usize = 4 << 10;

/// Why we ended an invocation, carried through the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Guest(Failure),
    Host(HostFault),
}

impl Fault {
    pub(crate) fn bound(reason: String) -> Self {
        Self::Guest(failure(FailureKind::BoundBroken, &reason))
    }

    pub(crate) fn trap(reason: String) -> Self {
        Self::Guest(failure(FailureKind::Trapped, &reason))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guest(failure) => &failure.reason,
            Self::Host(fault) => &fault.reason,
        })
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Result<Outcome, HostFault> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Guest(failure) => Ok(Outcome::Failed(failure)),
            Fault::Host(fault) => Err(fault),
        }
    }
}

/// How far an invocation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Instantiate,
    Handle,
}

/// Whether the pool had no room: the one error that is answered by trying elsewhere.
pub(crate) fn is_pool_full(error: &wasmtime::Error) -> bool {
    error.is::<PoolConcurrencyLimitError>()
}

/// Tells the guest's faults from ours.
pub(crate) fn of_error(
    error: &wasmtime::Error,
    stage: Stage,
    host: &Host,
    limits: &Limits,
) -> Fault {
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return fault.clone();
    }
    if is_pool_full(error) || error.is::<wasmtime::OutOfMemory>() {
        return host_fault("run a guest", error);
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return Fault::trap(format!("called `exit` with {code} instead of answering"));
    }
    let said = host.last_words();
    let text = describe(error, said.as_deref());
    if host.memory.was_refused {
        let most = limits.memory_bytes;
        let reason = format!("asked for more than {most} bytes of memory, then: {text}");
        return Fault::Guest(failure(FailureKind::OutOfMemory, &reason));
    }
    if is_copy_bound(error) {
        let most = limits.output_bytes;
        return Fault::bound(format!("the answer is larger than {most} bytes"));
    }
    let is_of_guest = error.is::<Trap>() || error.is::<WasmBacktrace>();
    if stage == Stage::Instantiate && !is_of_guest {
        return host_fault("make an instance", error);
    }
    Fault::trap(text)
}

/// The engine's own bound on what it copies for one answer has no type, only words.
fn is_copy_bound(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls")
}

fn host_fault(act: &str, error: &wasmtime::Error) -> Fault {
    Fault::Host(HostFault { reason: format!("{act}: {error:#}").into() })
}

/// The kind of trap, where, and what the guest said of it.
fn describe(error: &wasmtime::Error, said: Option<&str>) -> String {
    let cause = error.root_cause().to_string();
    let mut text = cause.strip_prefix("wasm trap: ").unwrap_or(&cause).to_owned();
    let frame = error.downcast_ref::<WasmBacktrace>().and_then(|trace| trace.frames().first());
    if let Some(frame) = frame {
        let symbol = frame.symbols().first();
        let name = symbol.and_then(|symbol| symbol.name()).or(frame.func_name());
        text += &format!(" in `{}`", name.unwrap_or("?"));
        if let Some((file, line)) = symbol.and_then(|symbol| symbol.file().zip(symbol.line())) {
            text += &format!(" at {file}:{line}");
        }
    }
    match said {
        Some(said) => format!("{text}: {said}"),
        None => text,
    }
}

/// Cut to what may be kept.
pub(crate) fn failure(kind: FailureKind, reason: &str) -> Failure {
    Failure { kind, reason: shorten(reason) }
}

pub(crate) fn shorten(reason: &str) -> Arc<str> {
    if reason.len() <= REASON_BYTES_MAX {
        return reason.into();
    }
    format!("{}…", &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]).into()
}
