//! Runs of ASCII digits, eight at a time.

/// The number that these digits make; `None` if there is something else among them or they are more than 38.
/// No digits make 0.
pub(crate) fn number(digits: &[u8]) -> Option<u128> {
    let (high, low) = digits.split_at(digits.len().saturating_sub(WORD_DIGITS));
    if high.len() > WORD_DIGITS {
        return None;
    }
    Some(u128::from(word(high)?) * 10_u128.pow(WORD_DIGITS as u32) + u128::from(word(low)?))
}

/// As many as fit 64 bits whatever they are.
const WORD_DIGITS: usize = 19;

fn word(digits: &[u8]) -> Option<u64> {
    let (eights, rest) = digits.as_chunks();
    let mut sum = 0;
    for digits in eights {
        sum = sum * 100_000_000 + eight(*digits)?;
    }
    for digit in rest {
        sum = sum * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
    }
    Some(sum)
}

/// Each step joins neighbours: digits to pairs, pairs to fours, fours to eight.
fn eight(digits: [u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(digits) ^ 0x3030_3030_3030_3030;
    if !are_digits(digits) {
        return None;
    }
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff)
}

/// Whether each of the eight bytes is 9 or less.
#[inline]
pub(crate) const fn are_digits(bytes: u64) -> bool {
    // What is above 9 reaches the highest bit of its byte by this, or has it already. Nothing is carried over
    // unless there is such a one before.
    (bytes | bytes.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_what_the_standard_library_reads(digits in "[0-9]{1,38}") {
            prop_assert_eq!(number(digits.as_bytes()), digits.parse().ok());
        }

        #[test]
        fn what_has_another_byte_among_its_digits_is_no_number(
            digits in "[0-9]{0,38}", other in any::<u8>().prop_filter("a digit", |byte| !byte.is_ascii_digit()),
            at in any::<prop::sample::Index>(),
        ) {
            let mut bytes = digits.into_bytes();
            bytes.insert(at.index(bytes.len() + 1), other);
            prop_assert_eq!(number(&bytes), None);
        }
    }
}
