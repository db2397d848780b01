//! `millstream`, as it is shipped: the same `main` and allocator, in a place where the tests find it.
use std::process::ExitCode;

use server::allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    Allocator::configure();
    server::cli::main()
}
