//! What many triggers cost that have nothing to do: a server of its own on a store that has them, how long it
//! takes to be ready, and what it holds and burns then.
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use trigger::Ordering;

use super::{
    report::{Section, Unit},
    rig::{IDENTITY, Rig},
    usage,
};

/// Definitions under way at once.
const AT_ONCE: usize = 256;
/// How long starting may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// After it is ready, before anything is counted.
const SETTLES: Duration = Duration::from_secs(5);
const COUNTED: Duration = Duration::from_secs(10);

/// Makes `triggers` triggers, each with a topic of one partition of its own.
pub(super) async fn fill(rig: &Rig, triggers: u64) -> Result<()> {
    rig.function("identity", IDENTITY).await?;
    let output = &rig.topic("all", 1).await?;
    stream::iter(0..triggers)
        .map(|nth| async move {
            let source = rig.topic(&format!("in-{nth}"), 1).await?;
            let name = format!("idle-{nth}");
            rig.trigger(&name, (&source, output), "identity", (Ordering::Partition, 1_000)).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

pub(super) fn measure(data: &Path, triggers: u64) -> Result<Section> {
    let about = format!("a server with {triggers} triggers on as many partitions, nothing to do");
    let mut section = Section::new("idle", about);
    let began = Instant::now();
    let server = Server::start(data)?;
    while !server.is_ready() {
        if began.elapsed() > PATIENCE {
            bail!("the server is not ready after {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    section.add("start", "from its start until it is ready", micros(began.elapsed()), Unit::Micros);
    std::thread::sleep(SETTLES);
    let (before, from) = (usage::cpu_time_of(server.child.id()), Instant::now());
    std::thread::sleep(COUNTED);
    let used = usage::cpu_time_of(server.child.id()).saturating_sub(before);
    let cores = used.as_secs_f64() / from.elapsed().as_secs_f64();
    let resident = usage::resident_of(server.child.id()) as f64 / 1e6;
    section.add(
        "resident",
        "resident memory, files that are mapped included",
        resident,
        Unit::Megabytes,
    );
    section.add("cores", "cores used", cores, Unit::Times);
    server.stop()?;
    Ok(section)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// This program, serving. Killed when it is dropped.
struct Server {
    child: Child,
    at: String,
}

impl Server {
    fn start(data: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("find this program's own file")?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("MILLSTREAM_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .context("start a server")?;
        let errors = child.stderr.take().context("follow the server's log")?;
        let mut server = Self { child, at: String::new() };
        let (found, addresses) = mpsc::channel();
        // Ends with the server's log.
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if let Some((_, at)) = line.split_once("serving on http://") {
                    let at = at.split_whitespace().next().unwrap_or_default().to_owned();
                    // Nobody waits any more: it has it.
                    drop(found.send(at));
                }
            }
        });
        server.at = addresses.recv_timeout(PATIENCE).context("the server does not serve")?;
        Ok(server)
    }

    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.at)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            let host = &self.at;
            write!(stream, "GET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.context("the server's pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait().context("wait for the server")?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After an orderly end there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
