//! `millstream demo`, the front door: a server with examples deployed, orders that run through them, and
//! a look at what came out. Everything goes through the HTTP API, as a user's program would.
mod client;
mod data;
mod dice;
mod feed;
mod lines;
mod orders;
mod pipelines;
mod progress;
mod run;
mod screen;
mod server;
mod signals;
mod story;
mod watch;

use std::{net::SocketAddr, num::NonZeroU64, path::PathBuf};

pub use run::run;

/// Watch it work: orders, a fraud rule, dead letters, a live server.
///
/// Starts a server on loopback, deploys the example functions, creates topics and triggers, and sends
/// orders through them:
///
///   orders -> enrich -> orders.enriched -> alerts -> alerts
///
/// One order in a hundred is malformed, as orders are in real life: it ends in a dead letter and holds
/// up no other. Then the server goes on, with calls to try, until Ctrl-C.
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[command(after_help = "\
Examples:
  millstream demo
  millstream demo --once --input /var/log/dpkg.log
  tail -f /var/log/syslog | millstream demo --orders 0 --input -")]
pub struct DemoArgs {
    /// Where the data goes [default: a fresh temporary directory].
    ///
    /// What lies there from an earlier run is kept and counted. With --once the temporary directory is
    /// removed at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Where the server listens; loopback only [default: 127.0.0.1:8470, or a free port where that is
    /// taken].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,

    /// How many orders are made. 0: none, and where --input is given no triggers for them either.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub orders: u64,

    /// Orders a second [default: as fast as they are taken].
    #[arg(long, value_name = "N")]
    pub rate: Option<NonZeroU64>,

    /// Other seeds make other orders; the same seed makes the same ones.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Lines of your own for the function `log-lines`: a file, or - for standard input.
    ///
    /// Each line becomes a record of the topic `lines`, an empty one too; what `log-lines` makes of it
    /// goes to `lines.parsed`.
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// End when everything is handled.
    ///
    /// The last line on standard output is JSON then:
    /// {"triggers": {"enrich": {"in": 20000, "handled": 19800, "dead_lettered": 200, "out": 19100}},
    /// "seconds": 1.2}. `in` is `handled` + `dead_lettered`. Ends with an error if a trigger halts or
    /// nothing moves for a minute.
    #[arg(long)]
    pub once: bool,
}
