//! When an invocation must have answered.

use std::time::{SystemTime, UNIX_EPOCH};

/// Deadlines before this moment of 2001 are none that Lambda ever set.
const FIRST_TIME_MS: i64 = 1_000_000_000_000;

/// An invocation's deadline in milliseconds since 1970 UTC, from the one that came with it.
///
/// Lambda sends a time. `cargo lambda watch` sends 600000, whatever the time, and means ten minutes: so
/// small a number is taken as the time that is left.
#[must_use]
pub fn deadline_ms(given: u64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    from_now(given, i64::try_from(now).unwrap_or(i64::MAX))
}

fn from_now(given: u64, now_ms: i64) -> i64 {
    let given = i64::try_from(given).unwrap_or(i64::MAX);
    if given < FIRST_TIME_MS { now_ms.saturating_add(given) } else { given }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_time_or_what_is_left() {
        let now = 1_773_000_000_000;
        assert_eq!(from_now(1_773_000_060_000, now), 1_773_000_060_000);
        assert_eq!(from_now(1_772_999_000_000, now), 1_772_999_000_000, "one that has passed stays passed");
        assert_eq!(from_now(600_000, now), now + 600_000);
        assert_eq!(from_now(u64::MAX, now), i64::MAX);
    }
}
