//! Bytes of a string, many at a time.

use wide::u8x16;

/// Bytes of a block.
pub(super) const BYTES: usize = 16;

/// A bit for each byte of the block, the first one lowest: set where it is a quote, a backslash or a control
/// character.
#[inline]
pub(super) fn special(block: &[u8; BYTES]) -> u32 {
    let bytes = u8x16::new(*block);
    let quote = bytes.simd_eq(u8x16::splat(b'"'));
    let backslash = bytes.simd_eq(u8x16::splat(b'\\'));
    let control = bytes.simd_le(u8x16::splat(0x1f));
    (quote | backslash | control).to_bitmask()
}

/// How many of the word's bytes, from its lowest on, are neither quote, backslash nor control character.
#[inline]
pub(super) const fn plain_run(word: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    // Only the lowest mark is exact.
    let marks =
        (control | (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash)) & HIGHS;
    marks.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn odd() -> impl Strategy<Value = u8> {
        prop::sample::select(&b"\"\\\0\x1f"[..])
    }

    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![8 => 0x20_u8.., 1 => prop::sample::select(&b" !#[]\x7f\x80\xff"[..]), 1 => odd()]
    }

    proptest! {
        #[test]
        fn the_bytes_that_cannot_stand_in_a_string_are_marked(block in prop::array::uniform16(byte())) {
            let marked = special(&block);
            for (index, byte) in block.iter().enumerate() {
                prop_assert_eq!(marked >> index & 1 == 1, matches!(*byte, b'"' | b'\\' | 0..0x20));
            }
            prop_assert_eq!(marked >> BYTES, 0);
        }

        #[test]
        fn a_run_ends_before_the_first_byte_that_cannot_stand_in_a_string(bytes in prop::array::uniform8(byte())) {
            let is_special = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20);
            let expected = bytes.iter().position(is_special).unwrap_or(bytes.len());
            prop_assert_eq!(plain_run(u64::from_le_bytes(bytes)), expected);
        }
    }
}
