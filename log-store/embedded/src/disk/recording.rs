//! A disk that writes down what is asked of it and otherwise does it: shows in which order things
//! happened. Never a fault of its own.
use super::{Disk, DiskFile, LockedFile};

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

/// What was asked of a disk. Written down after it was done, but for `SyncBegun`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    CreateDir(PathBuf),
    Create(PathBuf),
    Open(PathBuf),
    Lock(PathBuf),
    Write {
        path: PathBuf,
        at: u64,
        bytes: Vec<u8>,
    },
    Allocate {
        path: PathBuf,
        at: u64,
        len: u64,
    },
    /// What was written before this is covered by the next `Synced` of the same file.
    SyncBegun(PathBuf),
    Synced(PathBuf),
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    DirSynced(PathBuf),
}

/// Wraps a disk. Clones share what is written down.
#[derive(Clone, Debug)]
pub struct RecordingDisk {
    inner: Arc<dyn Disk>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl RecordingDisk {
    #[must_use]
    pub fn new(inner: Arc<dyn Disk>) -> Self {
        Self { inner, calls: Arc::default() }
    }

    /// What was asked so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock_calls().clone()
    }

    /// Looks at what was asked so far; nothing else is written down meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&[Call]) -> T) -> T {
        look(&self.lock_calls())
    }

    fn note(&self, call: Call) {
        self.lock_calls().push(call);
    }

    fn lock_calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wrap(&self, path: &Path, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(RecordingFile { path: path.into(), inner, disk: self.clone() })
    }
}

impl Disk for RecordingDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir(dir)?;
        self.note(Call::CreateDir(dir.into()));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.inner.create(path)?;
        self.note(Call::Create(path.into()));
        Ok(self.wrap(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.inner.open(path)?;
        self.note(Call::Open(path.into()));
        Ok(self.wrap(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)?;
        self.note(Call::Rename { from: from.into(), to: to.into() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)?;
        self.note(Call::Remove(path.into()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)?;
        self.note(Call::DirSynced(dir.into()));
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockedFile>> {
        let lock = self.inner.lock(path)?;
        self.note(Call::Lock(path.into()));
        Ok(lock)
    }

    fn salt(&self) -> u64 {
        self.inner.salt()
    }
}

#[derive(Debug)]
struct RecordingFile {
    path: PathBuf,
    inner: Arc<dyn DiskFile>,
    disk: RecordingDisk,
}

impl DiskFile for RecordingFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(at, into)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(at, bytes)?;
        self.disk.note(Call::Write { path: self.path.clone(), at, bytes: bytes.into() });
        Ok(())
    }

    fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        self.inner.allocate(at, len)?;
        self.disk.note(Call::Allocate { path: self.path.clone(), at, len });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.note(Call::SyncBegun(self.path.clone()));
        self.inner.sync()?;
        self.disk.note(Call::Synced(self.path.clone()));
        Ok(())
    }
}
