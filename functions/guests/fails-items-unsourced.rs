//! Names the records that fail as `fails-items` does ("hopeless", "bad"), but no output says which record it came from,
//! so the runtime cannot keep the good ones' outputs.

use guests::says;
use millstream::{Batch, Output, Outputs};

#[millstream::function]
fn handle(batch: &Batch, outputs: &mut Outputs) {
    for record in batch.records() {
        if says(record, "hopeless") {
            outputs.permanent(record, format!("record {} is hopeless", record.offset()));
        } else if says(record, "bad") {
            outputs.rejected(record, format!("record {} is bad", record.offset()));
        } else {
            let output = Output::from(record);
            outputs.emit_unsourced(match record.key() {
                Some(key) => output.key(key),
                None => output,
            });
        }
    }
}
