//! How a span of time is cut, so that a chart of it can be read.

use tripline_model::time::Civil;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Lengths of a column, in words.
const STEPS: [(i64, &str); 10] = [
    (1_000, "second"),
    (10_000, "10 seconds"),
    (MINUTE_MS, "minute"),
    (10 * MINUTE_MS, "10 minutes"),
    (HOUR_MS, "hour"),
    (6 * HOUR_MS, "6 hours"),
    (DAY_MS, "day"),
    (7 * DAY_MS, "week"),
    (30 * DAY_MS, "30 days"),
    (365 * DAY_MS, "365 days"),
];

/// More columns than this cannot be told from each other.
const COLUMNS: i64 = 240;

/// Columns of equal length from `first_ms` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeAxis {
    first_ms: i64,
    step_ms: i64,
    /// A column's length in words.
    pub(super) step: &'static str,
    /// The number of columns.
    pub(super) columns: usize,
}

impl TimeAxis {
    /// The shortest columns, none shorter than `least_ms`, that go from the first time to the last.
    pub(super) fn over(first_ms: i64, last_ms: i64, least_ms: i64) -> Self {
        let fits = |step: i64| last_ms.div_euclid(step).saturating_sub(first_ms.div_euclid(step)) < COLUMNS;
        let fitting = STEPS.into_iter().find(|&(step, _)| step >= least_ms && fits(step));
        let (step_ms, step) = fitting.unwrap_or((365 * DAY_MS, "365 days"));
        let first = first_ms.div_euclid(step_ms);
        let columns = last_ms.div_euclid(step_ms).saturating_sub(first).saturating_add(1);
        let columns = usize::try_from(columns.min(10 * COLUMNS)).unwrap_or(1);
        Self { first_ms: first.saturating_mul(step_ms), step_ms, step, columns }
    }

    /// A time's column.
    pub(super) fn column(&self, ms: i64) -> usize {
        let column = ms.saturating_sub(self.first_ms).div_euclid(self.step_ms).max(0);
        usize::try_from(column).unwrap_or(usize::MAX).min(self.columns.saturating_sub(1))
    }

    /// What a column is called: the time at which it begins, as short as its length allows.
    pub(super) fn name(&self, column: usize) -> String {
        let column = i64::try_from(column).unwrap_or(i64::MAX);
        let time =
            Civil::from_ms(self.first_ms.saturating_add(self.step_ms.saturating_mul(column))).to_string();
        let length = match self.step_ms {
            ..MINUTE_MS => 19,
            MINUTE_MS..DAY_MS => 16,
            _ => 10,
        };
        time.get(..length).unwrap_or(&time).replace('T', " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_short_as_can_be_read() {
        let of = |days: i64| TimeAxis::over(0, days * DAY_MS - 1, HOUR_MS);
        for (days, step, columns) in [
            (1, "hour", 24),
            (10, "hour", 240),
            (31, "6 hours", 124),
            (90, "day", 90),
            (4_000, "30 days", 134),
        ] {
            assert_eq!((of(days).step, of(days).columns), (step, columns), "{days} days");
        }
        assert_eq!(TimeAxis::over(5, 5, 1).columns, 1);
    }

    #[test]
    fn a_time_is_in_the_column_that_has_its_name() {
        let axis = TimeAxis::over(1_551_396_543_000, 1_551_396_543_000 + 30 * DAY_MS, HOUR_MS);
        assert_eq!((axis.step, axis.name(0).as_str()), ("6 hours", "2019-02-28 18:00"));
        assert_eq!(axis.column(1_551_396_543_000 + 6 * HOUR_MS), 1);
        assert_eq!(axis.column(i64::MIN), 0);
        assert_eq!(axis.column(i64::MAX), axis.columns - 1);
    }

    #[test]
    fn a_wild_clock_makes_no_endless_axis() {
        let axis = TimeAxis::over(i64::MIN / 2, i64::MAX / 2, HOUR_MS);
        assert!(axis.columns <= 10 * COLUMNS as usize);
    }
}
