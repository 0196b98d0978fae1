//! Values as people write them. Errors say what is wanted.

use std::time::Duration;

/// `true` or `false`, and what else means the same.
pub(crate) fn parse_flag(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("`true` or `false`"),
    }
}

/// `90s`, `15m`, `12h` or `7d`.
///
/// # Errors
/// What is wanted, where `text` is something else.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const WANTED: &str = "a duration such as `90s`, `15m`, `12h` or `7d`";
    scaled(text, &[("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]).map(Duration::from_secs).ok_or(WANTED)
}

/// `64MiB`, `1GiB`, or a plain number of bytes.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    const WANTED: &str = "a size such as `64MiB` or `1GiB`";
    scaled(text, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)])
        .filter(|&bytes| bytes > 0)
        .ok_or(WANTED)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) =
        text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim())?;
    digits.parse::<u64>().ok()?.checked_mul(*scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_written() {
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_bytes("64 MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("1000"), Ok(1000));
        for text in ["", "7", "d", "-1d", "1.5h", "99999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
        assert!(parse_bytes("0").is_err() && parse_bytes("1MB").is_err());
    }
}
