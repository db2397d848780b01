//! `sandbox-compile compile IN OUT`: the compiler's process for tests and benches. Nothing else.
use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [verb, input, output] if verb == "compile" => {
            sandbox::compile_main(Path::new(input), Path::new(output))
        }
        _ => ExitCode::FAILURE,
    }
}
