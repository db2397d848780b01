//! The directory of compiled components: one file for each component and engine, made by the compiler's
//! process, renamed into place when it is whole and on disk. A cache: all of it can be made again.
use crate::{
    admit::{AdmitError, HostTrouble},
    compile::compile_apart,
    config::CompileLimits,
};
use log_contract::Digest;
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

const COMPILED: &str = ".cwasm";
/// Left by a process that ended in the middle of a compilation.
const UNFINISHED: &str = ".compiling";

pub(crate) struct Artifacts {
    dir: PathBuf,
    command: PathBuf,
    limits: CompileLimits,
    /// Of the engine.
    fingerprint: String,
    /// One compilation at a time.
    turn: Semaphore,
    compiles: AtomicU64,
    compile_nanos: AtomicU64,
}

impl Artifacts {
    pub(crate) fn open(
        dir: PathBuf,
        command: PathBuf,
        limits: CompileLimits,
        fingerprint: String,
    ) -> Result<Self, HostTrouble> {
        prepare(&dir, &fingerprint).map_err(|error| {
            HostTrouble::new(
                format!("open the cache of compiled components `{}`", dir.display()),
                &error,
            )
        })?;
        let turn = Semaphore::new(1);
        let (compiles, compile_nanos) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { dir, command, limits, fingerprint, turn, compiles, compile_nanos })
    }

    pub(crate) fn file(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{}-{}{COMPILED}", digest.hex(), self.fingerprint))
    }

    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.file(digest).is_file()
    }

    /// Compiles what is not compiled yet. Zero if it was.
    pub(crate) async fn compile(
        &self,
        digest: Digest,
        component: &[u8],
    ) -> Result<Duration, AdmitError> {
        let _turn = self.turn.acquire().await;
        if self.has(digest) {
            return Ok(Duration::ZERO);
        }
        let started = Instant::now();
        let paths = [".wasm", COMPILED]
            .map(|kind| self.dir.join(format!("{}{kind}{UNFINISHED}", digest.hex())));
        let done = self.compile_into(component, &paths[0], &paths[1], &self.file(digest)).await;
        let took = started.elapsed();
        self.compiles.fetch_add(1, Ordering::Relaxed);
        self.compile_nanos.fetch_add(nanos(took), Ordering::Relaxed);
        // Those that are not there any more need no removal; those that stay go at the next start.
        paths.iter().for_each(|path| drop(fs::remove_file(path)));
        done.map(|()| took)
    }

    async fn compile_into(
        &self,
        component: &[u8],
        input: &Path,
        output: &Path,
        place: &Path,
    ) -> Result<(), AdmitError> {
        let ours = |error| {
            let act = format!("keep compiled component `{}`", place.display());
            AdmitError::Host(HostTrouble::new(act, &error))
        };
        tokio::fs::write(input, component).await.map_err(ours)?;
        compile_apart(&self.command, self.limits, input, output).await?;
        // The child has synced the file; the name may be lost in a crash, which costs a compilation.
        tokio::fs::rename(output, place).await.map_err(ours)
    }

    /// A file that cannot be mapped is compiled again.
    pub(crate) fn remove(&self, digest: Digest) {
        match fs::remove_file(self.file(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%digest, %error, "a compiled component stays on disk");
            }
            _ => {}
        }
    }

    pub(crate) fn compiles(&self) -> (u64, Duration) {
        let nanos = self.compile_nanos.load(Ordering::Relaxed);
        (self.compiles.load(Ordering::Relaxed), Duration::from_nanos(nanos))
    }
}

/// Makes the directory ours alone, and throws out what no engine like this one wrote.
fn prepare(dir: &Path, fingerprint: &str) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    let ours = format!("-{fingerprint}{COMPILED}");
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_stale = name.ends_with(COMPILED) && !name.ends_with(&ours);
        if is_stale || name.ends_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
