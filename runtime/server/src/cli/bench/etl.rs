//! What a stream's first function usually does: JSON of 1 KiB is parsed, filtered, reshaped, and written.
//! How much of the cores goes to the function, and not to what is around it.
use std::{sync::Arc, time::Instant};

use ::sandbox::Function;
use anyhow::Result;
use futures::future::try_join_all;
use log_contract::{AppendBatch, BatchBuilder, Headers, RecordBatch, Timestamp};

use super::{
    limits::Limits,
    pipeline::{Shape, through},
    report::{Section, Unit},
    rig::Rig,
    sandbox::{ENRICH, invoke},
};

const BATCH: usize = 1_000;
/// One order of so many is cancelled, which the function leaves out.
const CANCELLED: usize = 10;

pub(super) async fn measure(rig: &Rig, limits: &Limits, records: u64) -> Result<Section> {
    let about = "orders as JSON of 1 KiB -> enrich (parse, filter, reshape) -> topic, batch 1,000";
    let mut section = Section::new("etl", about);
    let function = rig.function("enrich", ENRICH).await?;
    let orders = orders(rig.app.clock.now());
    let alone = invoke(rig, &function, &orders.records).await?.inside;
    let alone_ns = alone.as_nanos() as f64 / BATCH as f64;
    let most = at_once(rig, &function, &orders.records, limits.cores).await?;
    let shape = Shape { function: "enrich", ..Shape::USUAL };
    let kept = |records: u64| records - records / CANCELLED as u64;
    let run = through(rig, "etl", shape, &orders, records, kept).await?;
    section.add("alone", "the function alone, one core: a record", alone_ns, Unit::Nanos);
    section.add("alone", "  all cores at once: records", most, Unit::PerSecond);
    section.add("etl", "records read", run.per_second, Unit::PerSecond);
    let ratio = run.per_second / most;
    section.beside(format!("{ratio:.2} x what the cores do with nothing around the function"));
    section.add("of_alone", "  of the function alone, all cores at once", ratio, Unit::Times);
    let ratio = run.per_second * alone_ns / 1e9 / limits.cores as f64;
    section.add("of_one_core", "  of the function on one core, by cores", ratio, Unit::Times);
    section.add("cores", "  cores used", run.cores, Unit::Times);
    Ok(section)
}

/// Records a second, with a guest on each core all the time: cores that share a unit of the machine are
/// slower together than one of them alone.
async fn at_once(
    rig: &Rig,
    function: &Arc<Function>,
    batch: &RecordBatch,
    cores: usize,
) -> Result<f64> {
    let began = Instant::now();
    let callers = (0..cores).map(|_| invoke(rig, function, batch));
    let calls: usize = try_join_all(callers).await?.iter().map(|taken| taken.calls).sum();
    Ok((calls * batch.len()) as f64 / began.elapsed().as_secs_f64())
}

/// Orders with some twenty items.
fn orders(now: Timestamp) -> AppendBatch {
    let mut builder = BatchBuilder::default();
    for nth in 0..BATCH {
        let customer = format!("c-{:04}", nth % 250);
        let item = |at: usize| {
            serde_json::json!({
                "sku": format!("tea-{:02}", (nth + at) % 97), "qty": at % 3 + 1, "price_cents": 450 + at
            })
        };
        let status = if nth % CANCELLED == 0 { "cancelled" } else { "placed" };
        let value = serde_json::json!({
            "order_id": format!("o-{nth:06}"),
            "customer": { "id": customer, "country": "DE" },
            "items": (0..19).map(item).collect::<Vec<_>>(),
            "currency": "EUR",
            "placed_at": "2026-11-24T14:15:21.250Z",
            "status": status,
        });
        builder.push_new(now, None, Some(value.to_string().as_bytes()), Headers::NONE);
    }
    builder.build().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_about_a_kibibyte_and_a_tenth_is_cancelled() {
        let orders = orders(Timestamp(1)).records;
        let bytes = orders.bytes(0..orders.len()) / orders.len();
        assert!((900..1_150).contains(&bytes), "{bytes}");
        let values = orders.records().filter_map(|record| record.value.map(<[u8]>::to_vec));
        let cancelled = values.filter(|value| String::from_utf8_lossy(value).contains("cancelled"));
        assert_eq!(cancelled.count(), BATCH / CANCELLED);
    }
}
