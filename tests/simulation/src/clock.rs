//! Virtual time as wall-clock time.

use tokio::time::Instant;
use tripline_lake::clock::Clock;

/// A second, in milliseconds, as all times here are.
pub(crate) const SECOND: u64 = 1_000;
/// A minute.
pub(crate) const MINUTE: u64 = 60 * SECOND;
/// An hour.
pub(crate) const HOUR: u64 = 60 * MINUTE;

/// 2019-03-02T00:00:00Z: when a schedule begins.
pub(crate) const BEGIN_MS: i64 = 1_551_484_800_000;

/// A machine's clock: it runs with the runtime's paused time, and may be wrong by a constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VirtualClock {
    began: Instant,
    skew_ms: i64,
}

impl VirtualClock {
    /// A clock that is right; to be made once, when the schedule begins.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), skew_ms: 0 }
    }

    /// A clock that is fast by so much, or slow.
    #[must_use]
    pub(crate) fn skewed(self, skew_ms: i64) -> Self {
        Self { skew_ms, ..self }
    }

    /// Milliseconds since the schedule began.
    #[must_use]
    pub(crate) fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.elapsed()).unwrap_or(i64::MAX);
        BEGIN_MS.saturating_add(elapsed).saturating_add(self.skew_ms)
    }
}
