//! Points in time as orchestrators see them: UTC, microseconds, no clock.

use std::fmt;

/// Microseconds since 1970-01-01T00:00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_EPOCH: i64 = 719_468;
const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

impl Timestamp {
    /// 1970-01-01T00:00:00.
    pub const EPOCH: Self = Self(0);
    /// What an orchestrator's clock shows before its first turn: 1000-01-01T00:00:00.
    pub const BEFORE_START: Self = Self(-30_610_224_000 * MICROS_PER_SECOND);
    /// 0001-01-01T00:00:00, the first that a `google.protobuf.Timestamp` and a Python `datetime` can hold.
    pub const MIN: Self = Self(-62_135_596_800 * MICROS_PER_SECOND);
    /// 9999-12-31T23:59:59.999999, the last that they can hold.
    pub const MAX: Self = Self(253_402_300_800 * MICROS_PER_SECOND - 1);

    /// From the two numbers of a `google.protobuf.Timestamp`, cut to microseconds and to the range that one can hold.
    #[must_use]
    pub fn from_parts(seconds: i64, nanos: i32) -> Self {
        let micros = seconds.saturating_mul(MICROS_PER_SECOND).saturating_add(i64::from(nanos / 1_000));
        Self::from_micros(micros)
    }

    /// From microseconds since the epoch, cut to the range that a timestamp can hold.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, and the nanoseconds after them, as `google.protobuf.Timestamp` has them.
    #[must_use]
    pub fn parts(self) -> (i64, i32) {
        let nanos = self.0.rem_euclid(MICROS_PER_SECOND) * 1_000;
        #[allow(clippy::cast_possible_truncation, reason = "below one thousand million")]
        (self.0.div_euclid(MICROS_PER_SECOND), nanos as i32)
    }

    /// This much later, or `None` beyond the year 9999.
    #[must_use]
    pub fn checked_add(self, micros: i64) -> Option<Self> {
        let sum = self.0.checked_add(micros)?;
        (Self::MIN.0..=Self::MAX.0).contains(&sum).then_some(Self(sum))
    }

    /// Year, month, day (proleptic Gregorian), and seconds into the day.
    fn civil(self) -> (i64, i64, i64, i64) {
        let seconds = self.0.div_euclid(MICROS_PER_SECOND);
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        // Years that begin in March put the leap day last, so that each 400-year era has the same shape.
        let days = seconds.div_euclid(SECONDS_PER_DAY) + DAYS_TO_EPOCH;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        (year, month, day, second_of_day)
    }
}

/// ISO 8601 without a zone, and without a fraction where there is none: the text that deterministic ids are made from.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, second) = self.civil();
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match self.0.rem_euclid(MICROS_PER_SECOND) {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}

/// A length of time for people: microseconds as seconds, with no more digits than it takes.
pub(crate) fn in_seconds(micros: i64) -> String {
    let (whole, fraction) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
    if fraction == 0 {
        return format!("{whole} s");
    }
    let fraction = format!("{fraction:06}");
    format!("{whole}.{} s", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, in_seconds};

    #[test]
    fn lengths_are_told_in_seconds_without_idle_zeros() {
        assert_eq!([1, 1_500_000, 90_000_000].map(in_seconds), ["0.000001 s", "1.5 s", "90 s"]);
    }

    #[test]
    fn text_is_iso_8601_with_microseconds_only_where_there_are_any() {
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00");
        assert_eq!(Timestamp::from_parts(1_795_360_446, 816_478_139).to_string(), "2026-11-22T15:14:06.816478");
        assert_eq!(Timestamp::from_parts(951_782_400, 1_000).to_string(), "2000-02-29T00:00:00.000001");
        assert_eq!(Timestamp::BEFORE_START.to_string(), "1000-01-01T00:00:00");
        assert_eq!(Timestamp::MIN.to_string(), "0001-01-01T00:00:00");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999");
    }

    #[test]
    fn parts_before_the_epoch_count_nanoseconds_upwards() {
        assert_eq!(Timestamp::from_micros(-1).parts(), (-1, 999_999_000));
        assert_eq!(Timestamp::from_parts(-1, 999_999_999).micros(), -1);
    }

    #[test]
    fn impossible_timestamps_are_cut_to_the_range() {
        assert_eq!(Timestamp::from_parts(i64::MAX, i32::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::from_parts(i64::MIN, i32::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::MAX.checked_add(1), None);
        assert_eq!(Timestamp::MIN.checked_add(i64::MIN), None);
    }
}
