//! Burns CPU time as a record says ("burn:50" is about 50 ms), then puts it out as it came.
//!
//! It counts turns, since the clock that it could read is not the real one; so the time is about right on a core of
//! some 3 GHz, and always the same work.

use guests::number_after;
use millstream::{Output, Record};

/// A turn takes about six cycles, each step waiting for the one before.
const TURNS_PER_MS: u64 = 500_000;

#[millstream::function]
fn handle(record: Record<'_>) -> Output {
    if let Some(ms) = number_after(record, "burn:") {
        let mut mixed = ms;
        for _ in 0..ms.saturating_mul(TURNS_PER_MS) {
            // The shift is what keeps a compiler from folding several turns into one.
            mixed = (mixed ^ (mixed >> 29)).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        std::hint::black_box(mixed);
    }
    Output::from(record)
}
