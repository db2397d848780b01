//! What becomes of an order, and the checks that its types alone cannot make. A reason names the field, as those of
//! the decoder do.

use serde::Serialize;

use crate::date;
use crate::order::{Order, Status};

#[derive(Debug, Serialize)]
pub(crate) struct Enriched {
    order_id: String,
    customer_id: String,
    country: String,
    region: &'static str,
    currency: String,
    /// The sum of the quantities.
    item_count: u64,
    total_cents: u64,
    /// The article that costs most in this order.
    top_sku: String,
    status: Status,
    placed_at: String,
    placed_at_ms: u64,
}

impl Enriched {
    pub(crate) fn of(order: Order) -> Result<Self, String> {
        not_blank("order_id", &order.order_id)?;
        not_blank("customer.id", &order.customer.id)?;
        upper_letters("customer.country", &order.customer.country, 2)?;
        upper_letters("currency", &order.currency, 3)?;
        let placed_at_ms = date::unix_ms(&order.placed_at).ok_or_else(|| {
            format!("`placed_at`: {:?} is no RFC 3339 time since 1970", shortened(&order.placed_at))
        })?;
        let mut item_count = 0u64;
        let mut total_cents = 0u64;
        let mut top = (0, "");
        for (index, item) in order.items.iter().enumerate() {
            not_blank(&format!("items[{index}].sku"), &item.sku)?;
            let cost = item.price_cents.checked_mul(item.qty.into());
            let sum = cost.and_then(|cost| total_cents.checked_add(cost));
            let (Some(cost), Some(sum)) = (cost, sum) else {
                return Err(format!("`items[{index}].price_cents`: the total is too large"));
            };
            total_cents = sum;
            item_count += u64::from(item.qty);
            if top.1.is_empty() || cost > top.0 {
                top = (cost, &item.sku);
            }
        }
        Ok(Self {
            region: region(&order.customer.country),
            top_sku: top.1.to_owned(),
            order_id: order.order_id,
            customer_id: order.customer.id,
            country: order.customer.country,
            currency: order.currency,
            item_count,
            total_cents,
            status: order.status,
            placed_at: order.placed_at,
            placed_at_ms,
        })
    }
}

fn not_blank(field: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err(format!("`{field}` is empty")) } else { Ok(()) }
}

fn upper_letters(field: &str, text: &str, count: usize) -> Result<(), String> {
    if text.len() == count && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(format!("`{field}`: {:?} is not {count} capital letters", shortened(text)))
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

fn region(country: &str) -> &'static str {
    match country {
        "AT" | "BE" | "BG" | "CY" | "CZ" | "DE" | "DK" | "EE" | "ES" | "FI" | "FR" | "GR"
        | "HR" | "HU" | "IE" | "IT" | "LT" | "LU" | "LV" | "MT" | "NL" | "PL" | "PT" | "RO"
        | "SE" | "SI" | "SK" => "eu",
        "AL" | "BA" | "CH" | "GB" | "IS" | "LI" | "MD" | "ME" | "MK" | "NO" | "RS" | "UA" => {
            "europe"
        }
        "US" | "CA" => "north-america",
        "AR" | "BO" | "BR" | "CL" | "CO" | "CR" | "DO" | "EC" | "GT" | "MX" | "PA" | "PE"
        | "PY" | "UY" => "latin-america",
        "AU" | "CN" | "HK" | "ID" | "IN" | "JP" | "KR" | "MY" | "NZ" | "PH" | "SG" | "TH"
        | "TW" | "VN" => "asia-pacific",
        "AE" | "EG" | "GH" | "IL" | "KE" | "MA" | "NG" | "SA" | "TN" | "TR" | "ZA" => {
            "middle-east-africa"
        }
        _ => "other",
    }
}
