//! Answers with more than may come out: "flood-bytes" in a value with 40 MiB in 40 records, "flood-many" with two
//! million records (more than its memory may hold, unless it may have much), "flood" with 200,000 small ones. Every
//! other record comes out as it came.

use guests::says;
use millstream::{Output, Record};

#[millstream::function]
fn handle(record: Record<'_>) -> Vec<Output> {
    if says(record, "flood-bytes") {
        (0..40).map(|_| Output::bytes(vec![b'x'; 1 << 20])).collect()
    } else if says(record, "flood-many") {
        (0..2_000_000).map(|_| Output::bytes("drop")).collect()
    } else if says(record, "flood") {
        (0..200_000).map(|_| Output::bytes("drop").without_key()).collect()
    } else {
        vec![Output::from(record)]
    }
}
