//! Sleeps for an hour over a record that holds "sleep", which costs no CPU time. Every other comes out as it came.

use std::time::Duration;

use guests::says;
use millstream::{Output, Record};

#[millstream::function]
fn handle(record: Record<'_>) -> Output {
    if says(record, "sleep") {
        std::thread::sleep(Duration::from_secs(3600));
    }
    Output::from(record)
}
