//! The embedded log passes what every log must pass: also over restarts, crashes and a full disk.
mod fixture;

use fixture::Store;

log_contract::conformance!(Store::new());
log_contract::conformance_durable!(Store::new());
log_contract::conformance_full!(Store::new());
