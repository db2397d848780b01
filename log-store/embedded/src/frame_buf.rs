//! Where a frame is made: so that it can be written without a copy, the buffer begins as the block of the
//! file does in which the frame will begin, and lies in memory as that block does in the file. Never what
//! a frame says.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use std::ops::Range;

use crate::{
    aligned::{BLOCK, is_aligned},
    frame,
    spare::Spare,
};

/// One frame that is being made, its header's room included.
#[derive(Debug, Default)]
pub(crate) struct FrameBuf {
    /// Slack up to a block's address; what the first block holds already; the frame.
    bytes: Vec<u8>,
    /// Where the block begins.
    block: usize,
    /// Where the frame begins.
    start: usize,
}

impl FrameBuf {
    /// Begins a frame behind these bytes of its first block.
    pub(crate) fn begin(&mut self, begun: &[u8]) {
        self.bytes.clear();
        // A block more than is needed, so that some address in it is a block's.
        self.bytes.reserve(BLOCK + begun.len() + frame::HEADER_LEN);
        self.block = self.bytes.as_ptr().align_offset(BLOCK).min(BLOCK);
        self.bytes.resize(self.block, 0);
        self.bytes.extend_from_slice(begun);
        self.start = self.bytes.len();
        self.bytes.resize(self.start + frame::HEADER_LEN, 0);
    }

    /// What comes next in the body is appended to this.
    pub(crate) fn body_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn body_len(&self) -> usize {
        self.frame().len().saturating_sub(frame::HEADER_LEN)
    }

    /// Whether its memory is right for a frame of so many bytes.
    pub(crate) fn suits(&self, len: usize) -> bool {
        Spare::suits(&self.bytes, len)
    }

    /// The frame as far as it is made, from its header on.
    pub(crate) fn frame(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The body of a frame that was closed.
    pub(crate) fn body(&self, len: usize) -> &[u8] {
        self.bytes.get(self.body_range(len)).unwrap_or_default()
    }

    fn body_range(&self, len: usize) -> Range<usize> {
        let body = self.start + frame::HEADER_LEN;
        body..body + len
    }

    /// Pads the frame, fills its header in, and gives the blocks that it lies in: `begun` in front of it,
    /// zeros behind it as far as `len` bytes in all. If the frame was begun behind other bytes, or grew
    /// out of its place in memory, it is moved first.
    pub(crate) fn close(&mut self, begun: &[u8], len: usize, numbers: &frame::Numbers) -> &[u8] {
        frame::finish(&mut self.bytes, self.start, numbers);
        let used = begun.len() + self.frame().len();
        debug_assert!(used <= len, "the blocks hold the frame");
        let is_in_place = self.bytes.get(self.block..self.start) == Some(begun)
            && self.bytes.capacity() >= self.block + len
            && is_aligned(0, self.bytes.get(self.block..self.block).unwrap_or_default());
        if !is_in_place {
            let mut moved = Self { bytes: Vec::with_capacity(len + BLOCK), ..Self::default() };
            moved.begin(begun);
            moved.bytes.truncate(moved.start);
            moved.bytes.extend_from_slice(self.frame());
            *self = moved;
        }
        self.bytes.resize(self.block + len, 0);
        self.bytes.get(self.block..).unwrap_or_default()
    }

    /// A buffer's memory, for the next frame.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Its memory, and where there the body lies of a frame that was closed.
    pub(crate) fn into_memory(self, body_len: usize) -> (Vec<u8>, Range<usize>) {
        let body = self.body_range(body_len);
        (self.bytes, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{HEADER_LEN, Numbers};
    use proptest::prelude::*;

    const NUMBERS: Numbers = Numbers { salt: 1, segment: 3, number: 7, epoch: 2, durable_to: 6 };

    proptest! {
        #[test]
        fn blocks_hold_what_was_there_the_frame_and_zeros(
            first in 0..BLOCK, then in 0..BLOCK, is_moved: bool,
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20_000), 1..4),
        ) {
            let mut buf = FrameBuf::default();
            for body in bodies {
                let begun = vec![9; first];
                buf.begin(&begun);
                buf.body_mut().extend_from_slice(&body);
                prop_assert_eq!(buf.body_len(), body.len());
                // Another segment was taken in between.
                let begun = if is_moved { vec![8; then] } else { begun };
                let frame_len = frame::total(body.len());
                let len = (begun.len() + frame_len).next_multiple_of(BLOCK);
                let blocks = buf.close(&begun, len, &NUMBERS).to_vec();
                prop_assert!(is_aligned(0, buf.bytes.get(buf.block..).unwrap_or_default()));
                prop_assert_eq!(blocks.len(), len);
                prop_assert_eq!(&blocks[..begun.len()], &begun[..]);
                let whole = &blocks[begun.len()..begun.len() + frame_len];
                prop_assert_eq!(frame::check(whole, 1).expect("whole").number, 7);
                prop_assert_eq!(&whole[HEADER_LEN..HEADER_LEN + body.len()], &body[..]);
                prop_assert!(blocks[begun.len() + frame_len..].iter().all(|byte| *byte == 0));
                prop_assert_eq!(buf.body(body.len()), &body[..]);
                buf = FrameBuf::of(buf.into_memory(body.len()).0);
            }
        }
    }
}
