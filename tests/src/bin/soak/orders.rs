//! What is sent: orders, numbered without a gap within each key. So whoever reads them needs to remember
//! one number a key to see what is missing, doubled or out of order.
use std::fmt::Write as _;

use crate::dice::Dice;

/// Producers, each with keys of its own and one request under way.
pub(crate) const PRODUCERS: u32 = 4;
pub(crate) const KEYS: u32 = 1_024;
const KEYS_EACH: u32 = KEYS / PRODUCERS;
/// Of one request.
pub(crate) const RECORDS: usize = 1_000;

/// An order is known by its key's number and its own within the key.
pub(crate) type Order = (u32, u64);

/// Whether it has no total: then it ends in a dead letter.
pub(crate) fn is_bad((key, id): Order) -> bool {
    (u64::from(key).wrapping_mul(7_919) + id) % 20_011 == 37
}

/// The number of a key, if it is one of ours.
pub(crate) fn key_of(text: &str) -> Option<u32> {
    text.strip_prefix("c-")?.parse().ok().filter(|key| *key < KEYS)
}

/// The next orders of one producer, as JSON lines, and which they are.
pub(crate) fn make(producer: u32, next: &mut [u64], dice: &mut Dice) -> (String, Vec<Order>) {
    let (mut lines, mut orders) = (String::with_capacity(RECORDS * 48), Vec::new());
    for _ in 0..RECORDS {
        let key = producer * KEYS_EACH + dice.below(u64::from(KEYS_EACH)) as u32;
        let id = &mut next[key as usize];
        let order = (key, *id);
        *id += 1;
        let total = if is_bad(order) { "" } else { ",\"total\":1" };
        writeln!(lines, "{{\"id\":{},\"customer\":\"c-{key}\"{total}}}", order.1)
            .expect("a string takes all");
        orders.push(order);
    }
    (lines, orders)
}
