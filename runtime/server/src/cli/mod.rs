//! The command line: what a person says, as calls of the parts. Never a decision of the domain.
pub mod bench;
mod compile;
pub mod demo;
mod serve;
mod version;

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::{Parser, Subcommand};

pub use compile::CompileArgs;
pub use serve::ServeArgs;
pub use version::VersionArgs;

/// Functions on streams, in one program: topics, triggers, and the functions that read them.
#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    propagate_version = true,
    after_help = "\
Begin here:
  millstream demo                      watch it work, on data of its own
  millstream serve --data ./data       a server that keeps its data in ./data
  curl http://127.0.0.1:8470/v1/topics what it has

`millstream help serve` explains a command."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(ServeArgs),
    Demo(demo::DemoArgs),
    Bench(bench::BenchArgs),
    Version(VersionArgs),
    Compile(CompileArgs),
}

/// The program. Errors are said on stderr with all their causes; the exit code is 1 then, and 2 where the
/// command line is wrong.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = Cli::parse_from(args).command;
    raise_open_files();
    let done = match command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Version(args) => version::run(&args),
        Command::Compile(CompileArgs { input, output }) => {
            return sandbox::compile_main(Path::new(&input), Path::new(&output));
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millstream: {}", crate::telemetry::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The journal has a file for every 64 MiB, and shells give a process 1,024 where the system would give it many
/// more. Where it may not be raised, what does not open says so.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // No log lines yet, and nothing is lost.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_teaches() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands().filter(|it| !it.is_hide_set()) {
            let mut command = command.clone();
            let help = command.render_long_help().to_string();
            assert!(help.contains("millstream "), "`{}` shows no example", command.get_name());
        }
    }
}
