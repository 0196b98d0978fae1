//! Numbers as texts: exact, however they are spelled.

use serde_json::value::RawValue;

/// Whether a text is a JSON number and nothing else.
#[must_use]
pub fn is_number(text: &str) -> bool {
    let spelled = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    spelled && text.trim() == text && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The value of a JSON number that is a whole number of 64 bits.
#[must_use]
pub fn integer(number: &str) -> Option<i64> {
    let (negative, unsigned) = match number.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, number),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // Too large for any use is as good as infinite.
    let exponent: i128 = exponent.parse().unwrap_or(i128::MAX / 2);
    let zeros_cut = digits.len() - digits.trim_end_matches('0').len();
    let zeros = exponent + i128::try_from(zeros_cut).ok()? - i128::try_from(fraction.len()).ok()?;
    let zeros = usize::try_from(zeros).ok().filter(|zeros| significant.len() + zeros <= 19)?;
    let magnitude: i128 = format!("{significant}{}", "0".repeat(zeros)).parse().ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// The 64-bit float next to a JSON number, if it is finite.
#[must_use]
pub fn float(number: &str) -> Option<f64> {
    number.parse().ok().filter(|float: &f64| float.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_exact() {
        for (text, expected) in [
            ("-0.0", Some(0)),
            ("1.50e1", Some(15)),
            ("15e-1", None),
            ("150e-1", Some(15)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808.0", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1e99999999999999999999999999999999999999999", None),
            ("1e-99999999999999999999999999999999999999999", None),
            ("0e-99999999999999999999999999999999999999999", Some(0)),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn only_json_numbers_are_numbers() {
        assert!(["0", "-1.5e+3", "1e400"].into_iter().all(is_number));
        assert!(!["", "+1", "01", " 1", "1 ", "\"1\"", "nan", "1,2"].into_iter().any(is_number));
    }
}
