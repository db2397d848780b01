//! Puts out, for each record, all that the invocation said about it: what a function gets to see.

use millstream::json::{Value, json};
use millstream::{Batch, Failure, Output, Outputs};

#[millstream::function]
fn handle(batch: &Batch, outputs: &mut Outputs) -> Result<(), Failure> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for record in batch.records() {
        let headers: Value =
            record.headers().map(|(name, value)| json!([name, text(value)])).collect();
        let window = batch.window().map(|window| {
            json!({
                "start_ms": window.start_ms, "end_ms": window.end_ms, "final": window.is_final, "early": window.is_early,
            })
        });
        outputs.emit(
            record,
            Output::json(&json!({
                "trigger": batch.trigger(),
                "invocation": batch.invocation(),
                "attempt": batch.attempt(),
                "topic": batch.topic(),
                "partition": batch.partition(),
                "window": window,
                "records": batch.len(),
                "index": record.index(),
                "offset": record.offset(),
                "timestamp_ms": record.timestamp_ms(),
                "appended_at_ms": record.appended_at_ms(),
                "key": record.key().map(text),
                "value": record.value().map(text),
                "headers": headers,
            }))?,
        );
    }
    Ok(())
}
