//! Fails the whole batch for one record and names none: "bad" in a value rejects it, "poison-permanent" fails it for
//! good; the first such record decides. A batch without comes out as it came.

use guests::says;
use millstream::{Batch, Failure, Output, Outputs};

#[millstream::function]
fn handle(batch: &Batch, outputs: &mut Outputs) -> Result<(), Failure> {
    for record in batch.records() {
        if says(record, "poison-permanent") {
            return Err(Failure::permanent("something in this batch is poison"));
        }
        if says(record, "bad") {
            return Err(Failure::rejected("something in this batch is bad"));
        }
        outputs.emit(record, Output::from(record));
    }
    Ok(())
}
