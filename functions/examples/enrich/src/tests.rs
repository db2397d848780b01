//! What the function does with orders, through its handler.

use millstream::bindings::Blame;
use millstream::json::{Value, json};
use millstream::testing::Partition;

use super::handle;

fn order() -> Value {
    json!({
        "order_id": "o-1", "customer": {"id": "c-7", "country": "DE", "email": "a@example.org"},
        "items": [{"sku": "tea", "qty": 2, "price_cents": 450}, {"sku": "pot", "qty": 1, "price_cents": 2999}],
        "currency": "EUR", "placed_at": "2026-11-24T14:15:21Z", "channel": "web",
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut order = order();
    *order.pointer_mut(path).expect("the path is there") = value;
    order
}

fn without(field: &str) -> Value {
    let mut order = order();
    order.as_object_mut().expect("an object").remove(field);
    order
}

#[test]
fn an_order_comes_out_with_its_sums_under_its_own_key() {
    let answer =
        Partition::new().hand(handle, [("c-7", order().to_string().as_str())]).expect("handled");
    assert_eq!(answer.outputs[0].key.as_deref(), Some(b"c-7".as_slice()));
    assert_eq!(answer.outputs[0].source, Some(0));
    let enriched: Value = millstream::json::from_str(&answer.values()[0]).expect("JSON");
    let expected = json!({
        "order_id": "o-1", "customer_id": "c-7", "country": "DE", "region": "eu", "currency": "EUR", "item_count": 3,
        "total_cents": 3899, "top_sku": "pot", "status": "placed", "placed_at": "2026-11-24T14:15:21Z",
        "placed_at_ms": 1_795_529_721_000u64,
    });
    assert_eq!(enriched, expected);
}

#[test]
fn cancelled_and_empty_orders_are_handled_and_gone() {
    let mut cancelled = order();
    cancelled["status"] = json!("cancelled");
    let mut nothing = with("/items/0/qty", json!(0));
    nothing["items"][1]["qty"] = json!(0);
    for order in [cancelled, with("/items", json!([])), nothing] {
        let answer =
            Partition::new().hand(handle, [("c-7", order.to_string().as_str())]).expect("handled");
        assert!(answer.outputs.is_empty() && answer.failed.is_empty(), "{order}");
    }
}

#[test]
fn a_malformed_order_fails_for_good_and_its_reason_names_the_field() {
    for (order, field) in [
        (without("order_id"), "`order_id`"),
        (without("customer"), "`customer`"),
        (without("items"), "`items`"),
        (without("currency"), "`currency`"),
        (without("placed_at"), "`placed_at`"),
        (with("/order_id", json!(" ")), "`order_id`"),
        (with("/customer", json!({"id": "c-7"})), "`customer.country`"),
        (with("/customer/id", json!("")), "`customer.id`"),
        (with("/customer/country", json!("Germany")), "`customer.country`"),
        (with("/currency", json!("eur")), "`currency`"),
        (with("/placed_at", json!("yesterday")), "`placed_at`"),
        (with("/items/1/qty", json!("two")), "`items[1].qty`"),
        (with("/items/1/qty", json!(-2)), "`items[1].qty`"),
        (with("/items/0/price_cents", json!(4.5)), "`items[0].price_cents`"),
        (with("/items/1/sku", json!("")), "`items[1].sku`"),
        (with("/items/1/price_cents", json!(u64::MAX)), "`items[1].price_cents`"),
    ] {
        let answer =
            Partition::new().hand(handle, [("c-7", order.to_string().as_str())]).expect("handled");
        assert!(answer.outputs.is_empty(), "{order}");
        assert_eq!(answer.failed[0].blame, Blame::Permanent, "{order}");
        assert!(answer.failed[0].reason.starts_with(field), "{order}: {}", answer.failed[0].reason);
    }
}

#[test]
fn a_malformed_order_takes_no_other_along() {
    let good = order().to_string();
    let records = [("a", good.as_str()), ("b", "{\"order_id\": "), ("c", good.as_str())];
    let answer = Partition::new().hand(handle, records).expect("handled");
    let sources: Vec<_> = answer.outputs.iter().map(|output| output.source).collect();
    assert_eq!(sources, [Some(0), Some(2)]);
    assert_eq!(answer.failed.len(), 1);
    assert!(answer.failed[0].reason.starts_with("not JSON"), "{}", answer.failed[0].reason);
}
