//! Runs guests on wasmtime: a call goes in, an outcome comes out, and no engine type crosses the border.
//! Decides nothing about retries; knows no log but the words of the contract.
mod abi;
mod admit;
mod answer;
mod artifacts;
mod call;
mod compile;
mod config;
mod engine;
mod fault;
mod function;
mod guest_runtime;
mod host;
mod invoke;
mod logs;
mod sandbox;
mod stats;
mod ticker;
mod turns;

pub use admit::{AdmitError, Admitted, CompileResource, HostTrouble};
pub use call::{Call, Cost, Environment, Invoked, Limits, OutputTopics, StateReader, Window};
pub use compile::compile_main;
pub use config::{CompileLimits, SandboxConfig};
pub use function::{Function, LoadError};
pub use logs::{LogLine, LogStream, Logs};
pub use sandbox::Sandbox;
pub use stats::Stats;
pub use turns::Share;
