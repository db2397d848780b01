//! The harness of the end-to-end tests: a real server process on a directory of its own, a client that
//! speaks HTTP to it, and the verifier that keeps its own books. Never a look inside the process.
mod client;
mod process;
mod verifier;
pub mod wait;

pub use client::{Answer, Client};
pub use process::{Options, Server, binary, component};
pub use verifier::{Books, Place, Read, id_of, read_all};
