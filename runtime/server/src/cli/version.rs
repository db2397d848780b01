//! `millstream version`. Never anything that takes time.
use std::io::Write as _;

/// Say which version this is.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  millstream version
  curl http://127.0.0.1:8470/version   of a server that runs")]
pub struct VersionArgs {}

pub(super) fn run(_: &VersionArgs) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "millstream {}", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
