//! All that the log knows, as a file beside the journal, so that an opening reads only what came after it.
//! Derived, as long as the whole journal is there: one that is not whole is left alone.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)
)]

use std::{io, path::Path};

use crate::{
    disk::Disk,
    segment,
    state::State,
    wire::{Malformed, begin_derived, end_derived, put_u64, take_derived},
};

const MAGIC: [u8; 8] = *b"MILLSNP\0";
const VERSION: u32 = 1;
const CUT: &str = "a snapshot is cut off";
/// No snapshot is made of more function state: the writer waits while it is put together.
pub(crate) const STATE_BYTES_MAX: u64 = 32 << 20;
/// So many bytes of the journal are worth a byte of a snapshot.
const JOURNAL_BYTES_EACH: u64 = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    /// Salt of the segment in which the journal went on.
    pub(crate) salt: u64,
    /// Of all segments before that one, as files.
    pub(crate) bytes_before: u64,
}

/// After how much the next one is worth its while.
#[derive(Debug)]
pub(crate) struct Due {
    every: u64,
    /// Bytes of frames since the last.
    since: u64,
    /// Of the last one.
    bytes: u64,
}

impl Due {
    /// `since`: what an opening had to read.
    pub(crate) fn new(every: u64, since: u64) -> Self {
        Self { every, since, bytes: 0 }
    }

    pub(crate) fn wrote(&mut self, frame: u32) {
        self.since += u64::from(frame);
    }

    pub(crate) fn is_now(&self) -> bool {
        self.since >= self.every.max(self.bytes.saturating_mul(JOURNAL_BYTES_EACH))
    }

    pub(crate) fn made(&mut self, bytes: usize) {
        (self.since, self.bytes) = (0, bytes as u64);
    }
}

pub(crate) fn encode(state: &State, salt: u64, bytes_before: u64) -> Vec<u8> {
    let mut file = begin_derived(MAGIC, VERSION);
    put_u64(&mut file, salt);
    put_u64(&mut file, bytes_before);
    state.store(&mut file);
    end_derived(&mut file);
    file
}

pub(crate) fn parse(file: &[u8]) -> Result<Snapshot, Malformed> {
    let mut take = take_derived(file, MAGIC, VERSION)?;
    let (salt, bytes_before) = (take.u64(CUT)?, take.u64(CUT)?);
    let state = State::restore(&mut take)?;
    take.end("a snapshot is longer than what it says")?;
    Ok(Snapshot { state, salt, bytes_before })
}

/// The one in a directory. `None`: there is none, or it is of no use.
pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Option<Snapshot> {
    let path = dir.join(segment::SNAPSHOT);
    let read = || {
        let file = disk.open(&path)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes)?;
        parse(&bytes).map_err(io::Error::other)
    };
    match read() {
        Ok(snapshot) => Some(snapshot),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "the snapshot is of no use: the whole journal is read");
            None
        }
    }
}

/// Replaces the one in a directory. Durable when it returns.
pub(crate) fn write(disk: &dyn Disk, dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = dir.join(segment::SNAPSHOT_UNFINISHED);
    let file = disk.create(&unfinished)?;
    file.write_at(0, bytes)?;
    // Its name says that it is whole.
    file.sync()?;
    disk.rename(&unfinished, &dir.join(segment::SNAPSHOT))?;
    disk.sync_dir(dir)
}
