//! How a batch becomes a guest's records and a guest's answer becomes a batch, with one copy each way. The
//! types here are those of `wit/function.wit`, checked when a function is linked.
//!
//! Beside the derived parts it uses wasmtime's hidden interface, so the version is pinned to the LTS line.
mod lift;
mod lower;

pub(crate) use lift::{AnswerOut, BlameOut, FailureOut, Gathered, ResponseOut, fuel};
pub(crate) use lower::{BatchIn, Records, WindowIn};

/// What `handle` takes and gives.
pub(crate) type Params<'a> = (BatchIn<'a>,);
pub(crate) type Answer = (AnswerOut,);
