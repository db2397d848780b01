//! A soak: load, disturbances and a verifier against the real server, from outside, for twenty minutes or
//! a night. `runtime/docs/soak.md` says what it promises. Never a look inside the server's process.
#![expect(clippy::print_stdout, reason = "it is a command")]
mod options;
mod run;

mod load;
mod orders;
mod pipeline;
mod replay;

mod disturbances;

mod flat;
mod ledger;
mod outputs;
mod samples;
mod server_log;
mod verdict;

mod dice;
mod scene;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use clap::Parser as _;
use serde_json::json;

use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}, {} minutes", options.minutes);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    // A panic of the harness is told in the last line, too.
    let soaked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run::soak(options, seed))));
    let problem = match soaked {
        Ok(Ok(report)) => {
            println!("{report}");
            return if report["ok"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Ok(Err(error)) => format!("{error:#}"),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            text.unwrap_or_else(|| "a panic: see above".into())
        }
    };
    println!("{}", json!({"ok": false, "seed": seed, "problems": [problem]}));
    ExitCode::FAILURE
}
