//! Filters and reshapes orders: what a stream's first function usually does.
//!
//! Here is the handler; what an order is lives in `order`, what comes out in `enriched`. Neither knows the runtime.

mod date;
mod enriched;
mod order;

use millstream::Reject;

use self::enriched::Enriched;
use self::order::Order;

#[millstream::function]
fn handle(order: Order) -> Result<Option<Enriched>, Reject> {
    if order.is_cancelled() || order.is_empty() {
        return Ok(None);
    }
    Enriched::of(order).map(Some).map_err(Reject::permanent)
}

#[cfg(test)]
mod tests;
