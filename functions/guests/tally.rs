//! Counts orders per customer and fails those without a total: what the exactly-once tests lean on. A value is
//! `{"id": 7, "customer": "c-1", "total": 99}`; out comes `{"id": 7, "n": 3}` under the same key, where `n` is how many
//! orders of its key were handled so far.
//!
//! FAILS=whole rejects the whole batch for one bad order, FAILS=items names each. With FORGIVE=1 a bad order is handled
//! like any other.

use std::env;

use millstream::json::Value;
use millstream::{Batch, Failure, Output, Outputs, Record, Reject};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
struct Order {
    id: Value,
    total: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Tallied {
    id: Value,
    n: u64,
}

#[millstream::function]
fn handle(batch: &Batch, outputs: &mut Outputs) -> Result<(), Failure> {
    let fails_whole = env::var("FAILS").is_ok_and(|fails| fails == "whole");
    let forgives = env::var("FORGIVE").is_ok_and(|forgive| forgive == "1");
    for record in batch.records() {
        match tally(record, forgives) {
            Ok(output) => outputs.emit(record, output),
            Err(reject) if fails_whole => return Err(reject.into()),
            Err(reject) => outputs.fail(record, reject)?,
        }
    }
    Ok(())
}

fn tally(record: Record<'_>, forgives: bool) -> Result<Output, Reject> {
    let Order { id, total } = record.json()?;
    if total.is_none() && !forgives {
        return Err(Reject::rejected("the order has no `total`"));
    }
    let state = record.state();
    let n = state.get_json::<u64>("count")?.unwrap_or(0) + 1;
    state.set_json("count", &n)?;
    Ok(Output::json(&Tallied { id, n })?)
}
