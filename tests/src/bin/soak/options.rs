//! What whoever starts a soak may say.
use std::{num::NonZeroU64, path::PathBuf};

/// Load, disturbances and a verifier against a real server, for as long as you like.
///
/// The last line is one JSON object; the exit code is 1 if anything is not as it must be.
#[derive(Clone, Debug, clap::Parser)]
pub(crate) struct Options {
    /// How long the load lasts; finding the rate before and draining after come on top.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) minutes: u64,

    /// Of keys, values, disturbances and their moments [default: chance; it is printed].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Records a second [default: 0.7 of what the machine can do, measured first].
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<NonZeroU64>,

    /// What the whole run may write, at most: a rate that would write more is lowered. There is no
    /// retention yet, so the disk fills.
    #[arg(long, value_name = "GB", default_value_t = 25)]
    pub(crate) disk_gb: u64,

    /// The server's program [default: `millstream-under-test` beside this one].
    #[arg(long, value_name = "FILE")]
    pub(crate) server: Option<PathBuf>,

    /// A fault made on purpose: the run must fail, or it proves nothing.
    #[arg(long, value_enum)]
    pub(crate) fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// The verifier loses one record that it has read.
    LostRecord,
    /// The verifier takes one record that it has read twice.
    DoubledRecord,
    /// The server is given an argument that it warns about.
    Warning,
}
