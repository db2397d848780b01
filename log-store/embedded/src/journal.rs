//! The journal as the writer has it: the segment that takes frames, and the next frame's number.
//! Writes only into segments that were prepared beforehand; never decides what a frame holds.
use std::{io, path::Path, sync::Arc};

use crate::{
    aligned::{AlignedBuf, blocks_around, in_block},
    disk::{Disk, DiskFile, is_full},
    frame::{self, Numbers},
    frame_buf::FrameBuf,
    segment,
    state::Place,
};

/// A segment's file, open, with what its header says.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) id: u64,
    pub(crate) salt: u64,
    /// Length of the file: all of its blocks are taken, and mostly written, so that a sync has less to do.
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
    /// What the block of `at` holds before it.
    begun: Vec<u8>,
}

/// Why a frame was not made durable. Nobody knows what is: also after a write that found no room, part
/// of the frame or all of it may be there, and no later frame may pretend that it is not.
#[derive(Debug)]
pub(crate) struct WriteError {
    pub(crate) what: &'static str,
    pub(crate) error: io::Error,
}

impl Journal {
    /// `begun`: what the block of `at` holds before it.
    pub(crate) fn at(segment: Segment, at: u64, number: u64, epoch: u64, begun: Vec<u8>) -> Self {
        assert!(begun.len() == in_block(at), "as much as lies before it");
        Self { segment, at, number, epoch, begun }
    }

    /// Begins a frame where it will be written if it fits.
    pub(crate) fn begin(&self, frame: &mut FrameBuf) {
        frame.begin(&self.begun);
    }

    pub(crate) fn fits(&self, body_len: usize) -> bool {
        self.fits_before(0, body_len)
    }

    /// The same, with so many bytes of the segment left free.
    pub(crate) fn fits_before(&self, kept_free: u64, body_len: usize) -> bool {
        let end = self.at + frame::total(body_len) as u64;
        end + kept_free <= self.segment.capacity && u32::try_from(end).is_ok()
    }

    /// Bytes from the next frame's place to the segment's end.
    pub(crate) fn room(&self) -> u64 {
        self.segment.capacity.saturating_sub(self.at)
    }

    /// Goes on in another segment.
    pub(crate) fn advance(&mut self, segment: Segment) {
        assert!(segment.id == self.segment.id + 1, "segments follow each other");
        self.segment = segment;
        self.at = segment::HEADER_LEN as u64;
        // A header is a whole block.
        self.begun.clear();
    }

    /// Writes what was begun with [`Journal::begin`] and filled, which must fit, in one piece; durable
    /// only after [`Journal::sync`], before which nothing else may be written. The blocks that it begins
    /// and ends in are written whole: the first with what it held, the last filled up with zeros.
    pub(crate) fn write(&mut self, frame: &mut FrameBuf) -> Result<Place, WriteError> {
        let body_len = frame.body_len();
        assert!(self.fits(body_len), "there is room for the frame");
        let Segment { id, salt, capacity, .. } = self.segment;
        let len = frame::total(body_len);
        let blocks = blocks_around(self.at, len as u64, capacity);
        let numbers = Numbers {
            salt,
            segment: id,
            number: self.number,
            epoch: self.epoch,
            // One frame is written and synced at a time: all before this one are durable.
            durable_to: self.number - 1,
        };
        let held = usize::try_from(blocks.end - blocks.start).expect("a frame is in memory");
        let written = frame.close(&self.begun, held, &numbers);
        let done = self.segment.file.write_at(blocks.start, written);
        let end = self.begun.len() + len;
        let last = end - in_block(self.at + len as u64);
        self.begun.clear();
        self.begun.extend_from_slice(written.get(last..end).unwrap_or_default());
        done.map_err(|error| WriteError { what: "write", error: explained(error) })?;
        let narrow = |number: u64| u32::try_from(number).expect("`fits` looked");
        let (at, len) = (narrow(self.at), narrow(len as u64));
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
    zeros: AlignedBuf,
    /// A sync failed: nobody knows which blocks are there.
    pub(crate) is_spoiled: bool,
}

impl Zeros {
    pub(crate) fn begin(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let (file, zeros) = (disk.create(path)?, AlignedBuf::zeroed(ZEROS));
        Ok(Self { file, at: 0, unsynced: 0, zeros, is_spoiled: false })
    }

    /// Writes a piece more; `true` once `len` bytes are there and synced.
    pub(crate) fn step(&mut self, len: u64) -> io::Result<bool> {
        let piece = ZEROS.min(usize::try_from(len - self.at).unwrap_or(ZEROS));
        let zeros = self.zeros.bytes().get(..piece).unwrap_or_default();
        self.file.write_at(self.at, zeros)?;
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

    /// Takes what is missing without writing it; `true` once `len` bytes are there and synced. `false`:
    /// that cannot be done here, whatever the reason, and zeros may be written all the same.
    pub(crate) fn allocate(&mut self, len: u64) -> io::Result<bool> {
        if self.file.allocate(self.at, len - self.at).is_err() {
            return Ok(false);
        }
        self.at = len;
        self.is_spoiled = true;
        self.file.sync()?;
        self.is_spoiled = false;
        Ok(true)
    }

    /// How much is missing up to `len` bytes.
    pub(crate) fn left_of(&self, len: u64) -> u64 {
        len.saturating_sub(self.at)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;

    fn written(journal: &mut Journal, body: &[u8]) -> Place {
        let mut frame = FrameBuf::default();
        journal.begin(&mut frame);
        frame.body_mut().extend_from_slice(body);
        let place = journal.write(&mut frame).expect("written");
        journal.sync(place).expect("synced");
        place
    }

    #[test]
    fn frames_lie_one_behind_the_other_also_in_blocks_that_were_never_written() {
        const LEN: u64 = 3 << 20;
        for is_allocated in [false, true] {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join(segment::UNFINISHED);
            let mut zeros = Zeros::begin(&OsDisk, &path).expect("begun");
            assert!(!zeros.step(LEN).expect("a piece"));
            // Where there is no way past the page cache, zeros are written all the same.
            let is_whole = is_allocated && zeros.allocate(LEN).expect("asked");
            while !is_whole && !zeros.step(LEN).expect("a piece") {}
            let segment =
                name_segment(&OsDisk, dir.path(), segment::UNFINISHED, zeros.into_file(), 1)
                    .expect("named");
            assert_eq!(segment.capacity, LEN);
            let mut journal =
                Journal::at(segment.clone(), segment::HEADER_LEN as u64, 1, 1, Vec::new());
            let bodies: Vec<Vec<u8>> =
                [10, 5_000, 1 << 20, 100, 4_096 - 100].iter().map(|len| vec![7; *len]).collect();
            let places: Vec<Place> =
                bodies.iter().map(|body| written(&mut journal, body)).collect();
            // One that goes on where another process stopped.
            let at = segment.capacity - journal.room();
            let mut begun = vec![0; in_block(at)];
            segment.file.read_at(at - begun.len() as u64, &mut begun).expect("read");
            let mut journal = Journal::at(segment.clone(), at, 6, 2, begun);
            let last = written(&mut journal, b"on");
            let mut end = segment::HEADER_LEN as u64;
            for (place, body) in
                places.iter().chain([&last]).zip(bodies.iter().chain([&b"on".to_vec()]))
            {
                assert_eq!(u64::from(place.at), end);
                let mut frame = vec![0; place.len as usize];
                segment.file.read_at(end, &mut frame).expect("read");
                let header = frame::check(&frame, segment.salt).expect("whole");
                assert_eq!(header.number, place.frame);
                assert_eq!(&frame[frame::HEADER_LEN..frame::HEADER_LEN + body.len()], &body[..]);
                end += u64::from(place.len);
            }
            let mut rest = vec![1; (LEN - end) as usize];
            segment.file.read_at(end, &mut rest).expect("read");
            assert!(rest.iter().all(|byte| *byte == 0));
        }
    }
}
