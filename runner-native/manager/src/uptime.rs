//! Which share of the last day and week something was up, in constant memory: one entry for each hour.
//!
//! Reads no clock.

use hvym_tunnel_state::{UnixMillis, UptimeHour};

const HOUR_MILLIS: i64 = 3_600_000;
/// A week.
const HOURS: usize = 7 * 24;
/// Between two looks at a connection there is no more, so that the machine slept, or its clock was set: twice the longest interval
/// between two checks.
const MAX_GAP_MILLIS: i64 = 600_000;

/// Hours of a day.
pub const DAY: usize = 24;
/// Hours of a week, as long as anything is remembered.
pub const WEEK: usize = HOURS;

/// The time of one hour, milliseconds.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
struct Hour {
    /// Which one, counted from 1970.
    number: i64,
    up: i64,
    observed: i64,
}

/// When something was up.
#[derive(Clone, Debug)]
pub struct Uptime {
    hours: Box<[Hour; HOURS]>,
    state: Option<bool>,
    since: UnixMillis,
}

impl Uptime {
    /// Nothing is known yet.
    pub fn new(now: UnixMillis) -> Self {
        Self { hours: Box::new([Hour::default(); HOURS]), state: None, since: now }
    }

    /// What an earlier process knew of one hour.
    pub fn restore(&mut self, hour: &UptimeHour) {
        let (up, observed) = (hour.up_ms.clamp(0, HOUR_MILLIS), hour.observed_ms.clamp(0, HOUR_MILLIS));
        *self.entry(hour.hour) = Hour { number: hour.hour, up: up.min(observed), observed };
    }

    /// It is up, or not, from now on; `None` if nobody is to count.
    pub fn set(&mut self, state: Option<bool>, now: UnixMillis) {
        self.advance(now);
        self.state = state;
    }

    /// Percent of the last `hours` that it was up, of the time that was counted; `None` if none was.
    pub fn percent(&mut self, hours: usize, now: UnixMillis) -> Option<f64> {
        self.advance(now);
        let this = now.div_euclid(HOUR_MILLIS);
        let is_recent = |hour: &&Hour| (0..hours as i64).contains(&(this - hour.number));
        let (up, observed) = self
            .hours
            .iter()
            .filter(is_recent)
            .fold((0, 0), |(up, observed), hour| (up + hour.up, observed + hour.observed));
        (observed > 0).then(|| 100.0 * up as f64 / observed as f64)
    }

    /// What is to be kept of `subject`: this hour and the one before, since what is older was kept already.
    pub fn recent(&mut self, subject: &str, now: UnixMillis) -> Vec<UptimeHour> {
        self.advance(now);
        let this = now.div_euclid(HOUR_MILLIS);
        let known = [this - 1, this].map(|number| *self.entry(number)).into_iter().zip([this - 1, this]);
        let known = known.filter(|(hour, number)| hour.number == *number && hour.observed > 0);
        known
            .map(|(hour, number)| UptimeHour {
                subject: subject.to_owned(),
                hour: number,
                up_ms: hour.up,
                observed_ms: hour.observed,
            })
            .collect()
    }

    fn entry(&mut self, number: i64) -> &mut Hour {
        &mut self.hours[number.rem_euclid(HOURS as i64) as usize]
    }

    fn advance(&mut self, now: UnixMillis) {
        let (mut from, until) = (self.since, now);
        self.since = now;
        let Some(is_up) = self.state.filter(|_| until - from <= MAX_GAP_MILLIS) else { return };
        while from < until {
            let number = from.div_euclid(HOUR_MILLIS);
            let end = ((number + 1) * HOUR_MILLIS).min(until);
            let entry = self.entry(number);
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

    /// Some day of 2027, at the beginning of an hour.
    const START: UnixMillis = 500_000 * HOUR_MILLIS;
    const MINUTE: i64 = 60_000;

    fn at(seconds: i64) -> UnixMillis {
        START + seconds * 1000
    }

    /// It is `state` for some minutes, and looked at in each.
    fn pass(uptime: &mut Uptime, state: Option<bool>, now: &mut UnixMillis, minutes: i64) {
        uptime.set(state, *now);
        for _ in 0..minutes {
            *now += MINUTE;
            uptime.set(state, *now);
        }
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
    fn a_machine_that_sleeps_and_a_clock_that_is_set_count_nothing() {
        let mut uptime = Uptime::new(at(0));
        uptime.set(Some(false), at(0));
        uptime.set(Some(true), at(600));
        assert_eq!(uptime.percent(DAY, at(600)), Some(0.0), "ten minutes are counted");
        uptime.set(Some(true), at(1201));
        assert_eq!(uptime.percent(DAY, at(1201)), Some(0.0), "more are not");
        uptime.set(Some(true), at(901));
        uptime.set(Some(true), at(1501));
        assert_eq!(uptime.percent(DAY, at(1501)), Some(50.0), "it goes on from a time that was set back");
    }

    #[test]
    fn a_day_forgets_what_a_week_still_knows() {
        let (mut uptime, mut now) = (Uptime::new(at(0)), at(0));
        pass(&mut uptime, Some(false), &mut now, 60);
        pass(&mut uptime, Some(true), &mut now, 23 * 60);
        assert_eq!(uptime.percent(DAY, now), Some(100.0));
        let week = uptime.percent(WEEK, now).expect("a day was counted");
        assert!((week - 100.0 * 23.0 / 24.0).abs() < 1e-9, "{week}");
        uptime.set(None, now);
        assert_eq!(uptime.percent(WEEK, now + 30 * 24 * HOUR_MILLIS), None);
    }

    #[test]
    fn another_process_goes_on_where_one_ended() {
        let (mut first, mut now) = (Uptime::new(at(0)), at(0));
        pass(&mut first, Some(false), &mut now, 90);
        let kept = first.recent("web", now);
        assert_eq!(kept.iter().map(|hour| hour.observed_ms).collect::<Vec<_>>(), [60 * MINUTE, 30 * MINUTE]);
        let mut second = Uptime::new(now);
        kept.iter().for_each(|hour| second.restore(hour));
        assert_eq!(second.percent(DAY, now), Some(0.0));
        pass(&mut second, Some(true), &mut now, 30);
        assert_eq!(second.percent(DAY, now), Some(25.0));
        assert_eq!(second.recent("web", now).len(), 1, "an hour has just begun");
        let damaged =
            UptimeHour { hour: kept[0].hour, up_ms: i64::MAX, observed_ms: -1, ..UptimeHour::default() };
        second.restore(&damaged);
        assert!(second.percent(DAY, now).is_some_and(|percent| (0.0..=100.0).contains(&percent)));
    }

    proptest! {
        #[test]
        fn it_agrees_with_counting_every_minute(steps in prop::collection::vec((0_i64..700, any::<Option<bool>>()), 1..40)) {
            let (mut uptime, mut now) = (Uptime::new(START), START);
            let mut minutes = Vec::new();
            for (length, state) in steps {
                minutes.extend((0..length).map(|minute| (now + minute * MINUTE, state)));
                pass(&mut uptime, state, &mut now, length);
            }
            for hours in [DAY, WEEK] {
                let first = (now / HOUR_MILLIS - hours as i64 + 1) * HOUR_MILLIS;
                let counted: Vec<_> = minutes.iter().filter(|(at, _)| *at >= first).filter_map(|(_, up)| *up).collect();
                let up = counted.iter().filter(|up| **up).count();
                let expected = (!counted.is_empty()).then(|| 100.0 * up as f64 / counted.len() as f64);
                let found = uptime.percent(hours, now);
                prop_assert_eq!(found.is_some(), expected.is_some());
                prop_assert!((found.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-6);
            }
        }
    }
}
