//! `millstream compile IN OUT`: how the server compiles a component, in a process of its own with bounds on
//! CPU time and memory. Never called by people, and never by anything but the server.
use std::path::PathBuf;

/// Compile one component; the server calls this.
///
/// Example: millstream compile enrich.wasm enrich.cwasm
#[derive(Clone, Debug, clap::Args)]
#[command(hide = true)]
pub struct CompileArgs {
    /// The component.
    pub input: PathBuf,
    /// Where the machine code goes.
    pub output: PathBuf,
}
