//! A server process of the test's own: started, killed and started again on one data directory.
use crate::Client;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Another program than [`binary`].
    pub binary: Option<PathBuf>,
    /// For a start, if it may take longer than [`crate::wait::DEADLINE`].
    pub start_within: Option<Duration>,
}

/// Killed when dropped; its directory goes with it.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    options: Options,
    /// Its logs, and its data unless those lie elsewhere.
    folder: TempDir,
    data: PathBuf,
    starts: u32,
    client: Client,
}

impl Server {
    /// Starts one and waits until it is ready.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a directory of its own");
        let data = folder.path().join("data");
        Self::start_in(options, folder, data).await
    }

    /// Starts one on a directory that is there already, and leaves it there.
    pub async fn on(data: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a directory of its own");
        Self::start_in(Options::default(), folder, data.to_owned()).await
    }

    async fn start_in(options: Options, folder: TempDir, data: PathBuf) -> Self {
        let client = Client::new("http://127.0.0.1:1");
        let mut server = Self { child: None, options, folder, data, starts: 0, client };
        server.restart().await;
        server
    }

    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// False: it ended by itself, or was ended.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// All that it wrote to standard error, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        let logs = (1..=self.starts).map(|nth| std::fs::read_to_string(self.log_file(nth)));
        logs.filter_map(Result::ok).collect()
    }

    /// Starts it (again) on the same directory, and waits until it is ready.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.starts += 1;
        let log = File::create(self.log_file(self.starts)).expect("the log's file");
        let mut command = Command::new(self.options.binary.clone().unwrap_or_else(binary));
        command
            .arg("serve")
            .arg("--data")
            .arg(self.data())
            .args(["--listen", "127.0.0.1:0"])
            .args(&self.options.arguments)
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("another handle"))
            .stderr(log);
        self.child = Some(command.spawn().expect("the server starts"));
        let base = self.wait_for_base().await;
        self.client = Client::new(&base.expect("the server says where it listens"));
        self.wait_until_live().await;
    }

    /// SIGKILL: the process gets no word.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours to kill");
            child.wait().expect("it is ours to wait for");
        }
    }

    /// SIGTERM, and what it ends with.
    pub async fn terminate(&mut self, within: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).expect("it is ours to end");
        let ended = crate::wait::until_within("the server ends", within, async || {
            child.try_wait().expect("it is ours to wait for")
        });
        ended.await
    }

    fn log_file(&self, nth: u32) -> PathBuf {
        self.folder.path().join(format!("log-{nth}.txt"))
    }

    async fn wait_for_base(&mut self) -> Result<String> {
        let end = Instant::now() + self.options.start_within.unwrap_or(crate::wait::DEADLINE);
        loop {
            let log = std::fs::read_to_string(self.log_file(self.starts)).unwrap_or_default();
            if let Some(at) = log.find("http://127.0.0.1:") {
                let rest = &log[at..];
                let end = rest["http://".len()..]
                    .find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
                if let Some(len) = end {
                    return Ok(rest[..len + "http://".len()].to_owned());
                }
            }
            let child = self.child.as_mut().context("it was started")?;
            if let Some(status) = child.try_wait()? {
                bail!("it ended with {status}: {log}");
            }
            if Instant::now() > end {
                bail!("it says nothing: {log}");
            }
            crate::wait::pass(Duration::from_millis(5)).await;
        }
    }

    async fn wait_until_live(&self) {
        crate::wait::until("the server is live", async || {
            let answer = self.client.try_send("GET", "/livez", &[], "").await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(8_000);
            let tail = (tail..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(tail);
            eprintln!("--- the server's log, at its end:\n{}", &log[tail..]);
        }
    }
}

/// The binary under test, beside the test's own.
#[must_use]
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows itself");
    let mut folder = test.parent().expect("it lies in a folder");
    if folder.ends_with("deps") {
        folder = folder.parent().expect("`deps` lies in a folder");
    }
    folder.join("millstream-under-test")
}

/// A component of `functions/built`, by its name without `.wasm`.
#[must_use]
pub fn component(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/built");
    let path = path.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}
