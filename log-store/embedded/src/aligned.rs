//! Memory in whole blocks at addresses of whole blocks: what a file takes past the page cache. Never
//! grows: whoever needs more makes another.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use std::ops::Range;

/// Of memory and of files alike; no disk asks for more.
pub(crate) const BLOCK: usize = 4096;

/// Bytes whose first is at a block's address. As many as were asked for, in whole blocks.
#[derive(Debug)]
pub(crate) struct AlignedBuf {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// `len` rounded up to whole blocks, in this memory; zeros where nothing was before.
    pub(crate) fn over(mut bytes: Vec<u8>, len: usize) -> Self {
        let len = len.next_multiple_of(BLOCK);
        if bytes.len() < len + BLOCK {
            bytes.resize(len + BLOCK, 0);
        }
        let start = bytes.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { bytes, start, len }
    }

    pub(crate) fn zeroed(len: usize) -> Self {
        Self::over(vec![0; len.next_multiple_of(BLOCK) + BLOCK], len)
    }

    /// What [`AlignedBuf::over`] takes for so many bytes without asking for more memory.
    pub(crate) fn needed(len: usize) -> usize {
        len.next_multiple_of(BLOCK) + BLOCK
    }

    /// Its memory, and where there a part of it lies.
    pub(crate) fn into_memory(self, part: Range<usize>) -> (Vec<u8>, Range<usize>) {
        (self.bytes, self.start + part.start..self.start + part.end)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.range()).unwrap_or_default()
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let range = self.range();
        self.bytes.get_mut(range).unwrap_or_default()
    }

    fn range(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

/// Whether bytes at this place of a file are whole blocks of both.
pub(crate) fn is_aligned(at: u64, bytes: &[u8]) -> bool {
    at.is_multiple_of(BLOCK as u64)
        && bytes.len().is_multiple_of(BLOCK)
        && bytes.as_ptr().addr().is_multiple_of(BLOCK)
}

/// Bytes of the block of `at` that lie before it.
pub(crate) fn in_block(at: u64) -> usize {
    usize::try_from(at % BLOCK as u64).expect("below a block's length")
}

/// The whole blocks that hold `len` bytes at `at`, as far as a file of this length has them.
pub(crate) fn blocks_around(at: u64, len: u64, file_len: u64) -> Range<u64> {
    let end = (at + len).next_multiple_of(BLOCK as u64);
    at - in_block(at) as u64..end.min(file_len.max(at + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_lies_in_whole_blocks() {
        for (asked, len) in [(0, 0), (1, BLOCK), (BLOCK, BLOCK), (BLOCK + 1, 2 * BLOCK)] {
            let mut buf = AlignedBuf::zeroed(asked);
            assert_eq!((buf.bytes().len(), buf.bytes_mut().len()), (len, len));
            assert!(is_aligned(0, buf.bytes()));
        }
        let buf = AlignedBuf::zeroed(2 * BLOCK);
        assert!(!is_aligned(1, buf.bytes()) && !is_aligned(0, &buf.bytes()[..1]));
        assert!(!is_aligned(0, &buf.bytes()[1..=BLOCK]));
    }

    #[test]
    fn blocks_are_found_around_bytes() {
        assert_eq!(blocks_around(5_000, 100, 1 << 20), 4_096..8_192);
        assert_eq!(blocks_around(8_192, 4_096, 1 << 20), 8_192..12_288);
        assert_eq!(blocks_around(8_000, 1_000, 9_500), 4_096..9_500);
    }
}
