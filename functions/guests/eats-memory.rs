//! Grows its memory for ever over a record that holds "eat". Every other comes out as it came.

use guests::says;
use millstream::{Output, Record};

#[millstream::function]
fn handle(record: Record<'_>) -> Output {
    if says(record, "eat") {
        let mut eaten = Vec::new();
        loop {
            // Written to, so that the pages are really taken.
            eaten.push(std::hint::black_box(vec![1u8; 1 << 20]));
        }
    }
    Output::from(record)
}
