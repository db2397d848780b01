//! The only door to the file system: [`Disk`] and the real one, [`OsDisk`]. Everything that this crate
//! does to files goes through here, so that a test can watch it, fail it or tear it. Never a decision.
mod recording;

pub use recording::{Call, RecordingDisk};

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::aligned::is_aligned;

/// A file system, and the one source of chance that the store needs.
pub trait Disk: Send + Sync + fmt::Debug {
    /// With its parents, closed to other users. Existing: nothing happens.
    ///
    /// # Errors
    /// The system's.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names in it, in no order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// A new and empty file, to be read and written. What was there is gone.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// A file that exists, to be read and written.
    ///
    /// # Errors
    /// The system's; `NotFound` if there is none.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Replaces what `to` was. Durable only with [`Disk::sync_dir`].
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Durable only with [`Disk::sync_dir`].
    ///
    /// # Errors
    /// The system's; `NotFound` if there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes created, renamed and removed names durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the file for this process until the answer is dropped or the process ends, and writes
    /// the process id into it, if there is room for that.
    ///
    /// # Errors
    /// `WouldBlock` with what the file says (the other's process id) if somebody else has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockedFile>>;

    /// A number that nobody can foretell: it keys checksums against bytes made to look like ours.
    fn salt(&self) -> u64;
}

/// An open file. Positions are explicit, so that one file serves many readers. Whole blocks of 4 KiB, in
/// the file and in memory, may go past the page cache; for all else nothing else is to be seen of that.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;

    /// # Errors
    /// The system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// All of `into`, or an error.
    ///
    /// # Errors
    /// The system's; `UnexpectedEof` beyond the end.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()>;

    /// All of `bytes`, or an error and nobody knows how much.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Takes blocks for these bytes, which lie beyond what was written, without writing them: they read as
    /// zeros. Whoever writes there later waits longer for its sync than where zeros were written.
    ///
    /// # Errors
    /// The system's; `Unsupported` where that cannot be done, or would not pay.
    fn allocate(&self, at: u64, len: u64) -> io::Result<()>;

    /// Contents and length are durable when it returns (fdatasync).
    ///
    /// # Errors
    /// The system's. After one, nobody knows what is durable.
    fn sync(&self) -> io::Result<()>;
}

/// A lock that is held until this is dropped.
pub trait LockedFile: Send + Sync + fmt::Debug {}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Arc::new(OsFile::of(options.open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OsFile::of(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockedFile>> {
        let mut options = OpenOptions::new();
        // Not truncated: the other one's process id is in it.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Whoever is refused would like to know; a full disk must not keep us out.
                let _ = file
                    .set_len(0)
                    .and_then(|()| file.write_all_at(std::process::id().to_string().as_bytes(), 0));
                Ok(Box::new(OsLock { _held: file }))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let owner = fs::read_to_string(path).unwrap_or_default();
                Err(io::Error::new(io::ErrorKind::WouldBlock, owner.trim().to_owned()))
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn salt(&self) -> u64 {
        // The standard library seeds each of these from the system.
        RandomState::new().build_hasher().finish()
    }
}

/// Whole blocks go past the page cache where the file system can do that: what a journal writes is read
/// again from memory of ours, if at all, so pages of the system would cost more than the write itself.
#[derive(Debug)]
struct OsFile {
    file: File,
    /// The same file, opened for that when it is first of use.
    direct: OnceLock<Option<File>>,
    /// It can be opened so, and then takes nothing.
    is_refused: AtomicBool,
}

impl OsFile {
    fn of(file: File) -> Self {
        Self { file, direct: OnceLock::new(), is_refused: AtomicBool::new(false) }
    }

    fn direct_for(&self, at: u64, bytes: &[u8]) -> Option<&File> {
        if !is_aligned(at, bytes) || self.is_refused.load(Ordering::Relaxed) {
            return None;
        }
        self.direct.get_or_init(|| open_direct(&self.file)).as_ref()
    }

    /// Does it past the page cache if that is possible, else through it.
    fn past_cache<T>(
        &self,
        direct: Option<&File>,
        mut act: impl FnMut(&File) -> io::Result<T>,
    ) -> io::Result<T> {
        match direct.map(&mut act) {
            Some(Err(error)) if is_refusal(&error) => {
                self.is_refused.store(true, Ordering::Relaxed);
                act(&self.file)
            }
            Some(done) => done,
            None => act(&self.file),
        }
    }
}

/// What a file system says that opens a file so and then does not write it so.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// By what is open, as its name may have changed.
#[cfg(target_os = "linux")]
fn open_direct(file: &File) -> Option<File> {
    use std::os::fd::AsRawFd;
    let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).ok()
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, at: u64, len: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), at, len)?)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &File) -> Option<File> {
    None
}

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.past_cache(self.direct_for(at, into), |file| file.read_exact_at(into, at))
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.past_cache(self.direct_for(at, bytes), |file| file.write_all_at(bytes, at))
    }

    fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        if self.is_refused.load(Ordering::Relaxed)
            || self.direct.get_or_init(|| open_direct(&self.file)).is_none()
        {
            // Through the page cache such blocks cost ten times what zeros do.
            return Err(io::ErrorKind::Unsupported.into());
        }
        allocate(&self.file, at, len)
    }

    fn sync(&self) -> io::Result<()> {
        // Either way in is the same file to the system.
        self.direct.get().and_then(Option::as_ref).unwrap_or(&self.file).sync_data()
    }
}

#[derive(Debug)]
struct OsLock {
    /// The lock goes with the file descriptor.
    _held: File,
}

impl LockedFile for OsLock {}

/// Whether an error says that there is no room: the one that passes by itself.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    use super::*;

    #[test]
    fn a_lock_is_held_though_nothing_can_be_written_into_it() {
        let file = memfd_create("lock", MemfdFlags::ALLOW_SEALING).expect("a file in memory");
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW).expect("nothing is written");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let held = OsDisk.lock(Path::new(&path)).expect("it is ours");
        let refused = OsDisk.lock(Path::new(&path)).expect_err("one at a time");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        OsDisk.lock(Path::new(&path)).expect("it is free again");
    }
}
