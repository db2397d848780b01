//! Burns CPU time as a record says ("burn:50" is about 50 ms), then puts it out as it came.
//!
//! It counts turns, since the clock that it could read is not the real one; so the time is about right on a core of
//! some 3 GHz, and always the same work.

use guests::number_after;
use millstream::{Output, Record};

/// Each turn waits for a multiplication and an addition: four to five cycles.
const TURNS_PER_MS: u64 = 650_000;

#[millstream::function]
fn handle(record: Record<'_>) -> Output {
    if let Some(ms) = number_after(record, "burn:") {
        let mut mixed = ms;
        for _ in 0..ms.saturating_mul(TURNS_PER_MS) {
            mixed = mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        }
        std::hint::black_box(mixed);
    }
    Output::from(record)
}
