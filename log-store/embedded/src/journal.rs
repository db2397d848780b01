//! The journal as the writer has it: the segment that takes frames, and the next frame's number.
//! Writes only into segments that were prepared beforehand; never decides what a frame holds.
use std::{io, path::Path, sync::Arc};

use crate::{
    disk::{Disk, DiskFile, is_full},
    frame, segment,
    state::Place,
};

/// A segment's file, open, with what its header says.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) id: u64,
    pub(crate) salt: u64,
    /// Length of the file: all of it was written before, so that a sync has less to do.
    pub(crate) capacity: u64,
    /// Whether it was the reserve: then only what needs no space is written to it.
    pub(crate) is_reserve: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) segment: Segment,
    /// Where the next frame goes.
    at: u64,
    /// Of the next frame.
    number: u64,
    pub(crate) epoch: u64,
}

/// Why a frame was not made durable. Nobody knows what is: also after a write that found no room, part
/// of the frame or all of it may be there, and no later frame may pretend that it is not.
#[derive(Debug)]
pub(crate) struct WriteError {
    pub(crate) what: &'static str,
    pub(crate) error: io::Error,
}

impl Journal {
    pub(crate) fn at(segment: Segment, at: u64, number: u64, epoch: u64) -> Self {
        Self { segment, at, number, epoch }
    }

    pub(crate) fn fits(&self, body_len: usize) -> bool {
        self.fits_before(0, body_len)
    }

    /// The same, with so many bytes of the segment left free.
    pub(crate) fn fits_before(&self, kept_free: u64, body_len: usize) -> bool {
        let end = self.at + frame::total(body_len) as u64;
        end + kept_free <= self.segment.capacity && u32::try_from(end).is_ok()
    }

    /// Goes on in another segment.
    pub(crate) fn advance(&mut self, segment: Segment) {
        assert!(segment.id == self.segment.id + 1, "segments follow each other");
        self.segment = segment;
        self.at = segment::HEADER_LEN as u64;
    }

    /// Writes what was begun with [`frame::begin`] and filled, which must fit, in one piece; durable
    /// only after [`Journal::sync`], before which nothing else may be written.
    pub(crate) fn write(&mut self, frame: &mut Vec<u8>) -> Result<Place, WriteError> {
        let body_len = frame.len() - frame::HEADER_LEN;
        assert!(self.fits(body_len), "there is room for the frame");
        let Segment { id, salt, .. } = self.segment;
        // One frame is written and synced at a time: all before this one are durable.
        frame::finish(frame, body_len, salt, id, self.number, self.epoch, self.number - 1);
        let written = self.segment.file.write_at(self.at, frame);
        written.map_err(|error| WriteError { what: "write", error: explained(error) })?;
        let narrow = |number: u64| u32::try_from(number).expect("`fits` looked");
        let (at, len) = (narrow(self.at), narrow(frame.len() as u64));
        Ok(Place { frame: self.number, segment: id, at, len })
    }

    /// Makes durable what was written last.
    pub(crate) fn sync(&mut self, place: Place) -> Result<(), WriteError> {
        let synced = self.segment.file.sync();
        synced.map_err(|error| WriteError { what: "sync", error })?;
        self.number += 1;
        self.at += u64::from(place.len);
        Ok(())
    }
}

/// Where all was written ahead, only a file system that copies what is written over wants more room.
fn explained(error: io::Error) -> io::Error {
    if !is_full(&error) {
        return error;
    }
    let why = "there is no room even for what was written ahead: free some space on its disk";
    io::Error::new(error.kind(), format!("{why} ({error})"))
}

/// Zeros in pieces of this size; what is dirty at once is bounded by [`SYNC_EVERY`].
const ZEROS: usize = 1 << 20;
const SYNC_EVERY: u64 = 8 << 20;

/// A file of zeros that is still being written; goes on where it stopped.
#[derive(Debug)]
pub(crate) struct Zeros {
    file: Arc<dyn DiskFile>,
    at: u64,
    unsynced: u64,
    /// A sync failed: nobody knows which blocks are there.
    pub(crate) is_spoiled: bool,
}

impl Zeros {
    pub(crate) fn begin(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        Ok(Self { file: disk.create(path)?, at: 0, unsynced: 0, is_spoiled: false })
    }

    /// Writes a piece more; `true` once `len` bytes are there and synced.
    pub(crate) fn step(&mut self, len: u64) -> io::Result<bool> {
        let zeros = vec![0; ZEROS.min(usize::try_from(len - self.at).unwrap_or(ZEROS))];
        self.file.write_at(self.at, &zeros)?;
        self.at += zeros.len() as u64;
        self.unsynced += zeros.len() as u64;
        if self.unsynced >= SYNC_EVERY || self.at == len {
            self.is_spoiled = true;
            self.file.sync()?;
            self.is_spoiled = false;
            self.unsynced = 0;
        }
        Ok(self.at == len)
    }

    pub(crate) fn into_file(self) -> Arc<dyn DiskFile> {
        self.file
    }
}

/// Turns a file of zeros into a segment under its final name.
pub(crate) fn name_segment(
    disk: &dyn Disk,
    dir: &Path,
    from: &str,
    file: Arc<dyn DiskFile>,
    id: u64,
) -> io::Result<Segment> {
    let (salt, is_reserve) = (disk.salt(), from == segment::RESERVE);
    let capacity = file.len()?;
    file.write_at(0, &segment::Header { id, salt, is_reserve }.encode())?;
    // Its name says that the header is there, so the header is durable first.
    file.sync()?;
    disk.rename(&dir.join(from), &dir.join(segment::file_name(id)))?;
    disk.sync_dir(dir)?;
    Ok(Segment { file, id, salt, capacity, is_reserve })
}

/// Makes a small segment, at once.
pub(crate) fn make_segment(
    disk: &dyn Disk,
    dir: &Path,
    id: u64,
    capacity: u64,
) -> io::Result<Segment> {
    let mut zeros = Zeros::begin(disk, &dir.join(segment::UNFINISHED))?;
    while !zeros.step(capacity)? {}
    name_segment(disk, dir, segment::UNFINISHED, zeros.into_file(), id)
}
