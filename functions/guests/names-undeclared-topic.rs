//! Puts a record out where it says: "to:elsewhere" in a value to the topic `elsewhere`, declared or not, closed or not.
//! Every other goes to the trigger's own.

use guests::word_after;
use millstream::{Output, Record};

#[millstream::function]
fn handle(record: Record<'_>) -> Output {
    let output = Output::from(record);
    match word_after(record, "to:") {
        Some(topic) => output.to(topic),
        None => output,
    }
}
