//! What the log does in a second, by a fixed recipe. `cargo bench -p log-embedded --bench throughput`;
//! the directory is made under `BENCH_DIR`, or where temporary files go; `ONLY=pipeline` (or `latency`,
//! `append`) runs a part. Never a judgement: figures are compared within one run.
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use log_contract::{
    AppendBatch, AppendGuard, BatchBuilder, CursorName, Headers, Log, MembershipEvent, Memo,
    Offset, Output, PartitionId, PartitionRef, Progress, ReadBudget, Settlement, SystemClock,
    Timestamp, TopicId, TopicName, TopicSpec,
};
use log_embedded::{EmbeddedLog, Options};

const PARTITIONS: u32 = 4;
const BATCH: usize = 1_000;

fn main() {
    // `cargo bench` says so; anything else only sees that it runs.
    let is_whole = std::env::args().any(|argument| argument == "--bench");
    let scale = if is_whole { 1 } else { 100 };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let root = std::env::var_os("BENCH_DIR").map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    let root = root.expect("a directory");
    let only = std::env::var("ONLY").unwrap_or_default();
    let is_wanted = |part: &str| only.is_empty() || only == part;
    if is_wanted("latency") {
        disk_alone(root.path(), 2_000 / scale);
        runtime.block_on(idle_latency(root.path(), 2_000 / scale));
    }
    for (bytes, keyed) in [(100, false), (100, true), (1_000, false)] {
        for in_flight in [1, 4, 16].into_iter().filter(|_| is_wanted("append")) {
            let records = if bytes == 100 { 8_000_000 } else { 1_600_000 };
            let appends = records / BATCH / scale;
            runtime.block_on(appends_of(root.path(), bytes, keyed, in_flight, appends));
        }
    }
    for bytes in [100, 1_000].into_iter().filter(|_| is_wanted("pipeline")) {
        let records = if bytes == 100 { 4_000_000 } else { 800_000 };
        runtime.block_on(pipeline(root.path(), bytes, records / BATCH / scale));
    }
}

/// The floor: 4 KiB over blocks that were written before, and a sync.
fn disk_alone(root: &Path, rounds: usize) {
    let path = root.join("floor");
    let file = File::create(&path).expect("a file");
    file.write_all_at(&vec![0; 16 << 20], 0).expect("written");
    file.sync_all().expect("synced");
    let mut times = Vec::new();
    for nth in 0..rounds {
        let begun = Instant::now();
        file.write_all_at(&[1; 4096], nth as u64 % 4096 * 4096).expect("written");
        file.sync_data().expect("synced");
        times.push(begun.elapsed());
    }
    shown("4 KiB overwrite + fdatasync", times);
    std::fs::remove_file(path).expect("removed");
}

async fn idle_latency(root: &Path, rounds: usize) {
    let (log, topic) = opened(&root.join("latency")).await;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        let batch = batch_of(1, 100, false);
        log.append(topic, batch, AppendGuard::default()).await.expect("appended");
        times.push(begun.elapsed());
    }
    shown("append of one record, idle", times);
    log.close().await;
}

async fn appends_of(root: &Path, bytes: usize, keyed: bool, in_flight: usize, appends: usize) {
    let dir = root.join(format!("append-{bytes}-{keyed}-{in_flight}"));
    let (log, topic) = opened(&dir).await;
    let batch = batch_of(BATCH, bytes, keyed);
    let (begun, cpu) = (Instant::now(), cpu_time());
    let mut tasks = Vec::new();
    for _ in 0..in_flight {
        let (log, batch) = (log.clone(), batch.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..appends / in_flight {
                let batch = batch.clone();
                log.append(topic, batch, AppendGuard::default()).await.expect("appended");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let took = (begun.elapsed(), cpu_time() - cpu);
    let records = appends / in_flight * in_flight * BATCH;
    let what = if keyed { "keyed" } else { "keyless" };
    let frames = log.stats().frames;
    rate(
        &format!("append {bytes} B {what}, {in_flight} in flight, {frames} frames"),
        records,
        bytes,
        took,
    );
    log.close().await;
    drop(log);
    let begun = Instant::now();
    let log = open(&dir);
    println!("    opened again in {:?} ({} MiB)", begun.elapsed(), log.stats().journal_bytes >> 20);
    drop(log);
    std::fs::remove_dir_all(dir).expect("removed");
}

/// Topic to topic: read, settle with what was read as output.
async fn pipeline(root: &Path, bytes: usize, batches: usize) {
    let dir = root.join(format!("pipeline-{bytes}"));
    let (log, source) = opened(&dir).await;
    let sink = created(&log, "sink").await;
    let batch = batch_of(BATCH, bytes, false);
    let mut filling = Vec::new();
    for _ in 0..batches {
        let (log, batch) = (log.clone(), batch.clone());
        filling.push(tokio::spawn(async move {
            log.append(source, batch, AppendGuard::default()).await.expect("appended");
        }));
    }
    for task in filling {
        task.await.expect("no panic");
    }
    let cursor = CursorName::parse("bench").expect("a name");
    let mut member = log.join(&cursor, &[source]).await.expect("joined");
    let (begun, cpu) = (Instant::now(), cpu_time());
    let mut tasks = Vec::new();
    for _ in 0..PARTITIONS {
        let Some(MembershipEvent::Gained(lease)) = member.next().await else { panic!("a lease") };
        let log = log.clone();
        tasks.push(tokio::spawn(async move {
            let at = PartitionRef::new(source, lease.partition);
            let budget = ReadBudget {
                records_max: BATCH,
                bytes_max: 6 << 20,
                wait_max: Duration::from_millis(0),
            };
            let (mut from, mut records) = (Offset(0), 0);
            loop {
                let page = log.read(at, from, budget).await.expect("read");
                if page.batches.is_empty() {
                    return records;
                }
                records += page.batches.iter().map(|batch| batch.len()).sum::<usize>();
                from = page.next;
                let outputs = page.batches.into_iter();
                let outputs = outputs.map(|batch| Output { topic: sink, span: batch.into() });
                let settlement = Settlement {
                    outputs: outputs.collect(),
                    state: Vec::new(),
                    progress: vec![Progress::at(from)],
                    memo: Memo::default(),
                    rewind: false,
                };
                log.settle(&lease, settlement).await.expect("settled");
            }
        }));
    }
    let mut records = 0;
    for task in tasks {
        records += task.await.expect("no panic");
    }
    let took = (begun.elapsed(), cpu_time() - cpu);
    rate(&format!("read + settle {bytes} B, 4 partitions"), records, bytes, took);
    log.close().await;
    std::fs::remove_dir_all(dir).expect("removed");
}

fn open(dir: &Path) -> Arc<EmbeddedLog> {
    EmbeddedLog::open(dir, Options::new(Arc::new(SystemClock::start()))).expect("it opens")
}

async fn opened(dir: &Path) -> (Arc<EmbeddedLog>, TopicId) {
    let begun = Instant::now();
    let log = open(dir);
    println!("    opened afresh in {:?}", begun.elapsed());
    let topic = created(&log, "source").await;
    (log, topic)
}

async fn created(log: &EmbeddedLog, name: &str) -> TopicId {
    let name = TopicName::parse(name).expect("a name");
    log.create_topic(TopicSpec::new(name, PARTITIONS)).await.expect("created")
}

fn batch_of(records: usize, bytes: usize, keyed: bool) -> AppendBatch {
    let mut batch = BatchBuilder::with_capacity(records, records * bytes);
    let value = vec![b'x'; bytes - if keyed { 8 } else { 0 }];
    for nth in 0..records {
        let key = format!("{:08}", nth * 7919 % 10_000);
        let key = keyed.then_some(key.as_bytes());
        batch.push_new(Timestamp(nth as u64), key, Some(&value), Headers::NONE);
    }
    AppendBatch { records: batch.build(), partitions: Vec::<(_, PartitionId)>::new() }
}

fn shown(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!("{what}: p50 {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
}

fn rate(what: &str, records: usize, bytes: usize, (wall, cpu): (Duration, Duration)) {
    let per_second = records as f64 / wall.as_secs_f64();
    let megabytes = per_second * bytes as f64 / 1e6;
    let cost = cpu.as_nanos() as f64 / records as f64;
    let per_second = per_second / 1e6;
    println!("{what}: {per_second:.2} M records/s, {megabytes:.0} MB/s, {cost:.0} ns of CPU each");
}

/// Of all threads of this process, to a hundredth of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
