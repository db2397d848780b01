//! The two rules. Pure: an order, a customer's history and the settings in, an alert or nothing out.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) large_total_cents: u64,
    /// So many orders of one customer within the window are too many.
    pub(crate) orders_max: usize,
    pub(crate) window_ms: u64,
}

/// What the rules read of an enriched order.
#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    order_id: String,
    customer_id: String,
    total_cents: u64,
    currency: String,
    placed_at_ms: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Alert {
    rule: &'static str,
    customer_id: String,
    order_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    orders: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    within_seconds: Option<u64>,
    total_cents: u64,
    currency: String,
    placed_at_ms: u64,
}

/// When a customer ordered within the last window, oldest first. Never longer than `orders_max`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct History {
    placed_at_ms: Vec<u64>,
}

pub(crate) fn large_total(order: &Order, settings: &Settings) -> Option<Alert> {
    (order.total_cents >= settings.large_total_cents).then(|| alert("large_total", order))
}

impl History {
    /// Takes the order in. The history is empty after an alert, so that a long burst raises one for each
    /// `orders_max` orders and not one for each order.
    pub(crate) fn add(&mut self, order: &Order, settings: &Settings) -> Option<Alert> {
        let times = &mut self.placed_at_ms;
        let place = times.partition_point(|time| *time <= order.placed_at_ms);
        times.insert(place, order.placed_at_ms);
        let (first, last) = (times[0], times[times.len() - 1]);
        if last - first >= settings.window_ms {
            let begin = last - settings.window_ms;
            times.retain(|time| *time > begin);
        }
        if times.len() < settings.orders_max {
            return None;
        }
        let (first, last) = (times[0], times[times.len() - 1]);
        let orders = std::mem::take(times).len();
        let within_seconds = Some((last - first).div_ceil(1000));
        Some(Alert { orders: Some(orders), within_seconds, ..alert("many_orders", order) })
    }
}

fn alert(rule: &'static str, order: &Order) -> Alert {
    Alert {
        rule,
        customer_id: order.customer_id.clone(),
        order_id: order.order_id.clone(),
        orders: None,
        within_seconds: None,
        total_cents: order.total_cents,
        currency: order.currency.clone(),
        placed_at_ms: order.placed_at_ms,
    }
}
