//! Reads a segment through a window: frames where they should be, and what is left of frames where
//! nothing should be. Every byte is checked.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)
)]

use std::path::PathBuf;

use crate::{
    frame::{self, ALIGN, HEADER_LEN, Header},
    journal::Segment,
    options::OpenError,
    recovery::at,
};

const WINDOW: usize = 1 << 20;

/// A segment that is being read.
pub(crate) struct Scan<'a> {
    segment: &'a Segment,
    path: PathBuf,
    window: Vec<u8>,
    /// Where the window begins in the file.
    base: u64,
}

/// What lies at a position.
pub(crate) enum Found<'a> {
    /// A whole frame of this segment, and its body.
    Frame(Header, &'a [u8]),
    Nothing,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(segment: &'a Segment, path: PathBuf) -> Self {
        Self { segment, path, window: Vec::new(), base: 0 }
    }

    /// The frame at `position`, if its header `may_be` one that is looked for: of what a cut or another
    /// log left there, no body is read, whatever length it states.
    pub(crate) fn frame_at(
        &mut self,
        position: u64,
        may_be: impl FnOnce(&Header) -> bool,
    ) -> Result<Found<'_>, OpenError> {
        let Some(head) = self.bytes(position, HEADER_LEN)? else { return Ok(Found::Nothing) };
        let Ok(header) = frame::parse_header(head) else { return Ok(Found::Nothing) };
        let (id, salt) = (self.segment.id, self.segment.salt);
        if header.segment != id || !may_be(&header) {
            return Ok(Found::Nothing);
        }
        let Some(whole) = self.bytes(position, header.total())? else {
            return Ok(Found::Nothing);
        };
        let body = whole.get(HEADER_LEN..HEADER_LEN + header.len as usize);
        match (frame::check(whole, salt), body) {
            (Ok(header), Some(body)) => Ok(Found::Frame(header, body)),
            _ => Ok(Found::Nothing),
        }
    }

    /// What frames from `from` on say was durable, if they can follow frame `number` of `epoch`. 0:
    /// there is none.
    pub(crate) fn durable_to_after(
        &mut self,
        from: u64,
        number: u64,
        epoch: u64,
    ) -> Result<u64, OpenError> {
        let mut durable_to = 0;
        let mut position = from.next_multiple_of(ALIGN as u64);
        while let Some(candidate) = self.next_magic(position)? {
            let says_more = |header: &Header| {
                let follows = header.number >= number && header.epoch >= epoch;
                follows && header.durable_to > durable_to
            };
            if let Found::Frame(header, _) = self.frame_at(candidate, says_more)? {
                durable_to = header.durable_to;
            }
            position = candidate + ALIGN as u64;
        }
        Ok(durable_to)
    }

    /// Whether nothing was ever written at `position`.
    pub(crate) fn is_untouched(&mut self, position: u64) -> Result<bool, OpenError> {
        let header = self.bytes(position, HEADER_LEN)?;
        Ok(header.is_none_or(|header| header.iter().all(|byte| *byte == 0)))
    }

    /// The next position where a frame of this segment may begin.
    fn next_magic(&mut self, mut position: u64) -> Result<Option<u64>, OpenError> {
        let id = self.segment.id.to_le_bytes();
        while position + HEADER_LEN as u64 <= self.segment.capacity {
            let left = self.segment.capacity - position;
            let len = usize::try_from(left).unwrap_or(WINDOW).min(WINDOW);
            let Some(window) = self.bytes(position, len)? else { return Ok(None) };
            let is_magic = |chunk: &[u8]| chunk.starts_with(&frame::MAGIC);
            let mut chunks = window.chunks_exact(ALIGN).enumerate();
            while let Some((nth, _)) = chunks.find(|(_, chunk)| is_magic(chunk)) {
                let found = nth * ALIGN;
                // The segment's id comes next; at the window's end, look again from there.
                match window.get(found + ALIGN..found + 2 * ALIGN) {
                    Some(next) if next != id => {}
                    _ => return Ok(Some(position + found as u64)),
                }
            }
            position += (len - len % ALIGN) as u64;
        }
        Ok(None)
    }

    /// `len` bytes at `position`. `None`: they lie beyond the end.
    fn bytes(&mut self, position: u64, len: usize) -> Result<Option<&[u8]>, OpenError> {
        if position.checked_add(len as u64).is_none_or(|end| end > self.segment.capacity) {
            return Ok(None);
        }
        let is_inside = |base: u64, window: &[u8]| {
            let start = usize::try_from(position.checked_sub(base)?).ok()?;
            (start + len <= window.len()).then_some(start..start + len)
        };
        if is_inside(self.base, &self.window).is_none() {
            let left = usize::try_from(self.segment.capacity - position).unwrap_or(usize::MAX);
            self.window.resize(len.max(WINDOW).min(left), 0);
            self.base = position;
            let read = self.segment.file.read_at(position, &mut self.window);
            read.map_err(at("read", &self.path))?;
        }
        Ok(is_inside(self.base, &self.window).and_then(|range| self.window.get(range)))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use super::*;
    use crate::disk::DiskFile;

    /// Bytes in memory that count how many of them are read.
    #[derive(Debug)]
    struct Counted {
        bytes: Vec<u8>,
        read: AtomicUsize,
    }

    impl DiskFile for Counted {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }
        fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
            let at = usize::try_from(at).expect("short");
            into.copy_from_slice(&self.bytes[at..at + into.len()]);
            self.read.fetch_add(into.len(), Ordering::Relaxed);
            Ok(())
        }
        fn write_at(&self, _at: u64, _bytes: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn allocate(&self, _at: u64, _len: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn sync(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn of_frames_that_cannot_be_looked_for_no_body_is_read() {
        let body_len = 6 * WINDOW;
        let mut stale = vec![0; HEADER_LEN];
        stale.resize(HEADER_LEN + body_len, 7);
        let numbers = frame::Numbers { salt: 1, segment: 1, number: 5, epoch: 2, durable_to: 4 };
        frame::finish(&mut stale, 0, &numbers);
        stale.resize(8 * WINDOW, 0);
        let counted = Arc::new(Counted { bytes: stale, read: AtomicUsize::new(0) });
        let (file, capacity) = (counted.clone(), 8 * WINDOW as u64);
        let segment = Segment { file, id: 1, salt: 1, capacity, is_reserve: false };
        let read = || counted.read.swap(0, Ordering::Relaxed);
        let scan = || Scan::new(&segment, PathBuf::new());
        let mut found = scan();
        assert!(matches!(found.frame_at(0, |header| header.number == 5), Ok(Found::Frame(..))));
        assert!(read() >= body_len);
        let mut found = scan();
        assert!(matches!(found.frame_at(0, |header| header.number == 6), Ok(Found::Nothing)));
        assert_eq!(read(), WINDOW);
        for (number, epoch) in [(6, 2), (5, 3)] {
            assert_eq!(scan().durable_to_after(0, number, epoch).expect("read"), 0);
            // Each byte once, as it is searched.
            assert!(read() <= 9 * WINDOW, "for frame {number} of epoch {epoch}");
        }
        assert_eq!(scan().durable_to_after(0, 5, 2).expect("read"), 4);
    }
}
