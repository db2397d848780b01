//! Raises alerts over enriched orders: large totals, and customers who order much in a short time.
//!
//! Here is the handler: it reads the settings and the state, and writes what `rule` decided. No rule lives here.

mod rule;

use std::env;
use std::sync::LazyLock;

use millstream::{Record, Reject};

use self::rule::{Alert, History, Order, Settings};

/// The name of the customer's history in the state of the record's key.
const HISTORY: &str = "history";

/// Read once for each instance: the environment does not change below one.
static SETTINGS: LazyLock<Settings> = LazyLock::new(settings);

#[millstream::function]
fn handle(order: Order, record: Record<'_>) -> Result<Vec<Alert>, Reject> {
    let mut alerts = Vec::new();
    alerts.extend(rule::large_total(&order, &SETTINGS));
    if record.key().is_some() {
        let mut history: History = record.state().get_json(HISTORY)?.unwrap_or_default();
        alerts.extend(history.add(&order, &SETTINGS));
        record.state().set_json(HISTORY, &history)?;
    }
    Ok(alerts)
}

fn settings() -> Settings {
    Settings {
        large_total_cents: number("LARGE_TOTAL_CENTS", 100_000),
        orders_max: usize::try_from(number("ORDERS_MAX", 5)).unwrap_or(usize::MAX).clamp(1, 1000),
        window_ms: number("WINDOW_SECONDS", 60).saturating_mul(1000),
    }
}

fn number(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| {
            eprintln!("`{name}` is no number: {text:?}; {default} is used");
            default
        }),
        Err(_) => default,
    }
}

#[cfg(test)]
mod tests {
    use millstream::json::{self, Value, json};
    use millstream::testing::Partition;

    use super::handle;

    fn order(id: &str, second: u64, total_cents: u64) -> String {
        let at = 1_795_529_721_000 + second * 1000;
        json!({
            "order_id": id, "customer_id": "c-7", "total_cents": total_cents, "currency": "EUR", "placed_at_ms": at,
            "region": "eu",
        })
        .to_string()
    }

    fn rules(partition: &mut Partition, order: &str) -> Vec<String> {
        let answer = partition.hand(handle, [("c-7", order)]).expect("handled");
        let alerts =
            answer.values().into_iter().map(|text| json::from_str::<Value>(&text).expect("JSON"));
        alerts.map(|alert| alert["rule"].as_str().expect("a rule").to_owned()).collect()
    }

    #[test]
    fn a_large_total_raises_an_alert_and_a_small_one_nothing() {
        let mut partition = Partition::new();
        assert_eq!(rules(&mut partition, &order("o-1", 0, 99_999)), [""; 0]);
        assert_eq!(rules(&mut partition, &order("o-2", 500, 100_000)), ["large_total"]);
    }

    #[test]
    fn the_fifth_order_within_a_minute_raises_an_alert_and_the_count_starts_anew() {
        let mut partition = Partition::new();
        for second in [0, 10, 20, 30] {
            assert_eq!(rules(&mut partition, &order("o", second, 1)), [""; 0]);
        }
        assert_eq!(rules(&mut partition, &order("o", 59, 1)), ["many_orders"]);
        for second in [60, 61, 62, 63] {
            assert_eq!(rules(&mut partition, &order("o", second, 1)), [""; 0]);
        }
        assert_eq!(rules(&mut partition, &order("o", 64, 200_000)), ["large_total", "many_orders"]);
    }

    #[test]
    fn orders_that_are_far_apart_raise_nothing() {
        let mut partition = Partition::new();
        for index in 0..50 {
            assert_eq!(rules(&mut partition, &order("o", index * 20, 1)), [""; 0], "order {index}");
        }
    }

    #[test]
    fn orders_that_come_out_of_order_are_counted_by_their_own_time() {
        let mut partition = Partition::new();
        for second in [40, 0, 200, 30, 10] {
            assert_eq!(rules(&mut partition, &order("o", second, 1)), [""; 0], "at {second}");
        }
    }

    #[test]
    fn customers_are_counted_apart() {
        let (one, mut partition) = (order("o", 0, 1), Partition::new());
        let keys = ["a", "b", "c", "d", "e", "f", "a", "b"];
        let answer = partition.hand(handle, keys.map(|key| (key, one.as_str()))).expect("handled");
        assert!(answer.outputs.is_empty() && answer.failed.is_empty());
    }

    #[test]
    fn what_is_no_enriched_order_fails_for_good_and_names_the_field() {
        let answer =
            Partition::new().hand(handle, [("c-7", r#"{"order_id":"o-1"}"#)]).expect("handled");
        assert_eq!(answer.failed[0].reason, "`customer_id` is missing");
    }
}
