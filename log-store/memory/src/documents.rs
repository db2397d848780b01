//! The catalogue's store: documents by key, blobs by digest. Never a record.
use crate::MemoryLog;
use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{
    BlobError, Blobs, Digest, Document, Documents, Expect, LogUnavailable, PutDocumentError, check,
};

#[async_trait]
impl Documents for MemoryLog {
    async fn get(&self, key: &str) -> Result<Option<Document>, LogUnavailable> {
        Ok(self.store().open()?.documents.get(key).cloned())
    }

    async fn put(
        &self,
        key: &str,
        value: Option<Bytes>,
        expect: Expect,
    ) -> Result<u64, PutDocumentError> {
        self.change(|store| {
            let store = store.open()?;
            let current = store.documents.get(key).map(|document| document.version);
            check::document(key, value.as_ref(), current, expect)?;
            if current.is_none() && value.is_none() {
                return Ok(store.last_version);
            }
            store.last_version += 1;
            let version = store.last_version;
            match value {
                Some(value) => store.documents.insert(key.into(), Document { version, value }),
                None => store.documents.remove(key),
            };
            Ok(version)
        })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Document)>, LogUnavailable> {
        let mut store = self.store();
        let from = store.open()?.documents.range(prefix.to_owned()..);
        let listed = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(listed.map(|(key, document)| (key.clone(), document.clone())).collect())
    }

    async fn changed(&self, after: u64) -> Result<u64, LogUnavailable> {
        self.wait_for(|store| match store.open() {
            Ok(store) => (store.last_version > after).then_some(Ok(store.last_version)),
            Err(closed) => Some(Err(closed)),
        })
        .await
    }
}

#[async_trait]
impl Blobs for MemoryLog {
    async fn keep(&self, bytes: Bytes) -> Result<Digest, BlobError> {
        let digest = Digest::of(&bytes);
        self.store().open()?.blobs.insert(digest, bytes);
        Ok(digest)
    }

    async fn fetch(&self, digest: Digest) -> Result<Option<Bytes>, BlobError> {
        Ok(self.store().open()?.blobs.get(&digest).cloned())
    }

    async fn remove(&self, digest: Digest) -> Result<(), BlobError> {
        self.store().open()?.blobs.remove(&digest);
        Ok(())
    }

    async fn digests(&self) -> Result<Vec<Digest>, LogUnavailable> {
        Ok(self.store().open()?.blobs.keys().copied().collect())
    }
}
