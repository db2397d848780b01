//! What every log must pass: a test for each sentence of the contract, a file per subject, and the lists
//! that make a log run all of them. Never a log.
//!
//! A log's test file gives a [`Fixture`] for each list it passes:
//!
//! ```text
//! log_contract::conformance!(MyFixture::new());
//! log_contract::conformance_durable!(MyFixture::new());
//! log_contract::conformance_full!(MyFixture::new());
//! ```
//!
//! Each test gets a fixture of its own, and is a `#[tokio::test]` named for what must hold.
mod fixture;
mod list;
mod records;
mod trial;

pub mod append;
pub mod blobs;
pub mod closing;
pub mod cursors;
pub mod documents;
pub mod durable;
pub mod full;
pub mod leases;
pub mod read;
pub mod refusals;
pub mod resumed;
pub mod retention;
pub mod settle;
pub mod state;
pub mod topics;
pub mod trim;

pub use fixture::{Fixture, Stores, TestClock};
pub use trial::{Trial, run};

/// Not for use: makes tests of names.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:expr; $($subject:ident: $($name:ident)+;)+) => {
        $(mod $subject {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = $crate::conformance::$subject::$name;
                $crate::conformance::run($fixture, test).await;
            })+
        })+
    };
}
