//! Until when a partition is: the end of the hour, day, month or year that its path names.

use crate::pipeline::{PartitionKey, PartitionSource, TimePart};
use crate::time::{self, MS_PER_DAY, MS_PER_HOUR};

/// The levels of a table's partitions that are parts of the event time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLevels {
    year: String,
    month: Option<String>,
    day: Option<String>,
    hour: Option<String>,
}

impl TimeLevels {
    /// The levels among a table's partition keys; `None` where they do not tell a year, so that no
    /// partition ever ends. What follows a part that is left out does not count: in
    /// `year=2019/month=03/hour=20` such hours come again until the month is over.
    #[must_use]
    pub fn of(keys: &[PartitionKey]) -> Option<Self> {
        let level = |part| {
            let found = keys.iter().find(|key| key.source == PartitionSource::Time(part));
            found.map(|key| key.name.clone())
        };
        let year = level(TimePart::Year)?;
        let month = level(TimePart::Month);
        let day = level(TimePart::Day).filter(|_| month.is_some());
        let hour = level(TimePart::Hour).filter(|_| day.is_some());
        Some(Self { year, month, day, hour })
    }

    /// The first millisecond after the time of the partition at `path`; `None` where the path has
    /// other levels, as those of an older pipeline file may.
    #[must_use]
    pub fn end_ms(&self, path: &str) -> Option<i64> {
        let value = |name: &str| -> Option<u16> {
            let level = path.split('/').find_map(|level| level.strip_prefix(name)?.strip_prefix('='));
            level?.parse().ok()
        };
        let year = value(&self.year)?;
        let Some(month) = &self.month else { return begin_ms(year.checked_add(1)?, 1, 1) };
        let month = value(month)?;
        let Some(day) = &self.day else {
            return if month < 12 {
                begin_ms(year, month + 1, 1)
            } else {
                begin_ms(year.checked_add(1)?, 1, 1)
            };
        };
        let day_ms = begin_ms(year, month, value(day)?)?;
        let Some(hour) = &self.hour else { return Some(day_ms + MS_PER_DAY) };
        let hour = value(hour).filter(|hour| *hour < 24)?;
        Some(day_ms + (i64::from(hour) + 1) * MS_PER_HOUR)
    }
}

fn begin_ms(year: u16, month: u16, day: u16) -> Option<i64> {
    time::parse(format!("{year:04}-{month:02}-{day:02}").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn levels(parts: &[TimePart]) -> Option<TimeLevels> {
        let key = |part: &TimePart| PartitionKey {
            name: format!("{part:?}").to_lowercase(),
            source: PartitionSource::Time(*part),
            slugs: BTreeMap::new(),
        };
        TimeLevels::of(&parts.iter().map(key).collect::<Vec<_>>())
    }

    #[test]
    fn a_partition_ends_with_the_finest_time_that_its_path_tells() {
        use TimePart::{Day, Hour, Month, Year};
        for (parts, path, end) in [
            (&[Year, Month, Day, Hour][..], "area=x/year=2019/month=03/day=31/hour=23", "2019-04-01"),
            (&[Year, Month, Day, Hour], "year=2019/month=03/day=31/hour=05", "2019-03-31T06:00"),
            (&[Year, Month, Day], "year=2020/month=02/day=29/area=day=1", "2020-03-01"),
            (&[Year, Month], "year=2019/month=12", "2020-01-01"),
            (&[Hour, Year, Month], "hour=07/year=2019/month=11", "2019-12-01"),
            (&[Year, Hour], "year=2019/hour=07", "2020-01-01"),
        ] {
            let ends = levels(parts).and_then(|levels| levels.end_ms(path));
            assert_eq!(ends, time::parse(end.as_bytes()).ok(), "{path}");
        }
    }

    #[test]
    fn a_partition_without_a_time_of_its_own_never_ends() {
        use TimePart::{Day, Hour, Month, Year};
        assert_eq!(levels(&[Hour, Day, Month]), None);
        let hourly = levels(&[Year, Month, Day, Hour]);
        for path in [
            "",
            "year=2019",
            "year=2019/month=02/day=30/hour=01",
            "year=2019/month=02/day=03/hour=24",
            "year=x/month=02/day=03/hour=01",
            "myyear=2019/month=02/day=03/hour=01",
        ] {
            assert_eq!(hourly.as_ref().and_then(|levels| levels.end_ms(path)), None, "{path}");
        }
        let yearly = levels(&[Year]);
        for path in ["year=9999", "year=65535", "year=70000"] {
            assert_eq!(yearly.as_ref().and_then(|levels| levels.end_ms(path)), None, "{path}");
        }
    }
}
