//! The sandbox's face: admits components, loads functions, runs calls. What each does is elsewhere.
use crate::{
    admit::{AdmitError, Admitted, HostTrouble},
    call::{Call, Invoked},
    config::SandboxConfig,
    function::{Function, LoadError},
    stats::Stats,
};
use bytes::Bytes;
use log_contract::{Blobs, Digest};
use std::sync::Arc;

/// Runs functions. One per process. Guests have threads of their own, so that whoever calls is never held
/// up by one that burns.
#[derive(Debug)]
pub struct Sandbox {
    _config: SandboxConfig,
}

impl Sandbox {
    /// Opens the cache of compiled components, throws out what another version left there, starts the
    /// guests' threads.
    ///
    /// # Errors
    /// If the directory, the engine or the threads cannot be made.
    pub fn new(config: SandboxConfig) -> Result<Arc<Self>, HostTrouble> {
        Ok(Arc::new(Self { _config: config }))
    }

    /// Checks an upload and compiles it, one at a time, in a bounded process.
    ///
    /// # Errors
    /// What is wrong with the component and what to do, or trouble of the host.
    pub async fn admit(&self, component: Bytes) -> Result<Admitted, AdmitError> {
        let _ = component;
        unimplemented!("follows")
    }

    /// Makes a function that was admitted once ready to run. Compiles again, from `blobs`, only if this
    /// engine has not compiled it yet. The same function twice is the same `Arc`.
    ///
    /// # Errors
    /// If the component is gone, not fit for this version, or the host is in trouble.
    pub async fn load(
        &self,
        digest: Digest,
        blobs: &dyn Blobs,
    ) -> Result<Arc<Function>, LoadError> {
        let _ = (digest, blobs);
        unimplemented!("follows")
    }

    /// Throws the compiled form of a component away, when no version has it any more.
    pub fn forget(&self, digest: Digest) {
        let _ = digest;
    }

    /// Runs one call in a fresh instance on the guests' threads. Dropping the future ends the guest.
    pub async fn invoke(&self, function: &Arc<Function>, call: Call) -> Invoked {
        let _ = (function, call);
        unimplemented!("follows")
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
