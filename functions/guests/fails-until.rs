//! Rejects the whole batch until it was tried often enough: with "until:3" in a value, the first two attempts with
//! exactly these records fail. Otherwise every record comes out as it came.

use guests::number_after;
use millstream::{Batch, Failure, Output, Outputs};

#[millstream::function]
fn handle(batch: &Batch, outputs: &mut Outputs) -> Result<(), Failure> {
    for record in batch.records() {
        let attempt = batch.attempt();
        if number_after(record, "until:").is_some_and(|good| u64::from(attempt) < good) {
            return Err(Failure::rejected(format!("attempt {attempt} is too early")));
        }
        outputs.emit(record, Output::from(record));
    }
    Ok(())
}
