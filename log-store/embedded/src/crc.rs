//! CRC32C of bytes whose parts have theirs already: what is a part of a frame and checked by itself is
//! gone through once, not twice. Never a checksum of another kind.
#![cfg_attr(not(test), deny(clippy::cast_possible_truncation, clippy::cast_sign_loss))]

/// The polynomial, its lowest power in the highest bit, as the checksum has it.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// The polynomial 1.
const ONE: u32 = 1 << 31;
/// The powers of x to 1, 2, 4, 8, …
const POWERS: [u32; 64] = {
    let mut powers = [ONE >> 1; 64];
    let mut nth = 1;
    while nth < powers.len() {
        powers[nth] = product(powers[nth - 1], powers[nth - 1]);
        nth += 1;
    }
    powers
};

/// The checksum of some bytes and `len` more of them, from those of both.
pub(crate) fn combine(front: u32, back: u32, len: usize) -> u32 {
    let mut shift = ONE;
    let mut bits = len as u64 * 8;
    for power in POWERS {
        if bits == 0 {
            break;
        }
        if bits & 1 == 1 {
            shift = product(shift, power);
        }
        bits >>= 1;
    }
    product(front, shift) ^ back
}

/// Of two polynomials over GF(2), modulo that of the checksum.
const fn product(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut nth = 0;
    while nth < 32 {
        if a & (ONE >> nth) != 0 {
            product ^= b;
        }
        // Times x.
        b = if b & 1 == 1 { (b >> 1) ^ POLYNOMIAL } else { b >> 1 };
        nth += 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_parts_make_the_whole(
            front in prop::collection::vec(any::<u8>(), 0..300),
            back in prop::collection::vec(any::<u8>(), 0..5_000),
        ) {
            let whole = crc32c::crc32c(&[&front[..], &back[..]].concat());
            let parts = (crc32c::crc32c(&front), crc32c::crc32c(&back));
            prop_assert_eq!(combine(parts.0, parts.1, back.len()), whole);
        }
    }

    #[test]
    fn parts_of_more_than_16_mib_do_as_well() {
        let bytes: Vec<u8> = (0..17_000_003_u32).map(|nth| (nth ^ (nth >> 7)) as u8).collect();
        let (front, back) = bytes.split_at(12_345);
        let combined = combine(crc32c::crc32c(front), crc32c::crc32c(back), back.len());
        assert_eq!(combined, crc32c::crc32c(&bytes));
    }
}
