//! Bytes by digest: a file each, under its digest, complete or not there. Checked whenever read.
use std::{io, path::Path, sync::atomic::Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{BlobError, Blobs, Digest, LogUnavailable};

use crate::{disk::Disk, log::EmbeddedLog, prepare::unavailable};

/// What a file is called until it is complete; of no worth after a restart.
pub(crate) const UNFINISHED: &str = ".tmp";

#[async_trait]
impl Blobs for EmbeddedLog {
    async fn keep(&self, bytes: Bytes) -> Result<Digest, BlobError> {
        drop(self.shared.open()?);
        let (disk, dir) = (self.options.disk.clone(), self.artifacts.clone());
        let nth = self.temporary.fetch_add(1, Ordering::Relaxed);
        let kept = self.blocking(move || {
            let digest = Digest::of(&bytes);
            match read(&*disk, &dir, digest) {
                // Somebody else's name for them may not be durable yet, and this answer says it is.
                Ok(Some(there)) if there == bytes => disk.sync_dir(&dir).map(|()| digest),
                // Not there, or damaged: the right bytes replace it.
                _ => write(&*disk, &dir, digest, &bytes, nth).map(|()| digest),
            }
        });
        Ok(kept.await?.map_err(|error| unavailable(&error))?)
    }

    async fn fetch(&self, digest: Digest) -> Result<Option<Bytes>, BlobError> {
        drop(self.shared.open()?);
        let (disk, dir) = (self.options.disk.clone(), self.artifacts.clone());
        let fetched = self.blocking(move || {
            let bytes = read(&*disk, &dir, digest).map_err(|error| unavailable(&error))?;
            if bytes.as_ref().is_some_and(|bytes| Digest::of(bytes) != digest) {
                return Err(BlobError::Damaged(digest));
            }
            Ok(bytes)
        });
        fetched.await?
    }

    async fn remove(&self, digest: Digest) -> Result<(), BlobError> {
        drop(self.shared.open()?);
        let (disk, dir) = (self.options.disk.clone(), self.artifacts.clone());
        let removed = self.blocking(move || match disk.remove(&dir.join(digest.hex())) {
            Ok(()) => disk.sync_dir(&dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        });
        Ok(removed.await?.map_err(|error| unavailable(&error))?)
    }

    async fn digests(&self) -> Result<Vec<Digest>, LogUnavailable> {
        drop(self.shared.open()?);
        let (disk, dir) = (self.options.disk.clone(), self.artifacts.clone());
        let names = self.blocking(move || disk.list(&dir)).await?;
        let names = names.map_err(|error| unavailable(&error))?;
        let mut digests: Vec<Digest> = names.iter().filter_map(|name| name.parse().ok()).collect();
        digests.sort_unstable();
        Ok(digests)
    }
}

fn read(disk: &dyn Disk, dir: &Path, digest: Digest) -> io::Result<Option<Bytes>> {
    let file = match disk.open(&dir.join(digest.hex())) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes)?;
    Ok(Some(bytes.into()))
}

fn write(disk: &dyn Disk, dir: &Path, digest: Digest, bytes: &[u8], nth: u64) -> io::Result<()> {
    let name = digest.hex();
    let unfinished = dir.join(format!("{name}.{nth}{UNFINISHED}"));
    let written = disk.create(&unfinished).and_then(|file| {
        file.write_at(0, bytes)?;
        file.sync()?;
        disk.rename(&unfinished, &dir.join(&name))?;
        disk.sync_dir(dir)
    });
    if written.is_err() {
        // Renamed already, or of no worth.
        let _ = disk.remove(&unfinished);
    }
    written
}
