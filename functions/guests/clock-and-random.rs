//! Puts out what the clocks and the random sources say, for each record: the proof that all of it is derived from the
//! invocation. Also what time passes between two readings.

use std::hash::BuildHasher;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millstream::json::{Value, json};
use millstream::{Json, Record};

#[millstream::function]
fn handle(record: Record<'_>) -> Json<Value> {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let before = Instant::now();
    Json(json!({
        "offset": record.offset(),
        "wall_ns": wall.as_nanos().to_string(),
        "monotonic_ns": bare::monotonic_ns().to_string(),
        "between_ns": before.elapsed().as_nanos().to_string(),
        "random": bare::random().to_string(),
        "insecure_random": bare::insecure_random().to_string(),
        "hash_seed": std::hash::RandomState::new().hash_one(0).to_string(),
    }))
}

/// Numbers go out as text: a reader in another language would round them.
#[cfg(target_family = "wasm")]
mod bare {
    pub(super) fn monotonic_ns() -> u64 {
        wasip2::clocks::monotonic_clock::now()
    }

    pub(super) fn random() -> u64 {
        wasip2::random::random::get_random_u64()
    }

    pub(super) fn insecure_random() -> u64 {
        wasip2::random::insecure::get_insecure_random_u64()
    }
}

#[cfg(not(target_family = "wasm"))]
mod bare {
    pub(super) fn monotonic_ns() -> u64 {
        0
    }

    pub(super) fn random() -> u64 {
        0
    }

    pub(super) fn insecure_random() -> u64 {
        0
    }
}
