//! Needs something that is down: while the environment variable DOWN is not empty, or when a value holds "down".
//! RETRY_AFTER_MS in the environment says when to come back (200 if absent, not at all if no number). Otherwise every
//! record comes out as it came.

use std::env;
use std::time::Duration;

use guests::says;
use millstream::{Batch, Failure, Output, Outputs};

#[millstream::function]
fn handle(batch: &Batch, outputs: &mut Outputs) -> Result<(), Failure> {
    let is_down = env::var("DOWN").is_ok_and(|down| !down.is_empty());
    for record in batch.records() {
        if is_down || says(record, "down") {
            let retry_after = env::var("RETRY_AFTER_MS").unwrap_or_else(|_| "200".to_owned());
            let retry_after = retry_after.parse().ok().map(Duration::from_millis);
            return Err(Failure::unavailable("the warehouse does not answer", retry_after));
        }
        outputs.emit(record, Output::from(record));
    }
    Ok(())
}
