//! A compiled function, ready to be instantiated. Never a running instance.
use crate::admit::{AdmitError, HostTrouble};
use log_contract::Digest;

/// One version's component, mapped and linked. Unmapped when the last clone of its `Arc` goes.
#[derive(Debug)]
pub struct Function {
    digest: Digest,
}

impl Function {
    /// Of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Why a function that was admitted once does not load now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    #[error("component `{0}` is not in the store any more")]
    Missing(Digest),
    /// This version of the runtime no longer takes it.
    #[error("component `{digest}` cannot run on this version")]
    Refused { digest: Digest, source: AdmitError },
    #[error("{0}")]
    Host(HostTrouble),
}
