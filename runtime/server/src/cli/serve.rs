//! `millstream serve`: opens everything, serves, and ends in order when it is told to. Never a part's own
//! work.
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::App,
    config::{Config, Storage},
    http::{self, Access},
    telemetry::{self, LogFormat},
};

/// For requests that are under way when the program is told to end.
const REQUESTS_WAIT: Duration = Duration::from_secs(10);

/// Run a server.
///
/// It keeps its records, functions and positions in one directory, which no other process uses, and
/// listens on loopback unless it is told otherwise. SIGTERM or Ctrl-C ends it in order: no new
/// requests, what is under way is finished and made durable. A second one ends it at once; nothing that
/// was answered is lost then either.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  millstream serve --data ./data
  millstream serve --ephemeral                      nothing is kept: for trying things out
  millstream serve --listen 0.0.0.0:8470 --token-file tokens.txt
  millstream serve --log-format json --log warn,server::http=debug

Then, in another terminal:
  curl -X PUT http://127.0.0.1:8470/v1/topics/orders
  curl http://127.0.0.1:8470/v1/topics/orders/records -H 'content-type: text/plain' -d 'hello'
  curl http://127.0.0.1:8470/v1/topics/orders/records")]
pub struct ServeArgs {
    /// Where everything is kept; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "data", env = "MILLSTREAM_DATA")]
    pub data: PathBuf,

    /// Keep everything in memory: gone when the program ends.
    #[arg(long)]
    pub ephemeral: bool,

    /// Where to listen. Port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8_470)),
        env = "MILLSTREAM_LISTEN"
    )]
    pub listen: SocketAddr,

    /// Let in only who has one of the tokens in this file, one a line.
    ///
    /// Callers send `Authorization: Bearer …`; /livez and /readyz need none. Make one:
    /// head -c 32 /dev/urandom | base64 > tokens.txt; chmod 600 tokens.txt
    #[arg(long, value_name = "FILE", env = "MILLSTREAM_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,

    /// Listen beyond loopback without tokens: whoever reaches the port may do everything.
    #[arg(long, conflicts_with = "token_file")]
    pub insecure: bool,

    /// How the log on stderr looks.
    #[arg(long, value_enum, default_value = "human", env = "MILLSTREAM_LOG_FORMAT")]
    pub log_format: Format,

    /// What the log says: a level, or `target=level,…`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "MILLSTREAM_LOG")]
    pub log: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Human,
    Json,
}

impl From<Format> for LogFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Human => Self::Human,
            Format::Json => Self::Json,
        }
    }
}

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    telemetry::start(args.log_format.into(), &args.log)?;
    let access = access(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("millstream-serve")
        .enable_all()
        .build()
        .context("start the server's threads")?;
    runtime.block_on(serve(args, access))
}

/// Who is let in. A door to the world needs a lock, or a loud word that it has none.
fn access(args: &ServeArgs) -> anyhow::Result<Access> {
    let (at, is_loopback) = (args.listen, args.listen.ip().is_loopback());
    if let Some(file) = &args.token_file {
        return Ok(Access::with_token_file(file, is_loopback)?);
    }
    match (is_loopback, args.insecure) {
        (false, false) => bail!(
            "{at} is reachable from other machines, and there is no token: give --token-file FILE, or \
             --insecure to let in everybody who reaches it"
        ),
        (false, true) => {
            tracing::warn!(%at, "INSECURE: no token is asked for, whoever reaches this port may do everything");
        }
        (true, true) => {
            tracing::warn!("--insecure says nothing on loopback: no token is asked for anyway");
        }
        (true, false) => {}
    }
    Ok(Access::open(is_loopback))
}

async fn serve(args: &ServeArgs, access: Access) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("listen on {}", args.listen))?;
    let at = listener.local_addr().context("ask for the port")?;
    let storage =
        if args.ephemeral { Storage::Ephemeral } else { Storage::Directory(args.data.clone()) };
    let where_to = if args.ephemeral { "memory".into() } else { args.data.display().to_string() };
    let program = std::env::current_exe().context("find this program's own file")?;
    let app = App::start(Config::new(storage, program)).await;
    let app = app.with_context(|| format!("open `{where_to}`"))?;
    let (stop, serving) = (CancellationToken::new(), TaskTracker::new());
    let router = http::router(Arc::clone(&app), access, stop.clone());
    // Ends when `stop` is cancelled. It does not panic: handlers do, and each is caught.
    let connections_max = app.limits().connections_max;
    let bounds = http::Bounds { connections_max, ..http::Bounds::default() };
    let listening = serving.spawn(http::serve_within(bounds, listener, router, stop.clone()));
    serving.close();
    tracing::info!(data = where_to, version = env!("CARGO_PKG_VERSION"), "serving on http://{at}");

    let why = signals.next().await;
    tracing::info!(why, "ending: no new requests, finishing what is under way");
    stop.cancel();
    let requests = async {
        if tokio::time::timeout(REQUESTS_WAIT, serving.wait()).await.is_err() {
            // What is left are callers that take their time.
            listening.abort();
        }
    };
    let is_at_rest = tokio::select! {
        is_at_rest = app.stop(requests) => is_at_rest,
        why = signals.next() => bail!("ended at once by a second {why}"),
    };
    if is_at_rest {
        tracing::info!("ended in order");
    } else {
        tracing::warn!(
            "ended at the deadline: what was being invoked is invoked again at the next start"
        );
    }
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn args(words: &[&str]) -> ServeArgs {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            args: ServeArgs,
        }
        Only::try_parse_from([&["serve"], words].concat()).expect("it parses").args
    }

    #[test]
    fn a_door_to_the_world_needs_a_token_or_a_word() {
        assert!(access(&args(&[])).is_ok());
        assert!(access(&args(&["--listen", "[::1]:0"])).is_ok());
        let told = access(&args(&["--listen", "0.0.0.0:8470"])).expect_err("no token").to_string();
        assert!(told.contains("--token-file") && told.contains("--insecure"), "{told}");
        assert!(access(&args(&["--listen", "0.0.0.0:8470", "--insecure"])).is_ok());
        let told = access(&args(&["--token-file", "/nowhere"])).expect_err("no file").to_string();
        assert!(told.contains("/nowhere"), "{told}");
    }
}
