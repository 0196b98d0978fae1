//! What delivery needs from the world around it: time and randomness.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A clock and a source of unpredictable numbers, handed in so that tests decide both.
#[derive(Clone)]
pub struct Environment {
    now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    random: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Environment {
    /// `now_ms` tells the wall-clock time in milliseconds since 1970 UTC, `random` the next number.
    pub fn new(
        now_ms: impl Fn() -> i64 + Send + Sync + 'static,
        random: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self { now_ms: Arc::new(now_ms), random: Arc::new(random) }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.now_ms)()
    }

    /// A wait of up to `window`: full jitter keeps functions that were refused together from coming back
    /// together.
    pub(crate) fn jitter_ms(&self, window: Duration) -> i64 {
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
        i64::try_from((self.random)() % window).unwrap_or(i64::MAX)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Environment").finish_non_exhaustive()
    }
}
