//! Never comes back from a record that holds "spin". Every other comes out as it came.

use guests::says;
use millstream::{Output, Record};

#[millstream::function]
fn handle(record: Record<'_>) -> Output {
    if says(record, "spin") {
        let mut turns = 0u64;
        loop {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
    }
    Output::from(record)
}
