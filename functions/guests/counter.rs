//! Counts the records of each key in the function's state and puts each out as `{"id": …, "n": …}`: if every effect
//! happens exactly once, the numbers of a key are 1, 2, 3 and so on. A value is `{"id": …}`; the id may be anything.
//!
//! A record without a key is counted for the partition, and with SCOPE=partition in the environment every record is.

use std::env;

use millstream::json::Value;
use millstream::{Batch, Failure, Output, Outputs, Record, Reject, State};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
struct Counted {
    id: Value,
}

#[derive(Debug, Serialize)]
struct Count {
    id: Value,
    n: u64,
}

#[millstream::function]
fn handle(batch: &Batch, outputs: &mut Outputs) -> Result<(), Failure> {
    let for_all = env::var("SCOPE").is_ok_and(|scope| scope == "partition");
    for record in batch.records() {
        let state = if for_all || record.key().is_none() { batch.state() } else { record.state() };
        match count(record, state) {
            Ok(output) => outputs.emit(record, output),
            Err(reject) => outputs.fail(record, reject)?,
        }
    }
    Ok(())
}

fn count(record: Record<'_>, state: State) -> Result<Output, Reject> {
    let Counted { id } = record.json()?;
    let n = state.get_json::<u64>("count")?.unwrap_or(0) + 1;
    state.set_json("count", &n)?;
    Ok(Output::json(&Count { id, n })?)
}
