//! Appending and reading records over HTTP. Never a log's own rule: what it refuses is told as it says it.
mod append;
mod draft;
mod follow;
mod json;
mod lines;
mod one;
mod page;
mod places;
mod pointer;
mod read;

pub(crate) use append::{append, read_for_invocation};
pub(crate) use follow::{SIGN_OF_LIFE, events};
pub(crate) use one::{find, one};
pub(crate) use page::{Reader, refused as refused_read};
pub(crate) use places::From;
pub(crate) use read::{EVENTS, JSON, in_pieces, read};
