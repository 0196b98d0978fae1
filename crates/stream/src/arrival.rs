//! Arrival times as Lambda writes them: decimal seconds, read exactly, never through a float.

/// Reads decimal seconds since 1970 UTC into milliseconds, cut (not rounded) towards zero.
///
/// Lambda writes the arrival time as a JSON number whose fraction has as many digits as it happens
/// to need (`1545084650.98` is 980 ms); other producers of such events write an exponent, an
/// integer or a string. `None` where the text is no decimal number or leaves the range of `i64`:
/// nothing depends on this time, so that it must never fail a batch.
pub(crate) fn seconds_to_ms(text: &[u8]) -> Option<i64> {
    plain(text).or_else(|| general(text))
}

/// A time as most are spelled: some digits, a point and three digits or fewer.
fn plain(text: &[u8]) -> Option<i64> {
    const LONGEST: usize = 15;
    if !text.first()?.is_ascii_digit() || text.len() > LONGEST {
        return None;
    }
    let (mut sum, mut decimals) = (0_i64, None);
    for &byte in text {
        match (byte, decimals) {
            (b'0'..=b'9', Some(3..)) => return None,
            (b'0'..=b'9', _) => {
                sum = sum * 10 + i64::from(byte - b'0');
                decimals = decimals.map(|decimals: u32| decimals + 1);
            }
            (b'.', None) => decimals = Some(0),
            _ => return None,
        }
    }
    Some(sum * 10_i64.pow(3_u32.saturating_sub(decimals.unwrap_or_default())))
}

/// A time in any spelling.
fn general(text: &[u8]) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (number, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (unsigned.get(..at)?, exponent(unsigned.get(at + 1..)?)?),
        None => (unsigned, 0),
    };
    let (whole, fraction): (&[u8], &[u8]) = match number.iter().position(|&byte| byte == b'.') {
        Some(at) => (number.get(..at)?, number.get(at + 1..)?),
        None => (number, b""),
    };
    let digits = || whole.iter().chain(fraction);
    if whole.is_empty() || !digits().all(u8::is_ascii_digit) {
        return None;
    }
    // Shifting the decimal point by the exponent, and by three places for milliseconds, says how
    // many digits stand before it.
    let places = i64::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(3)?;
    let mut milliseconds = 0_i64;
    let mut taken = 0_i64;
    for digit in digits() {
        if taken >= places {
            break;
        }
        milliseconds = milliseconds.checked_mul(10)?;
        let value = i64::from(digit - b'0');
        milliseconds =
            if negative { milliseconds.checked_sub(value)? } else { milliseconds.checked_add(value)? };
        taken += 1;
    }
    // Zero stays zero, however large the exponent is.
    while taken < places && milliseconds != 0 {
        milliseconds = milliseconds.checked_mul(10)?;
        taken += 1;
    }
    Some(milliseconds)
}

/// The digits after `e`; saturated, as no exponent of this size leaves anything to read.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size =
        digits.iter().fold(0_i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(1_000_000_000));
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_time_is_read_exactly_to_the_millisecond() {
        let cases: [(&str, i64); 18] = [
            ("1545084650.987", 1_545_084_650_987),
            ("1545084650.98", 1_545_084_650_980),
            ("1545084650.9", 1_545_084_650_900),
            ("1545084650.009", 1_545_084_650_009),
            ("1545084650.9876", 1_545_084_650_987),
            ("1545084650.987999999999999999999999", 1_545_084_650_987),
            ("1545084650", 1_545_084_650_000),
            ("1545084650.", 1_545_084_650_000),
            ("1.545084650987E9", 1_545_084_650_987),
            ("1.545084650987e+09", 1_545_084_650_987),
            ("15450846509876e-4", 1_545_084_650_987),
            ("1E-4", 0),
            ("0", 0),
            ("0e999999999999999999999", 0),
            ("1e-999999999999999999999", 0),
            ("-0.001", -1),
            ("-1.9999", -1_999),
            ("9223372036854775.807", i64::MAX),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds_to_ms(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "-",
            ".",
            ".5",
            "e5",
            "1e",
            "1e+",
            "1.2.3",
            "1e2e3",
            "NaN",
            "12a",
            "9223372036854775.808",
            "1e400",
        ] {
            assert_eq!(seconds_to_ms(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_number_of_decimals_and_any_exponent_give_the_same_time(
            ms in 0_i64..4_102_444_800_000, tail in "[0-9]{0,6}", shift in -6_i64..20,
        ) {
            let digits = format!("{ms:04}{tail}");
            let point = digits.len() - tail.len() - 3;
            let plain = format!("{}.{}", &digits[..point], &digits[point..]);
            prop_assert_eq!(seconds_to_ms(plain.as_bytes()), Some(ms));
            // d.ddd…e(point - 1), and the same with the point moved by `shift` zeros.
            let scientific = format!("{}.{}E{}", &digits[..1], &digits[1..], point as i64 - 1);
            prop_assert_eq!(seconds_to_ms(scientific.as_bytes()), Some(ms));
            let zeros = "0".repeat(shift.unsigned_abs() as usize);
            let shifted = if shift < 0 {
                format!("0.{zeros}{digits}e{}", point as i64 - shift)
            } else {
                format!("{digits}{zeros}e{}", point as i64 - digits.len() as i64 - shift)
            };
            prop_assert_eq!(seconds_to_ms(shifted.as_bytes()), Some(ms), "{}", shifted);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = seconds_to_ms(&bytes);
        }
    }
}
