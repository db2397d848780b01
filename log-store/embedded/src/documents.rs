//! The catalogue's documents: entries of the journal, all of them in memory.
use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{Document, Documents, Expect, LogUnavailable, PutDocumentError};

use crate::{
    log::{EmbeddedLog, answer},
    request::{Outcome, Request},
};

#[async_trait]
impl Documents for EmbeddedLog {
    async fn get(&self, key: &str) -> Result<Option<Document>, LogUnavailable> {
        Ok(self.shared.open()?.documents.get(key).cloned())
    }

    async fn put(
        &self,
        key: &str,
        value: Option<Bytes>,
        expect: Expect,
    ) -> Result<u64, PutDocumentError> {
        let request = Request::PutDocument { key: key.into(), value, expect };
        answer!(self, request, PutDocument, LogUnavailable::Closed.into())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Document)>, LogUnavailable> {
        let state = self.shared.open()?;
        let from = state
            .documents
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        let under = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(under.map(|(key, document)| (key.clone(), document.clone())).collect())
    }

    async fn changed(&self, after: u64) -> Result<u64, LogUnavailable> {
        let mut versions = self.shared.documents.subscribe();
        let is_new = |version: &u64| *version > after || self.shared.is_closed();
        let version = versions.wait_for(is_new).await.map_err(|_| LogUnavailable::Closed)?;
        if self.shared.is_closed() { Err(LogUnavailable::Closed) } else { Ok(*version) }
    }
}
