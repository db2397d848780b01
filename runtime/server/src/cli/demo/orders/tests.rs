//! What the orders of a seed are like.
use std::collections::HashMap;

use serde_json::Value;

use super::*;

const START: u64 = 1_795_529_721_000;

fn orders(seed: u64, count: usize) -> Vec<Sent> {
    Orders::new(seed, START).take(count).collect()
}

fn good(seed: u64, count: usize) -> Vec<Value> {
    let sent = orders(seed, count).into_iter().filter(|order| order.flaw.is_none());
    sent.map(|order| serde_json::from_str(&order.value).unwrap()).collect()
}

fn share(of: &[Value], holds: impl Fn(&Value) -> bool) -> f64 {
    of.iter().filter(|order| holds(order)).count() as f64 / of.len() as f64
}

#[test]
fn the_same_seed_makes_the_same_orders() {
    assert_eq!(orders(7, 500), orders(7, 500));
    assert_ne!(orders(7, 500), orders(8, 500));
}

#[test]
fn the_first_order_reads_like_one() {
    let first = &good(1, 1_000)[0];
    assert_eq!(first["placed_at"].as_str().map(str::len), Some("2026-11-24T14:15:21.000Z".len()));
    assert!(first["placed_at"].as_str().unwrap().starts_with("2026-11-24T14:15:2"), "{first}");
    assert!(first["order_id"].as_str().unwrap().starts_with("o-0"), "{first}");
    assert!(first["items"][0]["qty"].as_u64() > Some(0), "{first}");
}

#[test]
fn exactly_one_in_each_hundred_is_malformed_in_every_way() {
    for seed in 0..20 {
        let sent = orders(seed, 2_000);
        for hundred in sent.chunks(100) {
            assert_eq!(hundred.iter().filter(|order| order.flaw.is_some()).count(), 1);
        }
    }
    let sent = orders(1, 20_000);
    for flaw in Flaw::ALL {
        let times = sent.iter().filter(|order| order.flaw == Some(flaw)).count();
        assert!((5..60).contains(&times), "{flaw:?} {times} times of 200");
    }
}

#[test]
fn each_flaw_is_in_the_value() {
    for Sent { key, value, flaw } in orders(3, 20_000) {
        let Some(flaw) = flaw else { continue };
        assert!(key.starts_with("c-"), "{key}");
        let parsed: Option<Value> = serde_json::from_str(&value).ok();
        assert_eq!(parsed.is_some(), flaw.is_json(), "{value}");
        let Some(order) = parsed else { continue };
        assert_eq!(order["status"], "placed");
        let is_there = match flaw {
            Flaw::CutOff | Flaw::ErrorPage => unreachable!("not JSON"),
            Flaw::DecimalPrice => order["items"][0]["price_cents"].as_u64().is_none(),
            Flaw::WordyQuantity => order["items"][0]["qty"].is_string(),
            Flaw::NoCountry => order["customer"]["country"].is_null(),
            Flaw::LowercaseCurrency => order["currency"].as_str().unwrap().len() == 3,
            Flaw::LocalDate => order["placed_at"].as_str().unwrap().starts_with("24.11.2026 "),
            Flaw::BlankOrderId => order["order_id"] == "",
        };
        assert!(is_there, "{flaw:?}: {value}");
    }
}

#[test]
fn orders_are_spread_as_documented() {
    let all = good(5, 40_000);
    let from = |country: &str| share(&all, |order| order["customer"]["country"] == country);
    assert!((0.18..0.30).contains(&from("DE")), "DE {}", from("DE"));
    assert!((0.12..0.24).contains(&from("US")), "US {}", from("US"));
    let cancelled = share(&all, |order| order["status"] == "cancelled");
    assert!((0.02..0.04).contains(&cancelled), "cancelled {cancelled}");
    let empty = share(&all, |order| order["items"].as_array().unwrap().is_empty());
    assert!((0.002..0.008).contains(&empty), "empty {empty}");
    let customers: HashMap<_, usize> = all.iter().fold(HashMap::new(), |mut seen, order| {
        *seen.entry(order["customer"]["id"].to_string()).or_default() += 1;
        seen
    });
    assert!(customers.len() > 2_500, "{} customers", customers.len());
    assert!(customers.values().max() > Some(&60), "nobody orders often");
}

/// What the rules of `alerts` look for.
#[test]
fn each_fraud_shows_in_the_orders() {
    let mut by_customer: HashMap<String, Vec<Value>> = HashMap::new();
    let orders = good(1, 20_000);
    let total = |order: &Value| -> u64 {
        let items = order["items"].as_array().unwrap().iter();
        items.map(|i| i["qty"].as_u64().unwrap() * i["price_cents"].as_u64().unwrap()).sum()
    };
    let large = orders.iter().filter(|order| total(order) >= 100_000).count();
    assert!((50..400).contains(&large), "{large} large orders");
    for order in orders {
        by_customer.entry(order["customer"]["id"].to_string()).or_default().push(order);
    }
    let minute = |order: &Value| order["placed_at"].to_string()[..17].to_owned();
    let busy =
        by_customer.values().flat_map(|orders| orders.chunk_by(|a, b| minute(a) == minute(b)));
    let busy = busy.filter(|orders| orders.len() >= 5).count();
    assert!((15..120).contains(&busy), "{busy} minutes in which one customer ordered much");
}
