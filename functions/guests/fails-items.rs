//! Names the records that fail: "hopeless" in a value is a permanent item failure, "bad" a rejected one. Every other
//! record comes out as it came, and its output says which one it was.

use guests::says;
use millstream::{Output, Record, Reject};

#[millstream::function]
fn handle(record: Record<'_>) -> Result<Output, Reject> {
    if says(record, "hopeless") {
        return Err(Reject::permanent(format!("record {} is hopeless", record.offset())));
    }
    if says(record, "bad") {
        return Err(Reject::rejected(format!("record {} is bad", record.offset())));
    }
    Ok(Output::from(record))
}
