//! A server of somebody else's as a child process: found, started on loopback in a folder of its own,
//! and ended whatever happens. Knows no protocol.
use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

/// From its start until it takes connections.
const START_TIME: Duration = Duration::from_secs(20);
/// What it says, below its folder.
const SAID: &str = "said";

/// A server that is installed.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) file: PathBuf,
    pub(super) version: String,
}

impl Program {
    /// On the path, or where servers are installed that are not on a user's.
    pub(super) fn find(name: &str) -> Result<Option<Self>> {
        let path = env::var_os("PATH").unwrap_or_default();
        let others = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
        let folders = env::split_paths(&path).chain(others);
        let Some(file) = folders.map(|folder| folder.join(name)).find(|file| file.is_file()) else {
            return Ok(None);
        };
        let ran = std::process::Command::new(&file).arg("--version").output();
        let ran = ran.with_context(|| format!("run `{} --version`", file.display()))?;
        let text = String::from_utf8_lossy(&ran.stdout);
        let version = version(&text).unwrap_or("of a version that it does not tell").to_owned();
        Ok(Some(Self { file, version }))
    }
}

/// Of `nats-server: v2.9.10`, or of `Redis server v=7.0.15 sha=…`.
fn version(text: &str) -> Option<&str> {
    let versions = text.split_whitespace().filter_map(|word| word.strip_prefix('v'));
    let mut versions = versions.map(|word| word.strip_prefix('=').unwrap_or(word));
    versions.find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
}

/// Runs until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    /// With the arguments for a port, in `folder`, which is made. Takes connections when it is returned.
    pub(super) async fn start(
        program: &Program,
        folder: PathBuf,
        arguments: impl FnOnce(u16) -> Vec<String>,
    ) -> Result<Self> {
        fs::create_dir(&folder).with_context(|| format!("make `{}`", folder.display()))?;
        let said = fs::File::create(folder.join(SAID)).context("make a file for what it says")?;
        let address = free_address().context("find a free port")?;
        let mut command = Command::new(&program.file);
        command.args(arguments(address.port())).current_dir(&folder).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let child = command.spawn();
        let child = child.with_context(|| format!("start `{}`", program.file.display()))?;
        let mut server = Self { child, address, folder };
        server.answers().await?;
        Ok(server)
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        // What it has not written yet is of no use to anybody.
        self.child.kill().await.context("end the server")?;
        let removed = fs::remove_dir_all(&self.folder);
        removed.with_context(|| format!("remove `{}`", self.folder.display()))
    }

    async fn answers(&mut self) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.child.try_wait().context("look after the server")? {
                bail!("the server ended at once, {status}:\n{}", self.said());
            }
            if began.elapsed() > START_TIME {
                bail!("the server takes no connections:\n{}", self.said());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn said(&self) -> String {
        let said = fs::read(self.folder.join(SAID)).unwrap_or_default();
        String::from_utf8_lossy(&said).trim_end().to_owned()
    }
}

/// Free a moment ago: a server that finds its port taken says so and ends.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Program {
        Program { file: "/bin/sh".into(), version: String::new() }
    }

    #[test]
    fn a_version_is_what_follows_a_v() {
        for (text, expected) in [
            ("nats-server: v2.9.10\n", Some("2.9.10")),
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", Some("7.0.15")),
            ("Valkey server v=8.1.1 sha=00000000:0", Some("8.1.1")),
            ("a very old one", None),
        ] {
            assert_eq!(version(text), expected);
        }
    }

    #[test]
    fn what_is_not_installed_is_not_found() {
        assert!(Program::find("no-such-server").unwrap().is_none());
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_told_with_what_it_said() {
        let parent = tempfile::tempdir().unwrap();
        let arguments = |_| vec!["-c".to_owned(), "echo no room; exit 3".to_owned()];
        let started = Server::start(&shell(), parent.path().join("sh"), arguments).await;
        let error = format!("{:#}", started.unwrap_err());
        assert!(error.contains("exit status: 3") && error.ends_with("no room"), "{error}");
    }

    #[tokio::test]
    async fn a_server_ends_with_whoever_started_it() {
        let parent = tempfile::tempdir().unwrap();
        let (program, folder) = (shell(), parent.path().join("sh"));
        let arguments = |_| vec!["-c".to_owned(), "echo $$ > id; exec sleep 600".to_owned()];
        let started = Server::start(&program, folder.clone(), arguments);
        let waited = tokio::time::timeout(Duration::from_millis(300), started).await;
        assert!(waited.is_err(), "nobody listens there");
        let id: u32 = fs::read_to_string(folder.join("id")).unwrap().trim().parse().unwrap();
        let began = Instant::now();
        while std::path::Path::new(&format!("/proc/{id}")).exists() {
            assert!(began.elapsed() < Duration::from_secs(10), "{id} goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
