//! Datetimes: from ISO 8601 text to milliseconds since 1970 UTC, and back.
//!
//! A time without a zone is taken as UTC. The Taxi & Limousine Commission publishes New York local
//! times without a zone: they are carried as they stand, so that partitions are local days and hours.
//!
//! The calendar is the proleptic Gregorian one. Every time lies in [`MIN_MS`]`..=`[`MAX_MS`].

use std::fmt;

use crate::digits::are_digits;

/// 0001-01-01T00:00:00.000Z in milliseconds since 1970 UTC, the earliest time there is.
pub const MIN_MS: i64 = -62_135_596_800_000;
/// 9999-12-31T23:59:59.999Z in milliseconds since 1970 UTC, the latest time there is.
pub const MAX_MS: i64 = 253_402_300_799_999;

const MS_PER_MINUTE: i64 = 60_000;
pub(crate) const MS_PER_HOUR: i64 = 3_600_000;
pub(crate) const MS_PER_DAY: i64 = 86_400_000;

/// Why a text is not a datetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatetimeError {
    /// It is not spelled as a datetime.
    #[error("not an ISO 8601 datetime such as 2018-01-01T00:35:40.000Z")]
    Malformed,
    /// A day, hour, minute, second or offset that there is not, such as 30 February or 24:00.
    #[error("no such day or time of day")]
    NoSuchTime,
    /// Before the year 1 or after the year 9999, UTC.
    #[error("outside the years 0001 to 9999")]
    OutOfRange,
}

/// Whether a time in milliseconds since 1970 UTC lies in the years 0001 to 9999.
#[must_use]
pub const fn in_range(ms: i64) -> bool {
    MIN_MS <= ms && ms <= MAX_MS
}

/// Parses `YYYY-MM-DD`, optionally followed by `T`, `t` or a space, `HH:MM`, optionally `:SS`,
/// optionally `.` and one to nine digits (cut to milliseconds), and optionally `Z`, `z`, `±HH:MM`,
/// `±HHMM` or `±HH`. Without a zone it is UTC. Returns milliseconds since 1970 UTC.
///
/// # Errors
/// [`DatetimeError`]. Leap seconds (`:60`) and `24:00` are refused.
pub fn parse(text: &[u8]) -> Result<i64, DatetimeError> {
    plain(text).map_or_else(|| general(text), Ok)
}

/// A time as most are spelled, `YYYY-MM-DDTHH:MM:SS.mmmZ`; `None` for any other, and for one that is none.
pub(crate) fn plain(text: &[u8]) -> Option<i64> {
    let words = <&[u8; 24]>::try_from(text).ok()?.as_chunks::<8>().0;
    let &[date, day_hour_minute, rest] = words else { return None };
    // A place is a digit's value where the spelling has a digit, and 0 where it has the same sign.
    let date = u64::from_le_bytes(date) ^ u64::from_le_bytes(*b"0000-00-");
    let clock = u64::from_le_bytes(day_hour_minute) ^ u64::from_le_bytes(*b"00T00:00");
    let rest = u64::from_le_bytes(rest) ^ u64::from_le_bytes(*b":00.000Z");
    const SIGNS: [u64; 3] = [
        u64::from_le_bytes([0, 0, 0, 0, 0xff, 0, 0, 0xff]),
        u64::from_le_bytes([0, 0, 0xff, 0, 0, 0xff, 0, 0]),
        u64::from_le_bytes([0xff, 0, 0, 0xff, 0, 0, 0, 0xff]),
    ];
    let other_signs = (date & SIGNS[0]) | (clock & SIGNS[1]) | (rest & SIGNS[2]);
    if other_signs != 0 || ![date, clock, rest].into_iter().all(are_digits) {
        return None;
    }
    // Two digits as a number, at the place of the first.
    let pairs = |word: u64| word.wrapping_mul(10).wrapping_add(word >> 8).to_le_bytes().map(i64::from);
    let [century, _, years, _, _, month, _, _] = pairs(date);
    let [day, _, _, hour, _, _, minute, _] = pairs(clock);
    let [_, second, _, _, centiseconds, _, _, _] = pairs(rest);
    let [.., milliseconds, _] = rest.to_le_bytes();
    let year = century * 100 + years;
    let sound = year > 0
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let time = hour * MS_PER_HOUR
        + minute * MS_PER_MINUTE
        + second * 1000
        + centiseconds * 10
        + i64::from(milliseconds);
    sound.then(|| days_from_civil(year, month, day) * MS_PER_DAY + time)
}

/// A time in any spelling.
fn general(text: &[u8]) -> Result<i64, DatetimeError> {
    let mut rest = Text(text);
    let year = rest.number(4)?;
    rest.byte(b'-')?;
    let month = rest.number(2)?;
    rest.byte(b'-')?;
    let day = rest.number(2)?;
    if year == 0 {
        return Err(DatetimeError::OutOfRange);
    }
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return Err(DatetimeError::NoSuchTime);
    }
    let mut ms = days_from_civil(year, month, day) * MS_PER_DAY;
    if rest.0.is_empty() {
        return Ok(ms);
    }
    if !matches!(rest.take()?, b'T' | b't' | b' ') {
        return Err(DatetimeError::Malformed);
    }
    let hour = rest.number(2)?;
    rest.byte(b':')?;
    let minute = rest.number(2)?;
    let mut second = 0;
    if rest.skip(b':') {
        second = rest.number(2)?;
        if rest.skip(b'.') {
            ms += rest.fraction()?;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err(DatetimeError::NoSuchTime);
    }
    ms += hour * MS_PER_HOUR + minute * MS_PER_MINUTE + second * 1000 - rest.offset()?;
    if in_range(ms) { Ok(ms) } else { Err(DatetimeError::OutOfRange) }
}

/// What is left of a datetime's text.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn take(&mut self) -> Result<u8, DatetimeError> {
        let (&byte, rest) = self.0.split_first().ok_or(DatetimeError::Malformed)?;
        self.0 = rest;
        Ok(byte)
    }

    fn byte(&mut self, wanted: u8) -> Result<(), DatetimeError> {
        if self.take()? == wanted { Ok(()) } else { Err(DatetimeError::Malformed) }
    }

    fn skip(&mut self, wanted: u8) -> bool {
        let found = self.0.first() == Some(&wanted);
        if found {
            self.0 = self.0.get(1..).unwrap_or_default();
        }
        found
    }

    fn number(&mut self, digits: usize) -> Result<i64, DatetimeError> {
        let mut number = 0;
        for _ in 0..digits {
            let byte = self.take()?;
            if !byte.is_ascii_digit() {
                return Err(DatetimeError::Malformed);
            }
            number = number * 10 + i64::from(byte - b'0');
        }
        Ok(number)
    }

    /// One to nine digits after the point, in whole milliseconds.
    fn fraction(&mut self) -> Result<i64, DatetimeError> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return Err(DatetimeError::Malformed);
        }
        let nanoseconds = self.number(digits)? * 10_i64.pow(9 - u32::try_from(digits).unwrap_or(9));
        Ok(nanoseconds / 1_000_000)
    }

    /// The zone's offset from UTC in milliseconds, with which the text ends.
    fn offset(&mut self) -> Result<i64, DatetimeError> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let sign = match self.take()? {
            b'Z' | b'z' => 0,
            b'+' => 1,
            b'-' => -1,
            _ => return Err(DatetimeError::Malformed),
        };
        let (mut hours, mut minutes) = (0, 0);
        if sign != 0 {
            hours = self.number(2)?;
            if self.skip(b':') || !self.0.is_empty() {
                minutes = self.number(2)?;
            }
        }
        match () {
            () if !self.0.is_empty() => Err(DatetimeError::Malformed),
            () if hours > 23 || minutes > 59 => Err(DatetimeError::NoSuchTime),
            () => Ok(sign * (hours * MS_PER_HOUR + minutes * MS_PER_MINUTE)),
        }
    }
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

// Both conversions count years from March, so that a leap day is a year's last, and days from
// 0000-03-01 in cycles of 400 years.
const DAYS_PER_CYCLE: i64 = 146_097;
const DAYS_TO_1970: i64 = 719_468;

const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, year_of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    cycle * DAYS_PER_CYCLE + day_of_cycle - DAYS_TO_1970
}

/// A time of the calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Civil {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999.
    pub millisecond: u16,
}

impl Civil {
    /// The calendar's time at `ms` milliseconds since 1970 UTC. Times outside [`MIN_MS`]`..=`[`MAX_MS`]
    /// are taken as the nearest within.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "each is within its bounds by arithmetic"
    )]
    pub const fn from_ms(ms: i64) -> Self {
        let ms = if ms < MIN_MS {
            MIN_MS
        } else if ms > MAX_MS {
            MAX_MS
        } else {
            ms
        };
        let (days, of_day) = (ms.div_euclid(MS_PER_DAY) + DAYS_TO_1970, ms.rem_euclid(MS_PER_DAY));
        let (cycle, day_of_cycle) = (days.div_euclid(DAYS_PER_CYCLE), days.rem_euclid(DAYS_PER_CYCLE));
        let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524
            - day_of_cycle / (DAYS_PER_CYCLE - 1))
            / 365;
        let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = cycle * 400 + year_of_cycle + (month <= 2) as i64;
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (of_day / MS_PER_HOUR) as u8,
            minute: (of_day / MS_PER_MINUTE % 60) as u8,
            second: (of_day / 1000 % 60) as u8,
            millisecond: (of_day % 1000) as u16,
        }
    }
}

impl fmt::Display for Civil {
    /// RFC 3339 with milliseconds: `2018-01-01T00:35:40.000Z`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, millisecond } = self;
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

/// RFC 3339 text, with milliseconds, of a time in milliseconds since 1970 UTC:
/// `2018-01-01T00:35:40.000Z`. Times out of range are taken as by [`Civil::from_ms`].
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    Civil::from_ms(ms).to_string()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate, SecondsFormat};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_spelling() {
        for (text, expected) in [
            ("2018-01-01T00:35:40.000Z", 1_514_766_940_000),
            ("2018-01-01t00:35:40z", 1_514_766_940_000),
            ("2018-01-01 00:35:40", 1_514_766_940_000),
            ("2018-01-01T00:35", 1_514_766_900_000),
            ("2018-01-01T00:35Z", 1_514_766_900_000),
            ("2018-01-01", 1_514_764_800_000),
            ("2018-01-01T00:35:40.1", 1_514_766_940_100),
            ("2018-01-01T00:35:40.123456789Z", 1_514_766_940_123),
            ("2018-01-01T00:35:40.999999999", 1_514_766_940_999),
            ("2018-01-01T02:35:40+02:00", 1_514_766_940_000),
            ("2017-12-31T19:35:40.5-0500", 1_514_766_940_500),
            ("2017-12-31T19:35-05", 1_514_766_900_000),
            ("1970-01-01T00:00:00-00:00", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2000-02-29", 951_782_400_000),
            ("0001-01-01", MIN_MS),
            ("9999-12-31T23:59:59.999999", MAX_MS),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        let cases: [(DatetimeError, &[&str]); 3] = [
            (
                DatetimeError::Malformed,
                &[
                    "",
                    "2018",
                    "2018-01",
                    "2018-1-01",
                    "18-01-01",
                    "+2018-01-01",
                    "2018/01/01",
                    "2018-01-01T",
                    "2018-01-01T00",
                    "2018-01-01T0035",
                    "2018-01-01X00:35",
                    "2018-01-01Z",
                    "2018-01-01T00:35:",
                    "2018-01-01T00:35:40.",
                    "2018-01-01T00:35:40.Z",
                    "2018-01-01T00:35:40,5",
                    "2018-01-01T00:35:40.1234567890",
                    "2018-01-01T00:35:40Z ",
                    " 2018-01-01",
                    "2018-01-01T00:35:40+",
                    "2018-01-01T00:35:40+2",
                    "2018-01-01T00:35:40+02:",
                    "2018-01-01T00:35:40+02:0",
                    "2018-01-01T00:35:40+020",
                    "2018-01-01T00:35:40+02:00:00",
                    "2018-01-01T00:35:40 UTC",
                    "２018-01-01",
                ],
            ),
            (
                DatetimeError::NoSuchTime,
                &[
                    "2018-00-01",
                    "2018-13-01",
                    "2018-01-00",
                    "2018-02-29",
                    "2018-02-30",
                    "1900-02-29",
                    "2018-04-31",
                    "2018-01-01T24:00",
                    "2018-01-01T00:60",
                    "2018-12-31T23:59:60Z",
                    "2018-01-01T00:00+24:00",
                    "2018-01-01T00:00+00:60",
                ],
            ),
            (DatetimeError::OutOfRange, &["0000-01-01", "0001-01-01T00:59+01:00", "9999-12-31T23:30-00:30"]),
        ];
        for (expected, texts) in cases {
            for text in texts {
                assert_eq!(parse(text.as_bytes()), Err(expected), "{text:?}");
            }
        }
    }

    #[test]
    fn times_out_of_range_are_taken_as_the_nearest_within() {
        assert_eq!(rfc3339(i64::MIN), "0001-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn agrees_with_chrono_and_with_itself(ms in prop_oneof![MIN_MS..=MAX_MS, -1_000_000_000_000..2_000_000_000_000_i64]) {
            let text = rfc3339(ms);
            let theirs = DateTime::from_timestamp_millis(ms).map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
            prop_assert_eq!(Some(&text), theirs.as_ref());
            prop_assert_eq!(parse(text.as_bytes()), Ok(ms));
        }

        #[test]
        fn knows_the_same_days_as_chrono(year in 1_i32..=9999, month in 0_u32..15, day in 0_u32..34) {
            let text = format!("{year:04}-{month:02}-{day:02}");
            let theirs = NaiveDate::from_ymd_opt(year, month, day)
                .map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis());
            prop_assert_eq!(parse(text.as_bytes()).ok(), theirs);
        }

        #[test]
        fn reads_offsets_as_chrono_does(ms in -1_000_000_000_000..4_000_000_000_000_i64, minutes in -1439..=1439_i32) {
            let Some((zone, time)) = chrono::FixedOffset::east_opt(minutes * 60).zip(DateTime::from_timestamp_millis(ms)) else {
                return Err(TestCaseError::fail("not a time"));
            };
            prop_assert_eq!(parse(time.with_timezone(&zone).to_rfc3339().as_bytes()), Ok(ms));
        }

        #[test]
        fn the_usual_spelling_is_read_like_any_other(
            text in "(000[0-2]|[0-9]{4})-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9][.:][0-9:]{3}Z",
        ) {
            prop_assert_eq!(plain(text.as_bytes()), general(text.as_bytes()).ok());
        }

        #[test]
        fn any_bytes_give_an_answer_in_range(text in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(ms) = parse(&text) {
                prop_assert!(in_range(ms));
            }
        }
    }
}
