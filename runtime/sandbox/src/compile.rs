//! The compilation of a component, in a process of its own with bounds of its own, as compiling has
//! none. Never in this process.
use std::{path::Path, process::ExitCode};

/// The body of `millstream compile IN OUT`: bounds itself, then compiles. Says on stderr what went wrong.
#[must_use]
pub fn compile_main(input: &Path, output: &Path) -> ExitCode {
    let _ = (input, output);
    ExitCode::FAILURE
}
