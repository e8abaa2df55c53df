//! Which share of the last day and week something was up, in constant memory: one entry for each hour.
//!
//! Reads no clock.

use hvym_tunnel_core::time::Instant;

const HOUR_MICROS: u64 = 3600 * 1_000_000;
/// A week.
const HOURS: usize = 7 * 24;

/// Hours of a day.
pub const DAY: usize = 24;
/// Hours of a week, as long as anything is remembered.
pub const WEEK: usize = HOURS;

/// The time of one hour, microseconds.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
struct Hour {
    /// Which one, counted from the start of the clock.
    number: u64,
    up: u64,
    observed: u64,
}

/// When something was up.
#[derive(Clone, Debug)]
pub struct Uptime {
    hours: Box<[Hour; HOURS]>,
    state: Option<bool>,
    since: Instant,
}

impl Uptime {
    /// Nothing is known yet.
    pub fn new(now: Instant) -> Self {
        Self { hours: Box::new([Hour::default(); HOURS]), state: None, since: now }
    }

    /// It is up, or not, from now on; `None` if nobody is to count.
    pub fn set(&mut self, state: Option<bool>, now: Instant) {
        self.advance(now);
        self.state = state;
    }

    /// Percent of the last `hours` that it was up, of the time that was counted; `None` if none was.
    pub fn percent(&mut self, hours: usize, now: Instant) -> Option<f64> {
        self.advance(now);
        let this = now.as_micros() / HOUR_MICROS;
        let recent = self.hours.iter().filter(|hour| this - hour.number.min(this) < hours as u64);
        let (up, observed) =
            recent.fold((0, 0), |(up, observed), hour| (up + hour.up, observed + hour.observed));
        (observed > 0).then(|| 100.0 * up as f64 / observed as f64)
    }

    fn advance(&mut self, now: Instant) {
        let (mut from, until) = (self.since.as_micros(), now.as_micros().max(self.since.as_micros()));
        self.since = Instant::from_micros(until);
        let Some(is_up) = self.state else { return };
        // What is older than a week is not looked at.
        from = from.max(until.saturating_sub(HOUR_MICROS * HOURS as u64));
        while from < until {
            let number = from / HOUR_MICROS;
            let end = ((number + 1) * HOUR_MICROS).min(until);
            let entry = &mut self.hours[(number % HOURS as u64) as usize];
            if entry.number != number {
                *entry = Hour { number, ..Hour::default() };
            }
            entry.observed += end - from;
            entry.up += if is_up { end - from } else { 0 };
            from = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn time_that_nobody_counted_is_neither_up_nor_down() {
        let mut uptime = Uptime::new(at(0));
        assert_eq!(uptime.percent(DAY, at(100)), None);
        uptime.set(Some(true), at(100));
        uptime.set(Some(false), at(175));
        uptime.set(None, at(200));
        assert_eq!(uptime.percent(DAY, at(5000)), Some(75.0));
    }

    #[test]
    fn a_day_forgets_what_a_week_still_knows() {
        let (mut uptime, hour) = (Uptime::new(at(0)), 3600);
        uptime.set(Some(false), at(0));
        uptime.set(Some(true), at(hour));
        assert_eq!(uptime.percent(DAY, at(24 * hour)), Some(100.0));
        let week = uptime.percent(WEEK, at(24 * hour)).expect("a day was counted");
        assert!((week - 100.0 * 23.0 / 24.0).abs() < 1e-9, "{week}");
        assert_eq!(uptime.percent(WEEK, at(24 * hour * 30)), Some(100.0));
    }

    proptest! {
        #[test]
        fn it_agrees_with_counting_every_minute(steps in prop::collection::vec((0_u64..700, any::<Option<bool>>()), 1..40)) {
            let (mut uptime, mut now, mut state) = (Uptime::new(at(0)), 0, None);
            let mut minutes = Vec::new();
            for (length, next) in steps {
                minutes.extend((0..length).map(|minute| (now + minute * 60, state)));
                now += length * 60;
                state = next;
                uptime.set(next, at(now));
            }
            for hours in [DAY, WEEK] {
                let first = (now / 3600).saturating_sub(hours as u64 - 1) * 3600;
                let counted: Vec<_> = minutes.iter().filter(|(at, _)| *at >= first).filter_map(|(_, up)| *up).collect();
                let up = counted.iter().filter(|up| **up).count();
                let expected = (!counted.is_empty()).then(|| 100.0 * up as f64 / counted.len() as f64);
                let found = uptime.percent(hours, at(now));
                prop_assert_eq!(found.is_some(), expected.is_some());
                prop_assert!((found.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-6);
            }
        }
    }
}
