//! Points in time as text: RFC 3339 in UTC with whole seconds, `2026-01-01T00:00:00Z`, and nothing else of it.

use core::fmt;

use crate::time::UnixTime;

/// Seconds of a day; leap seconds do not exist in Unix time.
const DAY: u64 = 24 * 3600;
/// Days of the 400 years after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01. Counted from March, a leap day is the last day of its year.
const EPOCH_DAYS: u64 = 719_468;
/// 9999-12-31T23:59:59Z: the last second with a year of four digits.
pub(super) const LAST: UnixTime = UnixTime::from_secs(253_402_300_799);

/// Shows a point in time as a delegation writes it. A year after 9999 has more digits.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Timestamp(pub UnixTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.as_secs() / DAY, self.0.as_secs() % DAY);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// The date of a day since 1970, in the proleptic Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The days since 1970 of a date, which need not exist; `None` before 1970.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * ERA_DAYS + day_of_era).checked_sub(EPOCH_DAYS)
}

/// The point in time of `text`. A date or time of day that does not exist gives a point that is written otherwise, so the
/// caller compares.
pub(super) fn parse(text: &str) -> Option<UnixTime> {
    let bytes = text.as_bytes();
    if bytes.len() != "0000-00-00T00:00:00Z".len() {
        return None;
    }
    let number = |at: core::ops::Range<usize>| {
        bytes[at].iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
        })
    };
    let month = number(5..7).filter(|month| matches!(month, 1..=12))?;
    let days = days(number(0..4)?, month, number(8..10)?)?;
    let seconds = number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    Some(UnixTime::from_secs(days * DAY + seconds))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn shown(seconds: u64) -> alloc::string::String {
        Timestamp(UnixTime::from_secs(seconds)).to_string()
    }

    #[test]
    fn known_points_are_written_as_everybody_writes_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST.as_secs(), "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(shown(seconds), text);
            assert_eq!(parse(text), Some(UnixTime::from_secs(seconds)));
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_read_back() {
        for day in 0..ERA_DAYS {
            let at = UnixTime::from_secs(day * DAY + day % DAY);
            assert_eq!(parse(&Timestamp(at).to_string()), Some(at));
        }
    }

    #[test]
    fn what_does_not_exist_is_written_otherwise_or_not_read() {
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01t00:00:00Z",
            "2026-01-01T00:00:00z",
        ] {
            assert!(parse(text).is_none_or(|at| Timestamp(at).to_string() != text), "{text}");
        }
        for text in [
            "",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.0Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "+026-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
