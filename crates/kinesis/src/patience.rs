//! How long retries wait.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Within which the first retry waits; each further one doubles it. A shard's limits are by the second.
pub(crate) const RETRY_WINDOW: Duration = Duration::from_millis(100);

/// The longest that the window grows.
const RETRY_WINDOW_MAX: Duration = Duration::from_secs(3);

/// How long a retry after `tries` tries waits.
pub(crate) fn backoff(tries: u32) -> Duration {
    jittered(window(tries))
}

/// Within which a retry after `tries` tries waits.
fn window(tries: u32) -> Duration {
    let doubled = 1_u32.checked_shl(tries.saturating_sub(1).min(20)).unwrap_or(1);
    RETRY_WINDOW.saturating_mul(doubled).min(RETRY_WINDOW_MAX)
}

/// A wait of up to `window`: full jitter keeps functions that were throttled together from coming back
/// together.
fn jittered(window: Duration) -> Duration {
    // Every `RandomState` has keys of its own, derived from the system's randomness.
    let random = RandomState::new().build_hasher().finish();
    let window = u64::try_from(window.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(random % window)
}
