//! Orders of a shop that does not exist: pure, and the same for the same seed and start. Never the
//! clock, the network or true randomness.
//!
//! # Distribution
//!
//! | what | how |
//! | --- | --- |
//! | customers | 4,000, a few of whom order much more than most; each has one home country |
//! | countries | by size of the shop's markets: DE 24 %, US 18 %, FR 12 %, GB 10 %, …; the currency follows |
//! | articles | 16, prices from 2.90 to 349.00; 1 to 4 different ones an order, mostly 1; quantities 1 to 3 |
//! | status | 70 % placed, 20 % paid, 7 % shipped, 3 % cancelled; 1 order in 200 has no items |
//! | time | one order each 200 ms on average, from `start` on |
//! | fraud | 1 order in 400 begins an episode that lies between the orders that follow: a card is tried with 8 to 14 tiny orders within seconds (rule `many_orders` of `alerts`), or a stolen account buys dear articles 4 to 6 times (rule `large_total`) |
//! | malformed | exactly 1 in each 100, in one of the ways of [`Flaw`], each as likely |
use std::collections::VecDeque;

use serde::Serialize;

use super::dice::Dice;

/// One order on its way to the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// The customer: orders of one customer keep their order.
    pub(super) key: String,
    pub(super) value: String,
    pub(super) flaw: Option<Flaw>,
}

/// What goes wrong with orders in real life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The sender died while it wrote.
    CutOff,
    /// A gateway's error page instead of an order.
    ErrorPage,
    /// A price as a decimal number where whole cents belong.
    DecimalPrice,
    /// A quantity in words.
    WordyQuantity,
    NoCountry,
    LowercaseCurrency,
    /// The date as a person in Europe writes it.
    LocalDate,
    BlankOrderId,
}

impl Flaw {
    const ALL: [Self; 8] = [
        Self::CutOff,
        Self::ErrorPage,
        Self::DecimalPrice,
        Self::WordyQuantity,
        Self::NoCountry,
        Self::LowercaseCurrency,
        Self::LocalDate,
        Self::BlankOrderId,
    ];

    /// Whether the value is JSON all the same.
    pub(super) fn is_json(self) -> bool {
        !matches!(self, Self::CutOff | Self::ErrorPage)
    }
}

/// How many orders there are to one malformed.
const MALFORMED_ONE_IN: u64 = 100;
const CUSTOMERS: u64 = 4_000;
/// Mean time between two orders, in milliseconds.
const PACE_MS: u64 = 200;

/// Share of the orders, country, currency.
const COUNTRIES: [(u64, &str, &str); 12] = [
    (24, "DE", "EUR"),
    (18, "US", "USD"),
    (12, "FR", "EUR"),
    (10, "GB", "GBP"),
    (8, "NL", "EUR"),
    (7, "ES", "EUR"),
    (6, "PL", "PLN"),
    (5, "CH", "CHF"),
    (4, "SE", "SEK"),
    (3, "JP", "JPY"),
    (2, "BR", "BRL"),
    (1, "ZA", "ZAR"),
];

/// Article and price in cents; cheap ones first.
const ARTICLES: [(&str, u64); 16] = [
    ("tea-bags-mint", 290),
    ("tea-earl-grey", 450),
    ("honey-acacia", 590),
    ("biscuits-ginger", 640),
    ("tea-sencha", 890),
    ("mug-enamel", 1_190),
    ("strainer-steel", 1_250),
    ("tea-darjeeling", 1_690),
    ("cup-porcelain", 1_990),
    ("coffee-ethiopia", 2_150),
    ("pot-cast-iron", 2_999),
    ("scale-kitchen", 3_450),
    ("kettle-copper", 7_900),
    ("grinder-hand", 9_900),
    ("samovar-brass", 24_900),
    ("espresso-machine", 34_900),
];

#[derive(Clone, Debug, Serialize)]
struct Order {
    order_id: String,
    customer: Customer,
    items: Vec<Item>,
    currency: String,
    placed_at: String,
    status: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Customer {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
struct Item {
    sku: &'static str,
    qty: serde_json::Value,
    price_cents: serde_json::Value,
}

/// What an episode of fraud still has to order.
#[derive(Clone, Debug)]
struct Planned {
    customer: u64,
    country: usize,
    items: Vec<Item>,
}

/// Makes orders without end.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    dice: Dice,
    number: u64,
    /// Milliseconds since 1970 of the last order.
    at_ms: u64,
    /// Which order of this hundred is malformed.
    flawed: u64,
    planned: VecDeque<Planned>,
}

impl Orders {
    pub(super) fn new(seed: u64, start_ms: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            number: 0,
            at_ms: start_ms,
            flawed: 0,
            planned: VecDeque::new(),
        }
    }

    fn fraud(&mut self) {
        let (customer, country) = self.customer();
        let is_card_tried = self.dice.one_in(2);
        let times = if is_card_tried { self.dice.within(8, 14) } else { self.dice.within(4, 6) };
        for _ in 0..times {
            let items = if is_card_tried {
                vec![item(ARTICLES[self.dice.below(3) as usize], 1)]
            } else {
                vec![item(ARTICLES[self.dice.within(14, 15) as usize], self.dice.within(4, 9))]
            };
            self.planned.push_back(Planned { customer, country, items });
        }
    }

    /// Somebody, with the country that is theirs.
    fn customer(&mut self) -> (u64, usize) {
        // The product of two prefers low numbers: those are the regulars.
        let customer = self.dice.below(CUSTOMERS) * self.dice.below(CUSTOMERS) / CUSTOMERS;
        let home = Dice::new(customer ^ 0xC0FFEE).weighted(COUNTRIES.iter().map(|c| c.0));
        (customer, home)
    }

    fn items(&mut self) -> Vec<Item> {
        if self.dice.one_in(200) {
            return Vec::new();
        }
        let kinds = 1 + self.dice.weighted([60, 25, 10, 5].into_iter());
        (0..kinds)
            .map(|_| {
                // The lower of two: cheap articles sell more.
                let at = self.dice.below(16).min(self.dice.below(16));
                item(ARTICLES[at as usize], self.dice.within(1, 3))
            })
            .collect()
    }

    fn order(&mut self) -> Order {
        let is_planned = !self.planned.is_empty() && self.dice.one_in(3);
        let planned = if is_planned { self.planned.pop_front() } else { None };
        let (customer, country, items, status) = match planned {
            Some(Planned { customer, country, items }) => (customer, country, items, "placed"),
            None => {
                let (customer, country) = self.customer();
                let status = ["placed", "paid", "shipped", "cancelled"]
                    [self.dice.weighted([70, 20, 7, 3].into_iter())];
                (customer, country, self.items(), status)
            }
        };
        self.at_ms += self.dice.below(2 * PACE_MS);
        let (_, country, currency) = COUNTRIES[country];
        Order {
            order_id: format!("o-{:06}", self.number),
            customer: Customer { id: format!("c-{customer:04}"), country: Some(country) },
            items,
            currency: currency.to_owned(),
            placed_at: instant(self.at_ms),
            status,
        }
    }
}

impl Iterator for Orders {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        if self.number.is_multiple_of(MALFORMED_ONE_IN) {
            self.flawed = self.number + self.dice.below(MALFORMED_ONE_IN);
        }
        if self.dice.one_in(400) {
            self.fraud();
        }
        let mut order = self.order();
        let key = order.customer.id.clone();
        let flaw = (self.number == self.flawed).then(|| *self.dice.pick(&Flaw::ALL));
        self.number += 1;
        if let Some(flaw) = flaw {
            spoil(&mut order, flaw, self.at_ms);
        }
        let mut value = serde_json::to_string(&order).expect("an order is plain data");
        match flaw {
            Some(Flaw::CutOff) => value.truncate(value.len() * 3 / 5),
            Some(Flaw::ErrorPage) => value = "<html><h1>502 Bad Gateway</h1></html>".to_owned(),
            _ => {}
        }
        Some(Sent { key, value, flaw })
    }
}

/// Whatever the flaw, the order is one that would be worked on: a cancelled one is not looked at closely.
fn spoil(order: &mut Order, flaw: Flaw, at_ms: u64) {
    order.status = "placed";
    if order.items.is_empty() {
        order.items.push(item(ARTICLES[0], 1));
    }
    match flaw {
        Flaw::CutOff | Flaw::ErrorPage => {}
        Flaw::DecimalPrice => {
            let cents = order.items[0].price_cents.as_u64().unwrap_or(0);
            order.items[0].price_cents = (cents as f64 / 100.0).into();
        }
        Flaw::WordyQuantity => order.items[0].qty = "two".into(),
        Flaw::NoCountry => order.customer.country = None,
        Flaw::LowercaseCurrency => order.currency.make_ascii_lowercase(),
        Flaw::LocalDate => {
            let (date, time) = (instant(at_ms), at_ms / 1_000);
            let (day, month, year) = (&date[8..10], &date[5..7], &date[..4]);
            let (hour, minute) = (time / 3_600 % 24, time / 60 % 60);
            order.placed_at = format!("{day}.{month}.{year} {hour:02}:{minute:02}");
        }
        Flaw::BlankOrderId => order.order_id = String::new(),
    }
}

fn item((sku, price_cents): (&'static str, u64), qty: u64) -> Item {
    Item { sku, qty: qty.into(), price_cents: price_cents.into() }
}

fn instant(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{at:.3}")
}

#[cfg(test)]
mod tests;
