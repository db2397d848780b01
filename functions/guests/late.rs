//! Waits as long as a record says ("wait:20" is 20 ms of real time, and no CPU time), then puts it out as it came: the
//! shape of a function that asks a database.

use std::time::Duration;

use guests::number_after;
use millstream::{Output, Record};

#[millstream::function]
fn handle(record: Record<'_>) -> Output {
    if let Some(ms) = number_after(record, "wait:") {
        std::thread::sleep(Duration::from_millis(ms));
    }
    Output::from(record)
}
