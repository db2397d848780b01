//! What the operator sets for the sandbox. No defaults here: the server's configuration has them.
use std::{path::PathBuf, time::Duration};

/// Everything that bounds guests and their compilation.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Holds compiled components; made with mode 0700. Whoever can write here can run code as this
    /// process, so it is never shared.
    pub artifacts_dir: PathBuf,
    /// Run as `<compile_command> compile <in.wasm> <out.cwasm>`: a program that calls
    /// [`crate::compile_main`].
    pub compile_command: PathBuf,
    /// Instances that the pool has room for. More run too, at twice the cost, with one warning.
    pub slots: u32,
    /// Workers that run guests; one per core.
    pub guest_threads: usize,
    /// Largest memory that any function may be given: a slot of the pool is as large (address space,
    /// not memory).
    pub memory_max: usize,
    /// Memory that a slot keeps between invocations, so that it need not be mapped again.
    pub memory_resident: usize,
    /// Largest component that is admitted.
    pub component_bytes_max: usize,
    pub compile: CompileLimits,
}

/// What one compilation may use. They run one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// CPU time over all threads, whole seconds.
    pub cpu: Duration,
    /// Address space.
    pub memory_bytes: u64,
    /// Wall time, after which it is ended whatever it does.
    pub wall: Duration,
}
