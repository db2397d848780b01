//! Components: their bytes by digest, and their compiled form. Never their names or versions.
use bytes::Bytes;
use log_contract::{BlobError, Blobs, Digest};
use sandbox::{AdmitError, Admitted, Function, LoadError, Sandbox};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

/// The bytes in the store and what the sandbox made of them.
#[derive(Debug)]
pub struct Artifacts {
    blobs: Arc<dyn Blobs>,
    sandbox: Arc<Sandbox>,
    /// Where this was made. Feeds ask from the guests' threads, which neither compile nor wait for a
    /// compiler's process.
    home: Handle,
}

/// Why an upload is not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("the component is refused")]
    Admit(#[source] AdmitError),
    #[error("the component cannot be kept")]
    Blob(#[source] BlobError),
}

impl Artifacts {
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn new(blobs: Arc<dyn Blobs>, sandbox: Arc<Sandbox>) -> Self {
        Self { blobs, sandbox, home: Handle::current() }
    }

    /// Checks and compiles a component and makes its bytes durable, before anybody may name it.
    ///
    /// # Errors
    /// It does not fit, or the store does not take it.
    pub async fn keep(&self, component: Bytes) -> Result<Admitted, KeepError> {
        let admitted = self.sandbox.admit(component.clone()).await.map_err(KeepError::Admit)?;
        self.blobs.keep(component).await.map_err(KeepError::Blob)?;
        Ok(admitted)
    }

    /// Makes sure that a component is there which `keep` has taken a moment ago.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn keep_again(&self, component: Bytes) -> Result<(), KeepError> {
        self.blobs.keep(component).await.map(drop).map_err(KeepError::Blob)
    }

    /// The component as it was uploaded.
    ///
    /// # Errors
    /// The store, or damage.
    pub async fn component(&self, digest: Digest) -> Result<Option<Bytes>, BlobError> {
        self.blobs.fetch(digest).await
    }

    /// Ready to run. May be asked from any runtime.
    ///
    /// # Errors
    /// It is gone, or the host is in trouble.
    pub async fn load(&self, digest: Digest) -> Result<Arc<Function>, LoadError> {
        let (blobs, sandbox) = (Arc::clone(&self.blobs), Arc::clone(&self.sandbox));
        let loading = async move { sandbox.load(digest, blobs.as_ref()).await };
        // Ends with whoever asked.
        match AbortOnDropHandle::new(self.home.spawn(loading)).await {
            Ok(loaded) => loaded,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The program is going down, and whoever asked with it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Throws away what no version has any more. The caller has made sure that none does.
    ///
    /// # Errors
    /// The store.
    pub async fn remove(&self, digest: Digest) -> Result<(), BlobError> {
        self.sandbox.forget(digest);
        self.blobs.remove(digest).await
    }

    /// Throws away what no version has: left by a crash between the component and its version. Only
    /// before anybody can upload.
    ///
    /// # Errors
    /// The store.
    pub async fn collect(&self, is_kept: impl Fn(Digest) -> bool + Send) -> Result<(), BlobError> {
        for digest in self.blobs.digests().await? {
            if !is_kept(digest) {
                tracing::info!(%digest, "a component that no version has is removed");
                self.remove(digest).await?;
            }
        }
        Ok(())
    }
}
