//! Invocations of functions and nothing else: no log, no feed.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::sandbox::{Call, Environment, Function, Limits, OutputTopics, StateReader};
use anyhow::{Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{BatchBuilder, Headers, PartitionId, RecordBatch, Span, StateKey, TopicId};
use trigger::{HostFault, Ordering, Outcome};

use super::{
    load::Load,
    report::{Section, Unit},
    rig::{IDENTITY, Rig},
};

pub(super) const ENRICH: &[u8] = include_bytes!("../../../../../functions/built/enrich.wasm");
/// Of each measurement.
const TIME: Duration = Duration::from_millis(1_500);

pub(super) async fn measure(rig: &Rig) -> Result<Section> {
    let mut section = Section::new("sandbox", "one function call after another, nothing else");
    let identity = rig.function("identity", IDENTITY).await?;
    let enrich = rig.function("enrich", ENRICH).await?;
    let now = rig.app.clock.now();
    let load = |bytes, records| Load { bytes, records, keyed: false }.batch(0, now).records;
    let one = invoke(rig, &identity, &load(100, 1)).await?;
    section.add(
        "call",
        "identity, 1 record of 100 B: a call",
        one.whole.as_secs_f64() * 1e6,
        Unit::Micros,
    );
    section.add(
        "call_inside",
        "  of that, on the guest's thread",
        one.inside.as_secs_f64() * 1e6,
        Unit::Micros,
    );
    let order = orders(1);
    for (name, label, function, batch) in [
        ("call_busy_inside", "the same, as four ask at once", &identity, &load(100, 1)),
        (
            "call_wasi_inside",
            "enrich (std, WASI, JSON), 1 order, as four ask at once",
            &enrich,
            &order,
        ),
    ] {
        let inside = Box::pin(invoke_busily(rig, function, batch)).await?.inside;
        section.add(name, label, inside.as_secs_f64() * 1e6, Unit::Micros);
    }
    for (name, label, function, batch) in [
        ("identity_100b", "identity, 1,000 x 100 B: a record", &identity, load(100, 1_000)),
        ("identity_1k", "identity, 1,000 x 1 KiB: a record", &identity, load(1_024, 1_000)),
        ("enrich", "enrich (JSON in and out), 1,000 orders: a record", &enrich, orders(1_000)),
    ] {
        let each = invoke(rig, function, &batch).await?.whole;
        let nanos = each.as_nanos() as f64 / batch.len() as f64;
        section.add(name, label, nanos, Unit::Nanos);
        section.beside(format!("{:.2} M/s on one core", 1e3 / nanos));
    }
    Ok(section)
}

/// Median times of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// From the question to the answer.
    pub(super) whole: Duration,
    /// From a fresh instance to nothing left of it, on the guest's thread.
    pub(super) inside: Duration,
    pub(super) calls: usize,
}

/// How long a call with all of `batch` takes where the guests' threads have no time to fall asleep.
async fn invoke_busily(rig: &Rig, function: &Arc<Function>, batch: &RecordBatch) -> Result<Taken> {
    let (a, b, c, d) = tokio::try_join!(
        invoke(rig, function, batch),
        invoke(rig, function, batch),
        invoke(rig, function, batch),
        invoke(rig, function, batch),
    )?;
    let mut taken = [a, b, c, d];
    taken.sort_unstable_by_key(|taken| taken.inside);
    Ok(taken[1])
}

/// How long a call with all of `batch` takes.
pub(super) async fn invoke(
    rig: &Rig,
    function: &Arc<Function>,
    batch: &RecordBatch,
) -> Result<Taken> {
    let call = call(batch);
    let until = Instant::now() + TIME;
    let (mut whole, mut inside) = (Vec::new(), Vec::new());
    while Instant::now() < until || whole.len() < 20 {
        let call = call.clone();
        let start = Instant::now();
        let invoked = rig.app.sandbox.invoke(function, call).await;
        whole.push(start.elapsed());
        inside.push(invoked.cost.wall);
        match invoked.result {
            Ok(Outcome::Handled(_) | Outcome::Failed(_)) => {}
            other => bail!("the function was not run: {other:?}"),
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let calls = whole.len();
    Ok(Taken { whole: median(whole), inside: median(inside), calls })
}

/// So many calls with all of `batch`, one after the other.
pub(super) async fn repeat(
    rig: &Rig,
    function: &Arc<Function>,
    batch: &RecordBatch,
    calls: u64,
) -> Result<()> {
    let call = call(batch);
    for _ in 0..calls {
        let invoked = rig.app.sandbox.invoke(function, call.clone()).await;
        anyhow::ensure!(invoked.result.is_ok(), "the function was not run: {:?}", invoked.result);
    }
    Ok(())
}

fn call(batch: &RecordBatch) -> Call {
    let outputs = OutputTopics { default: Some(TopicId(1)), ..OutputTopics::default() };
    let environment: Arc<Environment> = Arc::new([]);
    Call {
        trigger: "bench".into(),
        invocation: "bench-1".into(),
        attempt: 1,
        topic: "in".into(),
        partition: PartitionId(0),
        window: None,
        span: Span::from(batch.clone()),
        ordering: Ordering::Partition,
        outputs: Arc::new(outputs),
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
        environment,
        overlay: Vec::new(),
        state: Arc::new(NoState),
        share: Arc::default(),
        attributes: None,
    }
}

/// Nothing was ever written.
#[derive(Debug)]
struct NoState;

#[async_trait]
impl StateReader for NoState {
    async fn read(&self, _: &StateKey) -> Result<Option<Bytes>, HostFault> {
        Ok(None)
    }
}

/// Like those of the demo, all well.
fn orders(count: u32) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for nth in 0..count {
        let customer = format!("c-{:04}", nth % 250);
        let value = serde_json::json!({
            "order_id": format!("o-{nth:06}"),
            "customer": { "id": customer, "country": "DE" },
            "items": [
                { "sku": "tea-earl-grey", "qty": 2, "price_cents": 450 },
                { "sku": "pot-cast-iron", "qty": 1, "price_cents": 2_999 }
            ],
            "currency": "EUR",
            "placed_at": "2026-11-24T14:15:21.250Z",
            "status": "placed"
        });
        let (now, value) = (log_contract::Timestamp(0), value.to_string());
        let (key, value) = (Some(customer.as_bytes()), Some(value.as_bytes()));
        builder.push_new(now, key, value, Headers::NONE);
    }
    builder.build()
}
