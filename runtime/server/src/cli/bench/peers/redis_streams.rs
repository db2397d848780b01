//! Redis Streams: a consumer group for each stream, an append-only file, its official client. Copies and
//! acknowledgements of a batch go in one pipeline, with a transaction around them or without.
use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use redis::{Client, Connection, cmd};
use tokio::{task::JoinSet, time::timeout};

use super::{
    server::{Program, Server},
    trial::{BATCH, CONSUMERS, PATIENCE, Progress, RECORDS, Trial, values},
};

const GROUP: &str = "copy";
/// The one field of an entry.
const FIELD: &str = "v";

/// As `XREADGROUP` answers, with one field in each entry.
type Streams = Vec<(String, Vec<Entry>)>;
type Entry = (Vec<u8>, (Vec<u8>, Vec<u8>));

/// Both ways to send a batch: without a transaction a crash may leave copies of what is read again.
const WAYS: [(bool, &str, &str); 2] =
    [(false, "pipeline", "a pipeline per batch"), (true, "transaction", "a transaction per batch")];

pub(super) async fn measure(program: &Program, folder: &Path) -> Result<Vec<Trial>> {
    let server = Server::start(program, folder.join("redis"), arguments).await?;
    let mut trials = Vec::new();
    for (is_atomic, key, sent) in WAYS {
        for consumers in CONSUMERS {
            let ran = timeout(PATIENCE, trial(&server, consumers, is_atomic)).await;
            let (per_second, cores) = ran.context("a trial does not end")??;
            let plural = if consumers == 1 { "" } else { "s" };
            let label = format!("{consumers} consumer{plural}, {sent}");
            trials.push(Trial { key: format!("{consumers}_{key}"), label, per_second, cores });
        }
    }
    server.stop().await?;
    Ok(trials)
}

/// The file is synced each second, no snapshot is taken, and the file is not rewritten meanwhile: both
/// would cost it time. The folder is the one it runs in.
fn arguments(port: u16) -> Vec<String> {
    let port = port.to_string();
    let listen = ["--bind", "127.0.0.1", "--port", &port];
    let keep = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir", "."];
    let rewrite = ["--auto-aof-rewrite-percentage", "0"];
    [&listen[..], &keep, &rewrite].concat().into_iter().map(str::to_owned).collect()
}

/// On streams of its own, which are gone at the end.
async fn trial(server: &Server, consumers: u32, is_atomic: bool) -> Result<(f64, f64)> {
    let records = RECORDS / u64::from(consumers);
    let progress = Arc::new(Progress::new(RECORDS, server.id()));
    let address = server.address;
    let each = async |work: fn(Lane, &Progress) -> Result<Lane>, lanes: Vec<Lane>| {
        // The client blocks, so a thread each. One that is left behind ends when its server does.
        let mut running = JoinSet::new();
        for lane in lanes {
            let progress = progress.clone();
            running.spawn_blocking(move || work(lane, &progress));
        }
        let mut lanes = Vec::new();
        while let Some(ended) = running.join_next().await {
            lanes.push(ended??);
        }
        anyhow::Ok(lanes)
    };
    let lanes = (0..consumers).map(|nth| Lane::open(address, nth, records, is_atomic));
    let lanes = lanes.collect::<Result<Vec<_>>>()?;
    let lanes = each(|lane, _| lane.fill(), lanes).await.context("fill the backlog")?;
    let lanes = each(Lane::pass_on, lanes).await?;
    let rate = progress.rate();
    each(|lane, _| lane.close(), lanes).await?;
    Ok(rate)
}

/// A source, its one consumer, and where that one puts what it reads. A connection of its own.
struct Lane {
    connection: Connection,
    source: String,
    output: String,
    records: u64,
    /// A batch is sent as a transaction.
    is_atomic: bool,
}

impl Lane {
    fn open(address: SocketAddr, nth: u32, records: u64, is_atomic: bool) -> Result<Self> {
        let mut connection = Client::open(format!("redis://{address}"))?.get_connection()?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let (source, output) = (format!("in-{nth}"), format!("out-{nth}"));
        let group = ["CREATE", &source, GROUP, "0", "MKSTREAM"];
        cmd("XGROUP").arg(&group).exec(&mut connection)?;
        Ok(Self { connection, source, output, records, is_atomic })
    }

    fn fill(mut self) -> Result<Self> {
        let values = values();
        for _ in 0..self.records / values.len() as u64 {
            let mut pipeline = redis::pipe();
            for value in &values {
                add(&mut pipeline, &self.source, value);
            }
            pipeline.exec(&mut self.connection)?;
        }
        Ok(self)
    }

    fn pass_on(mut self, progress: &Progress) -> Result<Self> {
        let mut read = cmd("XREADGROUP");
        read.arg(&["GROUP", GROUP, "consumer", "COUNT"]).arg(BATCH);
        read.arg(&["STREAMS", &self.source, ">"]);
        for _ in 0..self.records / BATCH as u64 {
            let mut streams: Streams = read.query(&mut self.connection)?;
            let entries = streams.pop().map(|(_, entries)| entries).unwrap_or_default();
            ensure!(entries.len() == BATCH, "`{}` ended before its records did", self.source);
            let mut pipeline = redis::pipe();
            if self.is_atomic {
                pipeline.atomic();
            }
            for (_, (_, value)) in &entries {
                add(&mut pipeline, &self.output, value);
            }
            pipeline.cmd("XACK").arg(&self.source).arg(GROUP);
            for (id, _) in &entries {
                pipeline.arg(id);
            }
            let (acknowledged,): (usize,) = pipeline.query(&mut self.connection)?;
            ensure!(acknowledged == BATCH, "{acknowledged} of {BATCH} records were acknowledged");
            progress.add(BATCH);
        }
        Ok(self)
    }

    /// Each record must be in the output once.
    fn close(mut self) -> Result<Self> {
        let mut counts = redis::pipe();
        counts.cmd("XLEN").arg(&self.source).cmd("XLEN").arg(&self.output);
        let counts: (u64, u64) = counts.query(&mut self.connection)?;
        let expected = (self.records, self.records);
        ensure!(counts == expected, "in and out are {counts:?} records, {expected:?} are right");
        cmd("DEL").arg(&[&self.source, &self.output]).exec(&mut self.connection)?;
        Ok(self)
    }
}

fn add(pipeline: &mut redis::Pipeline, stream: &str, value: &[u8]) {
    pipeline.cmd("XADD").arg(stream).arg("*").arg(FIELD).arg(value).ignore();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_listens_on_loopback_only_and_syncs_its_file_each_second() {
        let arguments = arguments(6_400);
        let value = |of: &str| {
            let at = arguments.iter().position(|argument| argument == of);
            at.and_then(|at| arguments.get(at + 1)).map(String::as_str)
        };
        assert_eq!((value("--bind"), value("--port")), (Some("127.0.0.1"), Some("6400")));
        assert_eq!(
            (value("--appendonly"), value("--appendfsync")),
            (Some("yes"), Some("everysec"))
        );
        assert_eq!(value("--save"), Some(""));
    }
}
