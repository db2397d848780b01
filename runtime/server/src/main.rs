//! The program's door: everything is in the library.

/// Batches are made and dropped all the time, each larger than what the system's own allocator keeps: with
/// that one, every batch would ask the system for fresh pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    server::cli::main()
}
