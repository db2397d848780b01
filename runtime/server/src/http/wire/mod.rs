//! The shapes that others see: what a body says, with its defaults, and what an answer looks like. Domain
//! types know nothing of JSON; nothing here calls anybody.
mod fields;
pub(crate) mod function;
pub(crate) mod nearest;
mod quantity;
pub(crate) mod record;
mod strict;
pub(crate) mod topic;
pub(crate) mod trigger;

pub(crate) use fields::{Fields, Problems, read_body};
pub use quantity::{
    parse_duration, parse_instant, parse_size, show_duration, show_instant, show_size,
};
