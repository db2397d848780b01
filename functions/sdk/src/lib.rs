//! Write Millstream functions in Rust: one attribute away from a handler on typed JSON.
//!
//! ```
//! use millstream::Reject;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Order {
//!     order_id: String,
//!     quantity: u32,
//!     price_cents: u64,
//! }
//!
//! #[derive(Serialize)]
//! struct Priced {
//!     order_id: String,
//!     total_cents: u64,
//! }
//!
//! #[millstream::function]
//! fn handle(order: Order) -> Result<Option<Priced>, Reject> {
//!     if order.quantity == 0 {
//!         return Ok(None); // Handled, nothing comes out.
//!     }
//!     let total_cents = order
//!         .price_cents
//!         .checked_mul(order.quantity.into())
//!         .ok_or_else(|| Reject::permanent("`price_cents` is too large"))?;
//!     Ok(Some(Priced { order_id: order.order_id, total_cents }))
//! }
//! ```
//!
//! # Shapes of a handler
//!
//! | takes | meaning |
//! | --- | --- |
//! | `T: DeserializeOwned` | each record's value as JSON; `Option<T>` also takes tombstones |
//! | `T, Record<'_>` | the same, and the record itself: its key, headers, times and state |
//! | `Record<'_>` | each record as bytes; [`Record::json`] and [`Record::text`] decode without copying |
//! | `&Batch, &mut Outputs` | the whole batch at once |
//!
//! A handler of single records answers with `()`, an `Option` or a `Vec` of something that serializes to JSON or of
//! [`Output`]s, [`Json`] of one thing, or one [`Output`]; or with a `Result` of these and [`Reject`]. What comes out keeps the key of the record it came
//! from unless the [`Output`] says otherwise, and names that record as its source, so that a record that fails takes no
//! other record's outputs along. A handler of batches answers with `()` or `Result<(), Failure>`.
//!
//! # Whose fault it is
//!
//! A value that does not decode fails its record for good, with a reason that names the field
//! (`` `items[1].qty` is missing ``). [`Reject`] says what becomes of one record, [`Failure`] of the whole batch. The
//! `?` on any other error rejects: the runtime tries again, by itself, and dead-letters when the attempts are spent. A
//! panic is a rejected batch; its message is in the function's log, as is everything printed.
//!
//! # What lives here
//!
//! The translation between the world in `wit/function.wit` and Rust as people write it. No policy of the runtime, and
//! no dependency but serde and serde_json: what this crate brings, every function carries.

pub mod bindings;

mod batch;
mod blame;
mod decode;
pub mod handler;
mod output;
mod record;
mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use batch::{Batch, Window};
pub use blame::{Failure, Reject};
pub use millstream_macros::function;
pub use output::{Json, Output, Outputs};
pub use record::Record;
pub use serde_json as json;
pub use state::State;

#[cfg(all(feature = "bump", target_arch = "wasm32"))]
#[global_allocator]
static ALLOCATOR: millstream_bump::Bump = millstream_bump::Bump::new();

// So that what the README shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
