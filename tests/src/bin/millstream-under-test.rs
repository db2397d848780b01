//! `millstream`, as it is shipped: the same `main`, in a place where the tests find it.
use std::process::ExitCode;

fn main() -> ExitCode {
    server::cli::main()
}
