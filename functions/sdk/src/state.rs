//! The function's own state. What is written here is settled together with the batch, or not at all; so a function
//! counts exactly once, however often it is invoked. Nothing is cached here: the host already answers from memory.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Reject;

/// The state of a record's key ([`crate::Record::state`]) or of the partition ([`crate::Batch::state`]).
///
/// While a trigger's item failures and state meet in one answer, the runtime keeps nothing of it and hands the batch
/// over again in pieces: still exact, but slower.
#[derive(Debug, Clone, Copy)]
pub struct State {
    scope: Scope,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope {
    Partition,
    KeyOf(u32),
}

impl State {
    pub(crate) fn of_partition() -> Self {
        Self { scope: Scope::Partition }
    }

    pub(crate) fn of_key(index: u32) -> Self {
        Self { scope: Scope::KeyOf(index) }
    }

    pub fn get(self, name: &str) -> Option<Vec<u8>> {
        host::get(self.scope, name)
    }

    pub fn set(self, name: &str, value: &[u8]) {
        host::set(self.scope, name, value);
    }

    pub fn delete(self, name: &str) {
        host::delete(self.scope, name);
    }

    /// What [`State::set_json`] wrote. What it did not write, or in another shape, is rejected: state that an older
    /// version of the function left is its newer version's to read.
    pub fn get_json<T: DeserializeOwned>(self, name: &str) -> Result<Option<T>, Reject> {
        let Some(bytes) = self.get(name) else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Reject::rejected(format!("state `{name}`: {error}")))
    }

    pub fn set_json<T: Serialize + ?Sized>(self, name: &str, value: &T) -> Result<(), Reject> {
        self.set(name, &serde_json::to_vec(value)?);
        Ok(())
    }
}

#[cfg(target_family = "wasm")]
mod host {
    use super::Scope;
    use crate::bindings::state;

    pub(super) fn get(scope: Scope, name: &str) -> Option<Vec<u8>> {
        state::get(lower(scope), name)
    }

    pub(super) fn set(scope: Scope, name: &str, value: &[u8]) {
        state::set(lower(scope), name, value);
    }

    pub(super) fn delete(scope: Scope, name: &str) {
        state::delete(lower(scope), name);
    }

    fn lower(scope: Scope) -> state::Scope {
        match scope {
            Scope::Partition => state::Scope::Partition,
            Scope::KeyOf(index) => state::Scope::KeyOf(index),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
use crate::testing::host;
