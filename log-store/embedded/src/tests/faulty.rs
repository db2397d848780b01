//! A disk that has the faults a test asks of it, from one moment to another.
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::{Disk, DiskFile, LockedFile, OsDisk};

/// Its faults are those of files of the journal; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk {
    pub(crate) syncs_fail: Arc<AtomicBool>,
    /// A write does half of its work and then finds no room.
    pub(crate) writes_tear: Arc<AtomicBool>,
    /// Files cannot grow.
    pub(crate) is_full: Arc<AtomicBool>,
    /// Syncs of segments that were there when the log was opened wait.
    pub(crate) is_shut: Arc<AtomicBool>,
    /// So many syncs of such came.
    pub(crate) at_gate: Arc<AtomicUsize>,
}

fn is(fault: &AtomicBool) -> bool {
    fault.load(Ordering::SeqCst)
}

impl FaultyDisk {
    fn wrap(&self, path: &Path, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        if path.parent().is_some_and(|dir| dir.ends_with("artifacts")) {
            return inner;
        }
        let is_gated = path.extension().is_some_and(|end| end == "seg");
        Arc::new(FaultyFile { inner, disk: self.clone(), is_gated })
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        OsDisk.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, OsDisk.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, OsDisk.open(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        OsDisk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockedFile>> {
        OsDisk.lock(path)
    }
    fn salt(&self) -> u64 {
        7
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn DiskFile>,
    disk: FaultyDisk,
    is_gated: bool,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(at, into)
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if is(&self.disk.is_full) && at + bytes.len() as u64 > self.inner.len()? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if is(&self.disk.writes_tear) {
            self.inner.write_at(at, &bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write_at(at, bytes)
    }
    fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        if self.disk.is_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.allocate(at, len)
    }
    fn sync(&self) -> io::Result<()> {
        if is(&self.disk.syncs_fail) {
            return Err(io::Error::other("the platter came off"));
        }
        if self.is_gated {
            self.disk.at_gate.fetch_add(1, Ordering::SeqCst);
            while is(&self.disk.is_shut) {
                std::thread::yield_now();
            }
        }
        self.inner.sync()
    }
}
