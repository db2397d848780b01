//! An order as the shop writes it. Shape only; README.md tells it to those who write orders.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    pub(crate) order_id: String,
    pub(crate) customer: Customer,
    pub(crate) items: Vec<Item>,
    pub(crate) currency: String,
    pub(crate) placed_at: String,
    #[serde(default)]
    pub(crate) status: Status,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Customer {
    pub(crate) id: String,
    pub(crate) country: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) qty: u32,
    pub(crate) price_cents: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    #[default]
    Placed,
    Paid,
    Shipped,
    Cancelled,
}

impl Order {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.status == Status::Cancelled
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.iter().all(|item| item.qty == 0)
    }
}
