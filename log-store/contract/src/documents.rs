//! The catalogue's small store: documents by key with versions, and bytes by digest.
use crate::{BlobError, LogUnavailable, PutDocumentError};
use async_trait::async_trait;
use bytes::Bytes;
use sha2::Digest as _;
use std::{fmt, str::FromStr};

/// Largest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// A document as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Never the same for two contents of one key, also not after a delete: versions grow over all keys.
    pub version: u64,
    pub value: Bytes,
}

/// What must be there for a put or delete to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Anything,
    Nothing,
    Version(u64),
}

/// Documents by key. Durable when a call returns; `Closed` once the log is. Each sentence is a test of
/// the conformance suite.
#[async_trait]
pub trait Documents: Send + Sync + fmt::Debug {
    async fn get(&self, key: &str) -> Result<Option<Document>, LogUnavailable>;

    /// Puts (`Some`) or deletes (`None`), if what is there is as expected; answers the new version.
    /// Deleting nothing, where that was expected or `Anything`, does nothing; it answers the newest
    /// version over all keys.
    async fn put(
        &self,
        key: &str,
        value: Option<Bytes>,
        expect: Expect,
    ) -> Result<u64, PutDocumentError>;

    /// All whose key begins with `prefix`, sorted by key.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Document)>, LogUnavailable>;

    /// Returns, with the newest version over all keys, as soon as that is above `after`.
    async fn changed(&self, after: u64) -> Result<u64, LogUnavailable>;
}

/// Bytes by digest: the components. Durable when a call returns.
#[async_trait]
pub trait Blobs: Send + Sync + fmt::Debug {
    /// Keeps the bytes and answers their digest. The same again does nothing, but mends what is damaged.
    async fn keep(&self, bytes: Bytes) -> Result<Digest, BlobError>;

    /// `None` if they are not here. Bytes whose digest does not fit are `Damaged`, never given.
    async fn fetch(&self, digest: Digest) -> Result<Option<Bytes>, BlobError>;

    /// Removing what is not here does nothing.
    async fn remove(&self, digest: Digest) -> Result<(), BlobError>;

    /// Sorted.
    async fn digests(&self) -> Result<Vec<Digest>, LogUnavailable>;
}

/// SHA-256. Shown as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 64 digits alone: names files.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no digest: give `sha256:` and 64 hexadecimal digits")]
pub struct NoDigest(String);

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let fail = || NoDigest(text.into());
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if hex.len() != 64 {
            return Err(fail());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| fail())?;
            if pair.starts_with('+') {
                return Err(fail());
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| fail())?;
        }
        Ok(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_shown() {
        let digest = Digest::of(b"abc");
        assert!(digest.to_string().starts_with("sha256:ba7816bf8f01cfea"));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.hex().parse(), Ok(digest));
        assert!("sha256:12".parse::<Digest>().is_err());
        assert!(format!("sha256:{}", "+f".repeat(32)).parse::<Digest>().is_err());
    }
}
