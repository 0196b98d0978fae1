//! When an event is due: pure, its clock is the caller's.

use std::time::Duration;

/// Sends events as far apart as their times are, divided by the speedup.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    /// 0: as fast as possible.
    speedup: f64,
    longest_wait: Duration,
    base: Option<Base>,
    /// The last time that something was due at.
    last: Duration,
    /// Gaps that were cut short, and by how much in all.
    pub(super) cut: (u64, Duration),
}

#[derive(Clone, Copy, Debug)]
struct Base {
    event_ms: i64,
    at: Duration,
}

impl Pacer {
    /// For a speedup, and the longest gap between two events that is waited for.
    pub(super) fn new(speedup: f64, longest_wait: Duration) -> Self {
        Self { speedup, longest_wait, base: None, last: Duration::ZERO, cut: (0, Duration::ZERO) }
    }

    /// When what happened at this time is due, since the clock's beginning. The first is due now; what
    /// comes out of order may be due in the past, and is sent at once. A gap longer than the longest wait is
    /// cut to it, for all that comes after.
    pub(super) fn due(&mut self, event_ms: i64, now: Duration) -> Duration {
        if self.speedup <= 0.0 {
            return now;
        }
        let base = *self.base.get_or_insert(Base { event_ms, at: now });
        let apart = event_ms.saturating_sub(base.event_ms);
        let due = if apart >= 0 {
            base.at.saturating_add(self.scaled(apart))
        } else {
            base.at.saturating_sub(self.scaled(apart))
        };
        // A gap is one to what was due before it; to now where that was some time ago.
        let latest = self.last.max(now).saturating_add(self.longest_wait);
        if due <= latest {
            self.last = self.last.max(due);
            return due;
        }
        self.cut.0 += 1;
        self.cut.1 += due - latest;
        self.base = Some(Base { event_ms, at: latest });
        self.last = latest;
        latest
    }

    /// A stretch of event time at this speed.
    pub(super) fn scaled(&self, ms: i64) -> Duration {
        if self.speedup <= 0.0 {
            return Duration::ZERO;
        }
        let seconds = ms.unsigned_abs() as f64 / 1000.0 / self.speedup;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn events_are_as_far_apart_as_their_times_divided_by_the_speedup() {
        let mut pacer = Pacer::new(3600.0, Duration::MAX);
        assert_eq!(pacer.due(10 * HOUR, seconds(5)), seconds(5));
        assert_eq!(pacer.due(11 * HOUR, seconds(5)), seconds(6));
        assert_eq!(pacer.due(11 * HOUR + HOUR / 2, seconds(5)), seconds(6) + Duration::from_millis(500));
        // However late it is by now.
        assert_eq!(pacer.due(12 * HOUR, seconds(100)), seconds(7));
        // Out of order: overdue.
        assert_eq!(pacer.due(9 * HOUR, seconds(100)), seconds(4));
    }

    #[test]
    fn at_speedup_0_everything_is_due_at_once() {
        let mut pacer = Pacer::new(0.0, seconds(1));
        for (event, now) in [(0, 0), (HOUR, 0), (1000 * HOUR, 7), (-HOUR, 9)] {
            assert_eq!(pacer.due(event, seconds(now)), seconds(now));
        }
    }

    #[test]
    fn a_gap_longer_than_the_longest_wait_is_cut_and_the_pace_after_it_is_kept() {
        let mut pacer = Pacer::new(1.0, seconds(60));
        assert_eq!(pacer.due(0, seconds(0)), seconds(0));
        assert_eq!(pacer.due(50_000, seconds(0)), seconds(50));
        assert_eq!(pacer.due(50_000 + HOUR, seconds(50)), seconds(110));
        assert_eq!(pacer.due(60_000 + HOUR, seconds(110)), seconds(120));
        assert_eq!(pacer.cut, (1, seconds(3540)));
    }

    #[test]
    fn events_that_were_read_ahead_do_not_make_a_gap() {
        let mut pacer = Pacer::new(1.0, seconds(60));
        for second in 0..1000_u32 {
            assert_eq!(pacer.due(i64::from(second) * 1000, seconds(0)), seconds(second.into()));
        }
        assert_eq!(pacer.cut.0, 0);
    }
}
