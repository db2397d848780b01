//! A segment: the file's name and its header, in front of the frames. Never a frame.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)
)]

use crate::wire::{Malformed, Take};

/// The header has a block of its own: no later write touches it.
pub(crate) const HEADER_LEN: usize = 4096;
/// What everybody leaves free at the end of a segment as long as there is no reserve: a full disk must
/// not keep a log from being opened and closed, some dozens of times.
pub(crate) const KEPT_FOR_OPENINGS: u64 = 4096;
const USED: usize = 36;
const IS_RESERVE: u32 = 1;
const MAGIC: [u8; 8] = *b"MILLSEG\0";
/// Of segments and all that they hold.
pub(crate) const VERSION: u32 = 2;
const SUFFIX: &str = ".seg";
const INDEX_SUFFIX: &str = ".idx";
/// A file that is still being written ahead: of no worth after a restart.
pub(crate) const UNFINISHED: &str = "next.tmp";
/// An index that is still being written.
pub(crate) const INDEX_UNFINISHED: &str = "index.tmp";
/// All that the log knew at some frame.
pub(crate) const SNAPSHOT: &str = "state.snap";
/// The one before that.
pub(crate) const SNAPSHOT_BEFORE: &str = "state.old";
pub(crate) const SNAPSHOT_UNFINISHED: &str = "snapshot.tmp";
/// Zeros kept for what must go on when the disk is full.
pub(crate) const RESERVE: &str = "reserve.free";
pub(crate) const RESERVE_UNFINISHED: &str = "reserve.tmp";

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// From 1, without a gap.
    pub(crate) id: u64,
    /// Keys the checksums of its frames.
    pub(crate) salt: u64,
    /// Whether it was the reserve: then only what needs no space is written to it.
    pub(crate) is_reserve: bool,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(HEADER_LEN);
        block.extend_from_slice(&MAGIC);
        block.extend_from_slice(&VERSION.to_le_bytes());
        block.extend_from_slice(&u32::from(self.is_reserve).to_le_bytes());
        block.extend_from_slice(&self.id.to_le_bytes());
        block.extend_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&block);
        block.extend_from_slice(&crc.to_le_bytes());
        block.resize(HEADER_LEN, 0);
        block
    }

    pub(crate) fn parse(block: &[u8]) -> Result<Self, Malformed> {
        const CUT: &str = "a segment header is cut off";
        let mut take = Take::new(block);
        if take.bytes(MAGIC.len(), CUT)? != MAGIC {
            return Err(Malformed("it does not begin as a segment does"));
        }
        let (version, flags) = (take.u32(CUT)?, take.u32(CUT)?);
        let (id, salt) = (take.u64(CUT)?, take.u64(CUT)?);
        let crc = take.u32(CUT)?;
        if crc32c::crc32c(block.get(..USED - 4).unwrap_or_default()) != crc {
            return Err(Malformed("the checksum of a segment header does not fit its bytes"));
        }
        if version != VERSION {
            // Format 1 was never part of a release.
            return Err(Malformed(
                "it is not of format 2, the only one that this program knows: use the program that wrote it",
            ));
        }
        if flags > IS_RESERVE {
            return Err(Malformed("a segment header has a flag that this program does not know"));
        }
        if take.left() != HEADER_LEN - USED || block.iter().skip(USED).any(|byte| *byte != 0) {
            return Err(Malformed("a segment header is not filled up with zeros"));
        }
        Ok(Self { id, salt, is_reserve: flags & IS_RESERVE != 0 })
    }
}

pub(crate) fn file_name(id: u64) -> String {
    format!("{id:010}{SUFFIX}")
}

/// Of the index of a segment.
pub(crate) fn index_name(id: u64) -> String {
    format!("{id:010}{INDEX_SUFFIX}")
}

/// The id, if the file is a segment.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let id = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (file_name(id) == name).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_segment_header_comes_back_and_no_flipped_bit_does(
            id: u64, salt: u64, is_reserve: bool, at in 0..HEADER_LEN, bit in 0..8_u8,
        ) {
            let header = Header { id, salt, is_reserve };
            let mut block = header.encode();
            prop_assert_eq!(Header::parse(&block), Ok(header));
            block[at] ^= 1 << bit;
            prop_assert!(Header::parse(&block).is_err());
        }

        #[test]
        fn a_segment_is_found_by_its_name(id: u64) {
            prop_assert_eq!(parse_file_name(&file_name(id)), Some(id));
        }
    }

    #[test]
    fn other_names_are_no_segments() {
        for name in ["", ".seg", "1.seg", "next.tmp", "+000000001.seg", "0000000001.seg.tmp"] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }
}
