//! The compilation of a component, in a process of its own with bounds of its own, as compiling has
//! none. Never in this process.
use crate::{
    admit::{AdmitError, CompileResource, HostTrouble},
    config::CompileLimits,
    engine,
};
use rustix::process::{Resource, Rlimit, Signal};
use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::{fs::OpenOptionsExt as _, process::ExitStatusExt as _},
    path::Path,
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};
use tokio::{io::AsyncReadExt as _, process::Command};
use wasmtime::Engine;

/// The parent's bounds, handed over in the environment, so that the command line stays one that a person
/// can type.
const CPU_SECONDS: &str = "MILLSTREAM_COMPILE_CPU_SECONDS";
const MEMORY_BYTES: &str = "MILLSTREAM_COMPILE_MEMORY_BYTES";
const CPU_SECONDS_DEFAULT: u64 = 60;
const MEMORY_BYTES_DEFAULT: u64 = 2 << 30;
/// Compiling gives way to everything else.
const NICENESS: i32 = 10;
/// Each compiler thread takes address space, of which there is a bound.
const THREADS_MAX: usize = 4;
/// The exit code that says: the component is at fault.
const REFUSED: u8 = 2;
/// Of what the child says.
const WORDS_MAX: u64 = 16 << 10;

/// The body of `millstream compile IN OUT`: bounds itself, then compiles. Says on stderr what went wrong.
#[must_use]
pub fn compile_main(input: &Path, output: &Path) -> ExitCode {
    match bound_this_process().and_then(|()| compile_here(input, output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, reason)) => {
            eprintln!("{reason}");
            ExitCode::from(code)
        }
    }
}

fn bound_this_process() -> Result<(), (u8, String)> {
    let number = |name: &str, default| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let cpu = number(CPU_SECONDS, CPU_SECONDS_DEFAULT);
    let memory = number(MEMORY_BYTES, MEMORY_BYTES_DEFAULT);
    let limit = |resource, current, maximum| {
        let limit = Rlimit { current: Some(current), maximum: Some(maximum) };
        rustix::process::setrlimit(resource, limit)
            .map_err(|error| (1, format!("bound this process ({resource:?}): {error}")))
    };
    limit(Resource::Cpu, cpu, cpu + 1)?;
    limit(Resource::As, memory, memory)?;
    limit(Resource::Core, 0, 0)?;
    // A courtesy: without it the bounds still hold.
    let _ = rustix::process::nice(NICENESS);
    Ok(())
}

fn compile_here(input: &Path, output: &Path) -> Result<(), (u8, String)> {
    let ours = |act: &str, path: &Path, error: &std::io::Error| {
        (1, format!("{act} `{}`: {error}", path.display()))
    };
    let component = std::fs::read(input).map_err(|error| ours("read", input, &error))?;
    let engine = Engine::new(&engine::settings())
        .map_err(|error| (1, format!("make an engine: {error:#}")))?;
    let compiled =
        engine.precompile_component(&component).map_err(|error| (REFUSED, format!("{error:#}")))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(output)
        .map_err(|error| ours("create", output, &error))?;
    file.write_all(&compiled)
        .and_then(|()| file.sync_all())
        .map_err(|error| ours("write", output, &error))
}

/// Runs `<command> compile <input> <output>` within the limits.
pub(crate) async fn compile_apart(
    command: &Path,
    limits: CompileLimits,
    input: &Path,
    output: &Path,
) -> Result<(), AdmitError> {
    let act = || format!("run `{} compile`", command.display());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let mut child = Command::new(command)
        .arg("compile")
        .args([input, output])
        .env_clear()
        .env(CPU_SECONDS, limits.cpu.as_secs().max(1).to_string())
        .env(MEMORY_BYTES, limits.memory_bytes.to_string())
        // Address space again: of compiler threads and of the allocator's arenas.
        .env("RAYON_NUM_THREADS", threads.to_string())
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| HostTrouble::new(act(), &error))?;
    let mut said = Vec::new();
    let stderr = child.stderr.take();
    let ended = tokio::time::timeout(limits.wall, async {
        if let Some(stderr) = stderr {
            stderr.take(WORDS_MAX).read_to_end(&mut said).await?;
        }
        child.wait().await
    });
    match ended.await {
        Ok(Ok(status)) => judge(status, String::from_utf8_lossy(&said).trim(), limits),
        Ok(Err(error)) => Err(HostTrouble::new(act(), &error).into()),
        Err(_) => Err(too_long(&format!("{} of wall time", seconds(limits.wall)))),
    }
}

/// What the end of the child says of the component.
fn judge(status: ExitStatus, said: &str, limits: CompileLimits) -> Result<(), AdmitError> {
    let is_out_of_memory =
        ["memory allocation of", "annot allocate memory", "temporarily unavailable"]
            .iter()
            .any(|words| said.contains(words));
    if status.success() {
        return Ok(());
    }
    if is_out_of_memory {
        let most = format!("{} bytes of memory", limits.memory_bytes);
        return Err(AdmitError::CompileLimit { what: CompileResource::Memory, most });
    }
    let signal = status.signal().and_then(Signal::from_named_raw);
    match (status.code(), signal) {
        (Some(code), _) if code == i32::from(REFUSED) => {
            Err(AdmitError::NotAComponent { reason: said.into() })
        }
        (_, Some(Signal::XCPU)) => Err(too_long(&format!("{} of CPU time", seconds(limits.cpu)))),
        // The compiler's own recursion, on what is nested too deeply.
        (_, Some(Signal::SEGV | Signal::BUS | Signal::ABORT)) => Err(AdmitError::NotAComponent {
            reason: format!("the compiler does not survive it ({status}) {said}"),
        }),
        _ => {
            Err(HostTrouble::new("compile a component".into(), &format!("{status} {said}")).into())
        }
    }
}

fn too_long(most: &str) -> AdmitError {
    AdmitError::CompileLimit { what: CompileResource::Cpu, most: most.into() }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}
