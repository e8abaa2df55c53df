//! Timestamps in the format of each system. All are UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// A date and time of the Gregorian calendar.
struct Moment {
    year: u64,
    month: u64,
    day: u64,
    second: u64,
    micros: u32,
}

impl Moment {
    fn new(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years that begin in March, eras of 400 years.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, carried) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        Self { year: era * 400 + year_of_era + carried, month, day, second, micros: since.subsec_micros() }
    }

    fn seconds(&self) -> String {
        let Self { year, month, day, second, .. } = self;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// As HVYM writes it: `2026-11-21T09:50:13.991462+00:00`.
pub(super) fn with_zone(at: SystemTime) -> String {
    format!("{}+00:00", without_zone(at))
}

/// As Tunely writes it: `2026-11-21T09:50:13.991462`.
pub(super) fn without_zone(at: SystemTime) -> String {
    let moment = Moment::new(at);
    format!("{}.{:06}", moment.seconds(), moment.micros)
}

/// As Tunely writes what its database set: `2026-11-21T09:50:13`.
pub(super) fn whole_seconds(at: SystemTime) -> String {
    Moment::new(at).seconds()
}

/// As JavaScript writes it: `2026-11-21T09:50:13.991Z`.
pub(super) fn javascript(at: SystemTime) -> String {
    let moment = Moment::new(at);
    format!("{}.{:03}Z", moment.seconds(), moment.micros / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_its_date() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_795_254_613, "2026-11-21T09:50:13"),
            (4_107_542_399, "2100-02-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(Moment::new(at).seconds(), date);
        }
    }

    #[test]
    fn each_system_has_its_spelling() {
        let at = UNIX_EPOCH + Duration::from_micros(1_795_254_613_001_462);
        assert_eq!(with_zone(at), "2026-11-21T09:50:13.001462+00:00");
        assert_eq!(without_zone(at), "2026-11-21T09:50:13.001462");
        assert_eq!(whole_seconds(at), "2026-11-21T09:50:13");
        assert_eq!(javascript(at), "2026-11-21T09:50:13.001Z");
    }
}
