//! What an invocation costs: `cargo bench -p sandbox`. Identity over batches of several shapes and a batch
//! of none; each figure is the best mean of five rounds. "asked" is what whoever calls waits, "run" is what
//! the guests' threads spend.
#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]
use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{
    BatchBuilder, BlobError, Blobs, Digest, Headers, LogUnavailable, PartitionId, Span, StateKey,
    Timestamp, TopicId,
};
use sandbox::{
    Call, CompileLimits, Function, Limits, OutputTopics, Sandbox, SandboxConfig, StateReader,
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use trigger::{HostFault, Ordering, Outcome};

const ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("a directory");
        let sandbox = Sandbox::new(config(dir.path())).expect("a sandbox");
        for name in std::env::args().skip(1).filter(|name| !name.starts_with('-')) {
            measure(&sandbox, &name).await;
        }
        if std::env::args().skip(1).all(|name| name.starts_with('-')) {
            measure(&sandbox, "identity").await;
        }
        println!("{:?}", sandbox.stats());
    });
}

async fn measure(sandbox: &Arc<Sandbox>, name: &str) {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../functions/built");
    let component: Bytes = std::fs::read(built.join(format!("{name}.wasm"))).expect("built").into();
    let admitted = sandbox.admit(component.clone()).await.expect("admitted");
    let function = sandbox.load(admitted.digest, &One(component)).await.expect("loaded");
    println!("{name}: compiled in {} ms", admitted.compile_ms);
    let shapes = [(0, 0), (1, 100), (100, 100), (1_000, 100), (100, 1_000), (1_000, 1_000)];
    for (records, bytes) in shapes {
        let call = call(span(records, bytes));
        let turns = 2_000_000 / (records * (bytes + 200) + 1_000) + 20;
        let mut best = [f64::MAX; 2];
        for _ in 0..ROUNDS {
            let [asked, run] = round(sandbox, &function, &call, turns).await;
            best = [best[0].min(asked), best[1].min(run)];
        }
        let each = |micros: f64| micros * 1_000.0 / records.max(1) as f64;
        println!(
            "{records:>5} x {bytes:>4} B   asked {:>8.1} us   run {:>8.1} us {:>7.0} ns/record",
            best[0],
            best[1],
            each(best[1]),
        );
    }
}

/// Mean microseconds: as asked for, and as run.
async fn round(
    sandbox: &Arc<Sandbox>,
    function: &Arc<Function>,
    call: &Call,
    turns: usize,
) -> [f64; 2] {
    let started = Instant::now();
    let mut run = Duration::ZERO;
    for _ in 0..turns {
        let invoked = sandbox.invoke(function, call.clone()).await;
        run += invoked.cost.wall;
        let Ok(Outcome::Handled(response)) = invoked.result else { panic!("{:?}", invoked.result) };
        assert_eq!(response.outputs.len(), call.span.len());
    }
    [started.elapsed(), run].map(|time| time.as_secs_f64() * 1e6 / turns as f64)
}

fn span(records: usize, bytes: usize) -> Span {
    let mut batch = BatchBuilder::default();
    let value = vec![b'v'; bytes];
    for nth in 0..records {
        let key = format!("key-{nth:012}");
        batch.push_new(Timestamp(1), Some(key.as_bytes()), Some(&value), Headers::NONE);
    }
    batch.build().into()
}

fn config(dir: &Path) -> SandboxConfig {
    SandboxConfig {
        artifacts_dir: dir.into(),
        compile_command: env!("CARGO_BIN_EXE_sandbox-compile").into(),
        slots: 64,
        guest_threads: 1,
        memory_max: 256 << 20,
        memory_resident: 1 << 20,
        component_bytes_max: 64 << 20,
        compile: CompileLimits {
            cpu: Duration::from_secs(60),
            memory_bytes: 2 << 30,
            wall: Duration::from_secs(300),
        },
    }
}

fn call(span: Span) -> Call {
    Call {
        trigger: "bench".into(),
        invocation: "inv-1".into(),
        attempt: 1,
        topic: "orders".into(),
        partition: PartitionId(0),
        window: None,
        span,
        ordering: Ordering::Partition,
        outputs: Arc::new(OutputTopics { default: Some(TopicId(1)), ..OutputTopics::default() }),
        limits: Limits {
            timeout: Duration::from_secs(30),
            memory_bytes: 64 << 20,
            output_bytes: 16 << 20,
            output_records: 10_000,
            record_bytes: 16 << 20,
            log_bytes: 256 << 10,
            state_writes: 10_000,
            state_bytes: 16 << 20,
        },
        environment: Arc::new([]),
        overlay: Vec::new(),
        state: Arc::new(Nothing),
        share: Arc::default(),
        attributes: None,
    }
}

#[derive(Debug)]
struct Nothing;

#[async_trait]
impl StateReader for Nothing {
    async fn read(&self, _: &StateKey) -> Result<Option<Bytes>, HostFault> {
        Ok(None)
    }
}

#[derive(Debug)]
struct One(Bytes);

#[async_trait]
impl Blobs for One {
    async fn keep(&self, bytes: Bytes) -> Result<Digest, BlobError> {
        Ok(Digest::of(&bytes))
    }

    async fn fetch(&self, _: Digest) -> Result<Option<Bytes>, BlobError> {
        Ok(Some(self.0.clone()))
    }

    async fn remove(&self, _: Digest) -> Result<(), BlobError> {
        Ok(())
    }

    async fn digests(&self) -> Result<Vec<Digest>, LogUnavailable> {
        Ok(Vec::new())
    }
}
