//! Numbers and byte strings as they lie on disk: little endian, or LEB128 where they are mostly small.
//! Taking refuses what is not there; it never guesses and never panics.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)
)]

/// Bytes that are not what the format says. Whoever knows the place adds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Takes one thing after another from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (front, rest) = self.0.split_at_checked(len).ok_or(Malformed(what))?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (front, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed(what))?;
        self.0 = rest;
        Ok(*front)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        let [byte] = self.array(what)?;
        Ok(byte)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A length (u32) that may not be longer than what is left.
    pub(crate) fn len(&mut self, what: &'static str) -> Result<usize, Malformed> {
        self.u32(what).map(|len| len as usize)
    }

    /// A byte string behind its length (u32).
    pub(crate) fn string(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.len(what)?;
        self.bytes(len, what)
    }

    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.string(what)?).map_err(|_| Malformed(what))
    }

    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, Malformed> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed(what)),
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64, Malformed> {
        // Nearly all there are.
        if let [byte, rest @ ..] = self.0
            && *byte < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint(what)
    }

    #[inline(never)]
    fn long_varint(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (nth, byte) in self.0.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if nth == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * nth);
            if byte & 0x80 == 0 {
                self.0 = self.0.get(nth + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(Malformed(what))
    }

    pub(crate) fn end(&self, what: &'static str) -> Result<(), Malformed> {
        if self.is_done() { Ok(()) } else { Err(Malformed(what)) }
    }
}

pub(crate) fn put_u32(into: &mut Vec<u8>, value: u32) {
    into.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u64(into: &mut Vec<u8>, value: u64) {
    into.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_string(into: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(into, len_u32(bytes.len()));
    into.extend_from_slice(bytes);
}

#[inline]
pub(crate) fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push((value & 0x7f) as u8);
}

/// A signed difference as an unsigned number that is small when the difference is.
#[inline]
pub(crate) fn zigzag(difference: i64) -> u64 {
    (difference.cast_unsigned() << 1) ^ (difference >> 63).cast_unsigned()
}

#[inline]
pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Begins a file that is derived from others: what it is, its version, zeros.
pub(crate) fn begin_derived(magic: [u8; 8], version: u32) -> Vec<u8> {
    let mut file = magic.to_vec();
    put_u32(&mut file, version);
    put_u32(&mut file, 0);
    file
}

/// Ends it with the checksum of all of it.
pub(crate) fn end_derived(file: &mut Vec<u8>) {
    let crc = crc32c::crc32c(file);
    put_u32(file, crc);
}

/// What lies between the two, if the file is whole and of this kind.
pub(crate) fn take_derived(
    file: &[u8],
    magic: [u8; 8],
    version: u32,
) -> Result<Take<'_>, Malformed> {
    const CUT: &str = "it is cut off";
    let (covered, crc) = file.split_last_chunk::<4>().ok_or(Malformed(CUT))?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
        return Err(Malformed("its checksum does not fit its bytes"));
    }
    let mut take = Take::new(covered);
    if take.bytes(magic.len(), CUT)? != magic || take.u32(CUT)? != version {
        return Err(Malformed("it does not begin as such a file does"));
    }
    take.u32(CUT)?;
    Ok(take)
}

/// What we write is bounded far below 4 GiB by the log's limits.
pub(crate) fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("what is written is under 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_varint_comes_back_and_no_cut_of_it_does(value: u64, difference: i64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(Take::new(&bytes).varint("n"), Ok(value));
            prop_assert!(Take::new(&bytes[..bytes.len() - 1]).varint("n").is_err());
            prop_assert_eq!(unzigzag(zigzag(difference)), difference);
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        assert!(Take::new(&[0xff; 10]).varint("n").is_err());
        assert!(Take::new(&[0x80; 11]).varint("n").is_err());
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Take::new(&most).varint("n"), Ok(u64::MAX));
    }
}
