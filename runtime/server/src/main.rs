//! The program's door: everything is in the library.
use server::allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> std::process::ExitCode {
    Allocator::configure();
    server::cli::main()
}
