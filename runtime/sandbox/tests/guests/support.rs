//! A sandbox for all tests, guests by name, and calls to hand them. Never an assertion of its own.
use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{
    BatchBuilder, BlobError, Blobs, Digest, Headers, HeadersBuf, LogUnavailable, PartitionId, Span,
    StateKey, Timestamp, TopicId,
};
use sandbox::{
    Call, CompileLimits, Function, Invoked, Limits, OutputTopics, Sandbox, SandboxConfig,
    StateReader,
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tempfile::TempDir;
use trigger::{Failure, FailureKind, HostFault, Ordering, Outcome, Response};

pub(crate) const OUT: TopicId = TopicId(7);
pub(crate) const SIDE: TopicId = TopicId(8);
/// When the newest record of a call was appended.
pub(crate) const NEWEST_MS: u64 = 1_700_000_000_000;
const MIB: usize = 1 << 20;

pub(crate) fn config(dir: &Path) -> SandboxConfig {
    SandboxConfig {
        artifacts_dir: dir.join("compiled"),
        compile_command: env!("CARGO_BIN_EXE_sandbox-compile").into(),
        slots: 8,
        guest_threads: 2,
        memory_max: 64 * MIB,
        memory_resident: MIB,
        component_bytes_max: 16 * MIB,
        compile: CompileLimits {
            cpu: Duration::from_secs(60),
            memory_bytes: 2 << 30,
            wall: Duration::from_secs(300),
        },
    }
}

pub(crate) fn own_sandbox(change: impl FnOnce(&mut SandboxConfig)) -> (Arc<Sandbox>, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = config(dir.path());
    change(&mut config);
    (Sandbox::new(config).expect("a sandbox"), dir)
}

/// One for all tests, so that each guest is compiled once.
pub(crate) fn shared() -> &'static Arc<Sandbox> {
    static SHARED: OnceLock<(Arc<Sandbox>, TempDir)> = OnceLock::new();
    &SHARED.get_or_init(|| own_sandbox(|_| {})).0
}

pub(crate) fn component(name: &str) -> Bytes {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../functions/built");
    let path = built.join(format!("{name}.wasm"));
    let read = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    read.into()
}

pub(crate) async fn function_on(sandbox: &Sandbox, component: Bytes) -> Arc<Function> {
    let admitted = sandbox.admit(component.clone()).await.expect("admitted");
    let blobs = Kept::default();
    blobs.keep(component).await.expect("kept");
    sandbox.load(admitted.digest, &blobs).await.expect("loaded")
}

pub(crate) async fn function(name: &str) -> Arc<Function> {
    function_on(shared(), component(name)).await
}

/// A batch with keys `k0`, `k1`, … and these values, of partition 3.
pub(crate) fn span(values: &[&str]) -> Span {
    let mut batch = BatchBuilder::default();
    let mut headers = HeadersBuf::default();
    headers.push("trace", b"t-1");
    headers.push("", b"");
    for (nth, value) in values.iter().enumerate() {
        batch.push(log_contract::Record {
            offset: log_contract::Offset(100 + nth as u64),
            timestamp: Timestamp(5_000 + nth as u64),
            appended_at: Timestamp(NEWEST_MS - (values.len() - 1 - nth) as u64),
            key: Some(format!("k{nth}").as_bytes()),
            value: Some(value.as_bytes()),
            headers: if nth == 0 { headers.as_headers() } else { Headers::NONE },
        });
    }
    batch.build().into()
}

pub(crate) fn call(values: &[&str]) -> Call {
    call_of(span(values))
}

pub(crate) fn call_of(span: Span) -> Call {
    Call {
        trigger: "orders-to-out".into(),
        invocation: "inv-1".into(),
        attempt: 1,
        topic: "orders".into(),
        partition: PartitionId(3),
        window: None,
        span,
        ordering: Ordering::Partition,
        outputs: Arc::new(OutputTopics {
            default: Some(OUT),
            named: BTreeMap::from([("out".into(), OUT), ("side".into(), SIDE)]),
        }),
        limits: Limits {
            timeout: Duration::from_secs(20),
            memory_bytes: 64 * MIB,
            output_bytes: 16 * MIB,
            output_records: 10_000,
            record_bytes: 16 << 20,
            log_bytes: 256 << 10,
            state_writes: 1_000,
            state_bytes: 4 * MIB,
        },
        environment: Arc::new([]),
        overlay: Vec::new(),
        state: Arc::new(Stored::default()),
        share: Arc::default(),
        attributes: None,
    }
}

pub(crate) async fn invoke(name: &str, call: Call) -> Invoked {
    let function = function(name).await;
    shared().invoke(&function, call).await
}

pub(crate) fn handled(invoked: Invoked) -> Response {
    match invoked.result {
        Ok(Outcome::Handled(response)) => response,
        other => panic!("not handled: {other:?}, logs {:?}", invoked.logs),
    }
}

pub(crate) fn failed(invoked: Invoked) -> (FailureKind, String) {
    match invoked.result {
        Ok(Outcome::Failed(Failure { kind, reason })) => (kind, reason.to_string()),
        other => panic!("not failed: {other:?}"),
    }
}

/// Values of a response's outputs, as text.
pub(crate) fn values(response: &Response) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    response.outputs.records().map(|record| text(record.value.unwrap_or_default())).collect()
}

/// Durable state in memory, which counts how often it was asked.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) values: BTreeMap<StateKey, Bytes>,
    pub(crate) asked: Mutex<Vec<StateKey>>,
    pub(crate) takes: Duration,
    pub(crate) is_broken: bool,
}

#[async_trait]
impl StateReader for Stored {
    async fn read(&self, at: &StateKey) -> Result<Option<Bytes>, HostFault> {
        self.asked.lock().expect("not poisoned").push(at.clone());
        tokio::time::sleep(self.takes).await;
        if self.is_broken {
            return Err(HostFault { reason: "the disk is on fire".into() });
        }
        Ok(self.values.get(at).cloned())
    }
}

/// Components by digest.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<BTreeMap<Digest, Bytes>>);

#[async_trait]
impl Blobs for Kept {
    async fn keep(&self, bytes: Bytes) -> Result<Digest, BlobError> {
        let digest = Digest::of(&bytes);
        self.0.lock().expect("not poisoned").insert(digest, bytes);
        Ok(digest)
    }

    async fn fetch(&self, digest: Digest) -> Result<Option<Bytes>, BlobError> {
        Ok(self.0.lock().expect("not poisoned").get(&digest).cloned())
    }

    async fn remove(&self, digest: Digest) -> Result<(), BlobError> {
        self.0.lock().expect("not poisoned").remove(&digest);
        Ok(())
    }

    async fn digests(&self) -> Result<Vec<Digest>, LogUnavailable> {
        Ok(self.0.lock().expect("not poisoned").keys().copied().collect())
    }
}
