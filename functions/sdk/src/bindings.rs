//! What wit-bindgen makes of `wit/function.wit`. Nothing by hand lives here but the names that the rest uses.
#![allow(unsafe_code, reason = "the generated code is the seam to the host")]
#![allow(
    missing_debug_implementations,
    unreachable_pub,
    elided_lifetimes_in_paths,
    clippy::all,
    reason = "generated"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "function",
    pub_export_macro: true,
    default_bindings_module: "millstream::bindings",
});

pub use self::exports::millstream::function::handler::Guest;
pub use self::millstream::function::state;
pub use self::millstream::function::types::{
    Batch, Blame, FailedRecord, Failure, Header, Outage, Output, Record, Response, Window,
};
