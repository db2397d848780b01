//! `millstream bench`: what this machine can do, and what the program makes of it, in one run. Drives the
//! real parts in process, on real files; HTTP is in the way only where it is measured. Keys: runtime/docs/bench.md.
mod burst;
mod core;
mod etl;
mod growth;
mod http;
mod idle;
mod latency;
mod limits;
mod load;
mod log;
mod neighbours;
#[cfg(feature = "peers")]
mod peers;
mod pipeline;
mod report;
mod rig;
mod sandbox;
mod stages;
mod stuck_key;
mod usage;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use self::{limits::Limits, report::Section, rig::Rig};
use crate::telemetry::{self, LogFormat};

/// Measure this machine, and what Millstream makes of it.
///
/// Each run measures the machine's own limits first, on the same file system, and says what the other
/// figures are beside them: figures of two machines, or of a busy and a quiet one, do not compare, and
/// ratios do. Run it on a quiet machine, built with --release.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  millstream bench                      all but idle, neighbours, stuck-key and peers: two minutes
  millstream bench pipeline             topic -> function -> topic, durable, exactly once
  millstream bench -o json latency      the last line is JSON, for programs

The keys of the JSON are explained in runtime/docs/bench.md.")]
pub struct BenchArgs {
    /// What to measure [default: all but `idle`, `neighbours` and `stuck-key`, which take minutes, and
    /// `peers`, which needs other servers].
    #[command(subcommand)]
    what: Option<What>,

    /// Where the data goes: a directory on the disk that is to be measured. What is written there is
    /// removed at the end [default: a temporary directory that is not in memory].
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,

    /// How results are written.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A table.
    #[default]
    Text,
    /// One object on one line, last on standard output; the table goes to standard error.
    Json,
}

/// Of the backlog of orders.
const ETL_RECORDS: u64 = 800_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
enum What {
    /// What the machine can do: sync latency, sequential write, memory.
    Limits,
    /// Appends in process: one small record at a time, and batches of 1,000.
    Log,
    /// A backlog through the identity function into a topic: 4 partitions, batches of 1,000, durable,
    /// exactly once.
    Pipeline {
        /// Give each record one of 1,000 keys: order per key, and the output spread by key.
        #[arg(long)]
        keyed: bool,
        /// Records of the backlog at 100 bytes; at 1 KiB a fifth of it.
        #[arg(long, value_name = "N", default_value_t = pipeline::RECORDS)]
        records: u64,
    },
    /// From an append to its output being visible, at 1,000 records a second.
    Latency,
    /// The same through three triggers, each reading what the one before puts out.
    Chained,
    /// Orders as JSON of 1 KiB, parsed, filtered and reshaped: what is left of the cores for the function.
    Etl {
        /// Records of the backlog.
        #[arg(long, value_name = "N", default_value_t = ETL_RECORDS)]
        records: u64,
    },
    /// A backlog through 64 partitions, 64 triggers, or in batches of 10,000, beside the usual shape.
    Growth {
        /// Records of each backlog.
        #[arg(long, value_name = "N", default_value_t = pipeline::RECORDS)]
        records: u64,
    },
    /// 1,000 triggers at rest, a record for each of them at once.
    Burst {
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        triggers: u64,
    },
    /// Appends over HTTP: NDJSON of 1,000 records by 8 connections, one record a request by 64.
    Http,
    /// A server with 10,000 triggers that have nothing to do: start, memory, CPU. Some 2 minutes.
    Idle {
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        triggers: u64,
    },
    /// Invocations of a function, nothing else.
    Sandbox,
    /// Where the time of a record goes, stage by stage.
    Stages,
    /// One stage, so many times, and nothing else: for whoever counts instructions.
    #[command(hide = true)]
    Repeat {
        #[arg(value_enum)]
        stage: stages::Stage,
        /// Each with 1,000 records of 100 B.
        #[arg(long, value_name = "N", default_value_t = 100)]
        rounds: u64,
    },
    /// What a trigger keeps of the cores, and its latency, beside hostile functions: some 3 minutes.
    Neighbours(neighbours::Setting),
    /// What a key that fails for a minute costs the other keys: some 2 minutes.
    StuckKey(stuck_key::Setting),
    /// The work of `pipeline` done by plain consumer programs on NATS JetStream and Redis Streams, which
    /// must be installed, beside ours. Their clients are in a build of their own:
    /// cargo run --release --features peers -- bench peers
    Peers,
}

/// Runs what was asked for and prints it.
///
/// # Errors
/// A part does not start, or does not do what is measured.
pub fn run(args: &BenchArgs) -> Result<()> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned());
    telemetry::start(LogFormat::Human, &filter)?;
    let parent = args.data.clone().unwrap_or_else(rig::folder_on_disk);
    std::fs::create_dir_all(&parent).with_context(|| format!("make `{}`", parent.display()))?;
    let folder = tempfile::Builder::new().prefix("millstream-bench-").tempdir_in(&parent);
    let folder = folder.with_context(|| format!("make a directory in `{}`", parent.display()))?;
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    let sections = runtime.block_on(measure(args, folder.path()))?;
    if args.output == Output::Json {
        say(&mut io::stdout(), &report::json(&sections).to_string());
    }
    Ok(())
}

async fn measure(args: &BenchArgs, folder: &Path) -> Result<Vec<Section>> {
    if cfg!(debug_assertions) {
        say(&mut io::stderr(), "this is a debug build: figures say little; build with --release");
    }
    if rig::is_in_memory(folder) {
        say(&mut io::stderr(), "the data lies in memory: syncs cost nothing; give --data");
    }
    if let Some(What::Repeat { stage, rounds }) = args.what {
        let rig = Rig::start(folder).await?;
        let repeated = stages::repeat(&rig, stage, rounds).await;
        rig.stop().await?;
        return repeated.map(|()| Vec::new());
    }
    if args.what == Some(What::Peers) {
        check_peers()?;
    }
    let mut done = Vec::new();
    let mut show = |section: Section| {
        for line in section.lines() {
            match args.output {
                Output::Text => say(&mut io::stdout(), &line),
                Output::Json => say(&mut io::stderr(), &line),
            }
        }
        done.push(section);
    };
    let limits = limits::measure(folder)?;
    show(limits.section());
    let all = [
        What::Log,
        What::Pipeline { keyed: false, records: pipeline::RECORDS },
        What::Latency,
        What::Chained,
        What::Etl { records: ETL_RECORDS },
        What::Growth { records: pipeline::RECORDS },
        What::Burst { triggers: 1_000 },
        What::Http,
        What::Sandbox,
        What::Stages,
    ];
    for what in args.what.map_or(all.to_vec(), |one| vec![one]) {
        if let Some(section) = one(what, &limits, folder).await? {
            show(section);
        }
    }
    Ok(done)
}

/// Each on parts of its own, so that none inherits what another left.
async fn one(what: What, limits: &Limits, folder: &Path) -> Result<Option<Section>> {
    if what == What::Limits {
        return Ok(None);
    }
    let rig = Rig::start(folder).await?;
    if let What::Idle { triggers } = what {
        let filled = idle::fill(&rig, triggers).await;
        let data = rig.leave().await;
        let section = filled.and_then(|()| idle::measure(&data, triggers));
        rig::remove(&data)?;
        return section.map(Some);
    }
    let section = match what {
        What::Limits | What::Idle { .. } | What::Repeat { .. } => unreachable!("measured before"),
        What::Log => log::measure(&rig, limits).await,
        What::Pipeline { keyed, records } => pipeline::measure(&rig, limits, keyed, records).await,
        What::Latency => latency::measure(&rig, limits).await,
        What::Chained => latency::chained(&rig, limits).await,
        What::Etl { records } => etl::measure(&rig, limits, records).await,
        What::Growth { records } => growth::measure(&rig, records).await,
        What::Burst { triggers } => burst::measure(&rig, triggers).await,
        What::Http => http::measure(&rig).await,
        What::Sandbox => sandbox::measure(&rig).await,
        What::Stages => stages::measure(&rig).await,
        What::Neighbours(setting) => neighbours::measure(&rig, setting).await,
        What::StuckKey(setting) => stuck_key::measure(&rig, setting).await,
        #[cfg(feature = "peers")]
        What::Peers => peers::measure(&rig, folder).await,
        #[cfg(not(feature = "peers"))]
        What::Peers => unreachable!("refused before"),
    };
    rig.stop().await?;
    section.map(Some)
}

/// Says what is missing before anything is measured.
#[cfg(feature = "peers")]
fn check_peers() -> Result<()> {
    for missing in peers::Peers::find()?.missing() {
        say(&mut io::stderr(), &missing);
    }
    Ok(())
}

#[cfg(not(feature = "peers"))]
fn check_peers() -> Result<()> {
    anyhow::bail!(
        "this build is without the clients of other servers; \
         run `cargo run --release --features peers -- bench peers`"
    )
}

/// Whoever closed the pipe does not want to hear it.
fn say(to: &mut dyn Write, line: &str) {
    writeln!(to, "{line}").and_then(|()| to.flush()).ok();
}
