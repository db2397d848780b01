//! The server of the demo: the same parts as `serve` has, on loopback, in this process. Never asked but
//! over HTTP.
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::screen::Screen;
use crate::{
    app::App,
    config::{Config, Storage},
    http::{self, Access},
};

const PORT: u16 = 8_470;
/// For requests that are under way when it ends.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Runs until [`Server::stop`].
#[derive(Debug)]
pub(super) struct Server {
    app: Arc<App>,
    pub(super) at: SocketAddr,
    stop: CancellationToken,
    serving: TaskTracker,
}

impl Server {
    pub(super) async fn start(
        data: &Path,
        listen: Option<SocketAddr>,
        screen: &mut Screen,
    ) -> Result<Self> {
        let listener = bind(listen, screen).await?;
        let at = listener.local_addr()?;
        let program = std::env::current_exe().context("find this program's own file")?;
        let app = App::start(Config::new(Storage::Directory(data.to_owned()), program)).await;
        let app = app.with_context(|| format!("open `{}`", data.display()))?;
        let (stop, serving) = (CancellationToken::new(), TaskTracker::new());
        let router = http::router(Arc::clone(&app), Access::open(true), stop.clone());
        // Ends when `stop` is cancelled. A panic ends it alone: calls then fail and say so.
        serving.spawn(http::serve(listener, router, stop.clone()));
        serving.close();
        Ok(Self { app, at, stop, serving })
    }

    /// Stops listening, lets what is out finish, closes the log. Says whether all came to rest in time.
    pub(super) async fn stop(self) -> bool {
        self.stop.cancel();
        let mut has_closed = false;
        let requests = async {
            has_closed = tokio::time::timeout(CLOSE_MAX, self.serving.wait()).await.is_ok();
        };
        self.app.stop(requests).await && has_closed
    }
}

/// Whether the demo may listen there.
pub(super) fn check(listen: Option<SocketAddr>) -> Result<()> {
    if let Some(asked) = listen
        && !asked.ip().is_loopback()
    {
        bail!(
            "the demo has no token and listens on loopback only, not on {}: for others to reach it, \
             use `millstream serve --token-file`",
            asked.ip()
        );
    }
    Ok(())
}

async fn bind(listen: Option<SocketAddr>, screen: &mut Screen) -> Result<TcpListener> {
    let asked = listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, PORT).into());
    match TcpListener::bind(asked).await {
        Err(error) if listen.is_none() && error.kind() == ErrorKind::AddrInUse => {
            screen.say(&format!(
                "Port {PORT} is taken, perhaps by a server of yours: using a free one."
            ));
            Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?)
        }
        bound => bound.with_context(|| format!("listen on {asked}")),
    }
}
