//! Names the records that fail: "bad" in a value is a rejected item, "hopeless" a permanent one. Every other record
//! comes out as it came, and says which one it is.

use millstream::{Output, Record, Reject};

#[millstream::function]
fn handle(record: Record<'_>) -> Result<Output, Reject> {
    let text = String::from_utf8_lossy(record.value().unwrap_or_default());
    if text.contains("hopeless") {
        return Err(Reject::permanent(format!("record {} is hopeless", record.offset())));
    }
    if text.contains("bad") {
        return Err(Reject::rejected(format!("record {} is bad", record.offset())));
    }
    Ok(Output::from(record))
}
