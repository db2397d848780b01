//! One frame: the unit that is whole or absent. A header, a body of entries, zeros up to the next
//! multiple of eight. Here are its bytes and its checksum; never what a body means, but that it has
//! blocks with checksums of their own.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)
)]

use crate::{
    block, entry,
    wire::{Malformed, Take, len_u32},
};

/// Where a header ends and the body begins.
pub(crate) const HEADER_LEN: usize = 48;
/// Frames begin at multiples of this.
pub(crate) const ALIGN: usize = 8;
/// No frame is longer, whatever its header says.
pub(crate) const BODY_MAX: u32 = 1 << 30;
pub(crate) const MAGIC: [u8; 4] = *b"MSF1";

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The segment that it was written for: a recycled file still holds frames of another.
    pub(crate) segment: u64,
    /// Counts all frames of the log, without a gap.
    pub(crate) number: u64,
    /// Counts the openings of the log: what a cut left behind has a lower one than what is written
    /// over it.
    pub(crate) epoch: u64,
    /// The number of the newest frame known to be synced when this one was written.
    pub(crate) durable_to: u64,
    /// Of the body, without the padding.
    pub(crate) len: u32,
    crc: u32,
}

impl Header {
    /// Of the whole frame, with its padding.
    pub(crate) fn total(&self) -> usize {
        total(self.len as usize)
    }
}

/// How long a frame is whose body has `len` bytes.
pub(crate) fn total(len: usize) -> usize {
    (HEADER_LEN + len).next_multiple_of(ALIGN)
}

/// What a header says beside the length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) salt: u64,
    pub(crate) segment: u64,
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) durable_to: u64,
}

/// Pads a frame whose header's room begins at `start`, and fills in the checksums of its blocks and the
/// header.
pub(crate) fn finish(bytes: &mut Vec<u8>, start: usize, numbers: &Numbers) {
    let Numbers { salt, segment, number, epoch, durable_to } = *numbers;
    assert!(bytes.len() >= start + HEADER_LEN, "the frame was begun");
    let body_len = bytes.len() - start - HEADER_LEN;
    bytes.resize(start + total(body_len), 0);
    let (head, body) = bytes.split_at_mut(start + HEADER_LEN);
    let Some(header) = head.last_chunk_mut::<HEADER_LEN>() else { return };
    let words = [u64::from(u32::from_le_bytes(MAGIC)), segment, number, epoch, durable_to];
    let len_and_crc = u64::from(len_u32(body_len));
    for (room, word) in header.chunks_exact_mut(8).zip(words.into_iter().chain([len_and_crc])) {
        room.copy_from_slice(&word.to_le_bytes());
    }
    let (covered, check) = header.split_at_mut(HEADER_LEN - 4);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), covered);
    let (body, padding) = body.split_at_mut(body_len);
    let crc = entry::seal(body, block::mask(salt, number), crc);
    let crc = crc32c::crc32c_append(crc, padding);
    check.copy_from_slice(&crc.to_le_bytes());
}

/// Reads a header without its checksum: says how long the frame would be.
pub(crate) fn parse_header(bytes: &[u8]) -> Result<Header, Malformed> {
    let mut take = Take::new(bytes);
    if take.bytes(4, "a frame header is cut off")? != MAGIC {
        return Err(Malformed("no frame begins here"));
    }
    if take.u32("a frame header is cut off")? != 0 {
        return Err(Malformed("a reserved field of a frame header is not zero"));
    }
    let mut number = || take.u64("a frame header is cut off");
    let (segment, number, epoch, durable_to) = (number()?, number()?, number()?, number()?);
    let len = take.u32("a frame header is cut off")?;
    let crc = take.u32("a frame header is cut off")?;
    if len > BODY_MAX {
        return Err(Malformed("a frame header gives an impossible length"));
    }
    Ok(Header { segment, number, epoch, durable_to, len, crc })
}

/// Checks a whole frame (header, body, padding) and gives its header. The body lies behind
/// [`HEADER_LEN`].
pub(crate) fn check(frame: &[u8], salt: u64) -> Result<Header, Malformed> {
    let header = parse_header(frame)?;
    if frame.len() != header.total() {
        return Err(Malformed("a frame is cut off"));
    }
    let (head, padded) =
        frame.split_at_checked(HEADER_LEN).ok_or(Malformed("a frame is cut off"))?;
    let covered = head.get(..HEADER_LEN - 4).unwrap_or_default();
    if checksum(salt, covered, padded) != header.crc {
        return Err(Malformed("a frame's checksum does not fit its bytes"));
    }
    if padded.get(header.len as usize..).is_none_or(|zeros| zeros.iter().any(|byte| *byte != 0)) {
        return Err(Malformed("a frame's padding is not zero"));
    }
    Ok(header)
}

fn checksum(salt: u64, head: &[u8], padded: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, head), padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame_of(body: &[u8], salt: u64) -> Vec<u8> {
        let mut frame = vec![0; HEADER_LEN];
        frame.extend_from_slice(body);
        finish(&mut frame, 0, &Numbers { salt, segment: 3, number: 7, epoch: 2, durable_to: 6 });
        frame
    }

    proptest! {
        #[test]
        fn a_frame_comes_back_and_no_flipped_bit_does(
            body in prop::collection::vec(any::<u8>(), 0..200), salt: u64, at: prop::sample::Index,
            bit in 0..8_u8,
        ) {
            let mut frame = frame_of(&body, salt);
            let header = check(&frame, salt).expect("whole");
            prop_assert_eq!(header.number, 7);
            prop_assert_eq!(&frame[HEADER_LEN..HEADER_LEN + header.len as usize], &body[..]);
            prop_assert!(check(&frame, salt ^ 1).is_err());
            let at = at.index(frame.len());
            frame[at] ^= 1 << bit;
            prop_assert!(check(&frame, salt).is_err());
        }
    }

    #[test]
    fn no_cut_of_a_frame_is_a_frame() {
        let frame = frame_of(b"a body of some length", 1);
        for len in 0..frame.len() {
            assert!(check(&frame[..len], 1).is_err(), "cut at {len}");
        }
    }
}
