//! Everything that can fail in CI and needs Rust alone, under one command: `cargo check-all`.
#![expect(clippy::print_stdout, reason = "it is a command")]
use std::process::{Command, ExitCode};

/// A name, what cargo is told, and its environment.
type Step = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const STEPS: [Step; 4] = [
    ("format", &["fmt", "--all", "--check"], &[]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[]),
    ("tests", &["test", "--workspace", "--locked"], &[]),
    (
        "docs",
        &["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    ),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, arguments, environment) in STEPS {
        if !wanted.is_empty() && !wanted.iter().any(|step| step == name) {
            continue;
        }
        println!("== {name}: cargo {}", arguments.join(" "));
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let status = Command::new(cargo).args(arguments).envs(environment.iter().copied()).status();
        match status {
            Ok(status) if status.success() => (),
            Ok(status) => {
                eprintln!("{name} failed: {status}");
                return ExitCode::FAILURE;
            }
            Err(error) => {
                eprintln!("cargo does not start: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
