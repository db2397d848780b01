//! Ends badly: "trap" in a value panics with a message, "unreachable" traps without one, "recurse" overflows the stack.
//! Every other record comes out as it came.

use guests::says;
use millstream::{Output, Record};

#[millstream::function]
fn handle(record: Record<'_>) -> Output {
    if says(record, "trap") {
        panic!("record {} says trap", record.offset());
    }
    if says(record, "unreachable") {
        #[cfg(target_arch = "wasm32")]
        core::arch::wasm32::unreachable();
    }
    if says(record, "recurse") {
        std::hint::black_box(deeper(1));
    }
    Output::from(record)
}

#[inline(never)]
fn deeper(depth: u64) -> u64 {
    // Endless, but not so that a compiler sees it; and what follows the call keeps it from being a jump.
    if std::hint::black_box(depth) == 0 {
        0
    } else {
        deeper(depth | 1).wrapping_add(std::hint::black_box(depth))
    }
}
