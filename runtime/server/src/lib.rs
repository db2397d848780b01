//! The program: drives feeds, serves HTTP and the command line, keeps the catalogue, measures. What is
//! decided about records is in `trigger`; which log there is, is known to [`app`] alone.
pub mod allocator;
pub mod app;
pub mod artifacts;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod drive;
pub mod http;
pub mod metrics;
pub mod telemetry;
