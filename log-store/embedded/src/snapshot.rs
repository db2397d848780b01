//! All that the log knows, as a file beside the journal, so that an opening reads only what came after it,
//! and what came before it may go. Two are kept: one that is not whole is left alone, as the other is there,
//! or the whole journal.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)
)]

use std::{io, path::Path};

use crate::{
    disk::Disk,
    segment,
    state::State,
    wire::{Malformed, Take, begin_derived, end_derived, put_u64, take_derived},
};

const MAGIC: [u8; 8] = *b"MILLSNP\0";
const VERSION: u32 = 1;
const CUT: &str = "a snapshot is cut off";
/// No snapshot is made of more function state: the writer waits while it is put together.
pub(crate) const STATE_BYTES_MAX: u64 = 256 << 20;
/// So many bytes of the journal are worth a byte of a snapshot.
const JOURNAL_BYTES_EACH: u64 = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    /// Salt of the segment in which the journal went on.
    pub(crate) salt: u64,
}

/// The snapshots that a directory holds: the segment in which the journal went on behind each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// `None`: there is none, or it is of no use.
    pub(crate) newest: Option<u64>,
    pub(crate) before: Option<u64>,
}

impl Kept {
    /// No opening reads a segment before this one, whichever of the two is lost.
    pub(crate) fn covered(&self) -> u64 {
        self.newest.zip(self.before).map_or(0, |(newest, before)| newest.min(before))
    }

    /// Keeps a new one, and the one before. Durable when it returns.
    pub(crate) fn write(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        segment: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let unfinished = dir.join(segment::SNAPSHOT_UNFINISHED);
        let newest = dir.join(segment::SNAPSHOT);
        let file = disk.create(&unfinished)?;
        file.write_at(0, bytes)?;
        // Its name says that it is whole.
        file.sync()?;
        if let Some(segment) = self.newest.take() {
            match disk.rename(&newest, &dir.join(segment::SNAPSHOT_BEFORE)) {
                Ok(()) => self.before = Some(segment),
                // Somebody took it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.newest = Some(segment);
                    return Err(error);
                }
            }
        }
        disk.rename(&unfinished, &newest)?;
        disk.sync_dir(dir)?;
        self.newest = Some(segment);
        Ok(())
    }
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
    let (salt, _bytes_before) = (take.u64(CUT)?, take.u64(CUT)?);
    let state = State::restore(&mut take)?;
    take.end("a snapshot is longer than what it says")?;
    Ok(Snapshot { state, salt })
}

/// The newest in a directory that is of use, and which there are.
pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> (Option<Snapshot>, Kept) {
    let mut kept = Kept::default();
    let newest = read(disk, dir, segment::SNAPSHOT, parse);
    let segment = |snapshot: &Snapshot| snapshot.state.end.segment;
    if newest.is_some() {
        kept.newest = newest.as_ref().map(segment);
        let end = |file: &[u8]| State::restore_end(&mut after_head(file)?);
        kept.before = read(disk, dir, segment::SNAPSHOT_BEFORE, end).map(|end| end.segment);
        return (newest, kept);
    }
    let before = read(disk, dir, segment::SNAPSHOT_BEFORE, parse);
    kept.before = before.as_ref().map(segment);
    (before, kept)
}

/// Behind what a file says of itself, once it is known to be whole.
fn after_head(file: &[u8]) -> Result<Take<'_>, Malformed> {
    let mut take = take_derived(file, MAGIC, VERSION)?;
    let (_salt, _bytes_before) = (take.u64(CUT)?, take.u64(CUT)?);
    Ok(take)
}

fn read<T>(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    parse: impl Fn(&[u8]) -> Result<T, Malformed>,
) -> Option<T> {
    let path = dir.join(name);
    let read = || {
        let file = disk.open(&path)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes)?;
        parse(&bytes).map_err(io::Error::other)
    };
    match read() {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "a snapshot is of no use: more of the journal is read");
            None
        }
    }
}
