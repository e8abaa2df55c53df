//! Alerts are raised once, cleared once, and never hover.

use proptest::prelude::*;

use super::*;

const GOOD: Reading = Reading {
    connected: true,
    latency: Duration::from_millis(3),
    error_percent: 0.0,
    quality: Quality::Excellent,
    failures: 0,
};
const LOST: Reading = Reading { connected: false, quality: Quality::Critical, failures: 1, ..GOOD };

fn at(seconds: u64) -> UnixMillis {
    seconds as UnixMillis * 1000
}

/// The events of these checks of one connection, by their name and kind.
fn events(readings: &[Reading]) -> Vec<(&'static str, AlertKind)> {
    let mut book = AlertBook::new(AlertLimits::default());
    for (second, reading) in (0..).zip(readings) {
        book.handle_check("web", reading, at(second));
    }
    named(&mut book)
}

fn named(book: &mut AlertBook) -> Vec<(&'static str, AlertKind)> {
    std::iter::from_fn(|| book.poll_event())
        .map(|event| match event {
            AlertEvent::Raised(alert) => ("raised", alert.kind),
            AlertEvent::Escalated(alert) => ("escalated", alert.kind),
            AlertEvent::Acknowledged(alert) => ("acknowledged", alert.kind),
            AlertEvent::Cleared(alert) => ("cleared", alert.kind),
        })
        .collect()
}

#[test]
fn a_condition_is_told_at_its_second_check_in_a_row() {
    use AlertKind::Disconnected;
    assert_eq!(events(&[LOST]), []);
    assert_eq!(events(&[LOST, GOOD, LOST]), []);
    assert_eq!(events(&[LOST, LOST]), [("raised", Disconnected)]);
    assert_eq!(events(&[LOST, LOST, LOST, GOOD]), [("raised", Disconnected), ("cleared", Disconnected)]);
}

#[test]
fn a_value_is_over_beyond_its_limit_and_cleared_at_four_fifths_of_it() {
    use AlertKind::Latency;
    let slow = |millis| Reading { latency: Duration::from_millis(millis), ..GOOD };
    assert_eq!(events(&[slow(5000), slow(5000)]), []);
    assert_eq!(events(&[slow(5001), slow(5001), slow(4001)]), [("raised", Latency)]);
    assert_eq!(events(&[slow(5001), slow(5001), slow(4000)]), [("raised", Latency), ("cleared", Latency)]);
    // What is between begins nothing, and ends a row.
    assert_eq!(events(&[slow(5001), slow(4500), slow(5001)]), []);
    let failing = |error_percent| Reading { error_percent, ..GOOD };
    assert_eq!(events(&[failing(10.0), failing(10.0)]), []);
    assert_eq!(events(&[failing(10.1), failing(10.1)]), [("raised", AlertKind::ErrorRate)]);
}

#[test]
fn failures_are_told_at_their_limit() {
    let failed = |failures| Reading { failures, ..GOOD };
    assert_eq!(events(&[failed(4), failed(4)]), []);
    assert_eq!(events(&[failed(5), failed(6)]), [("raised", AlertKind::Failures)]);
}

#[test]
fn what_lasts_is_escalated_once_unless_somebody_knows() {
    use AlertKind::Disconnected;
    let expected = [("raised", Disconnected), ("escalated", Disconnected)];
    assert_eq!(events(&[LOST; 4]), expected[..1]);
    assert_eq!(events(&[LOST; 9]), expected);
    let mut book = AlertBook::new(AlertLimits::default());
    (0..2).for_each(|second| book.handle_check("web", &LOST, at(second)));
    assert!(!book.acknowledge(2) && book.acknowledge(1) && book.acknowledge(1));
    (2..9).for_each(|second| book.handle_check("web", &LOST, at(second)));
    assert_eq!(named(&mut book), [("raised", Disconnected), ("acknowledged", Disconnected)]);
}

#[test]
fn a_connection_that_nobody_wants_any_more_has_no_alert() {
    let mut book = AlertBook::new(AlertLimits::default());
    (0..2).for_each(|second| {
        book.handle_check("web", &LOST, at(second));
        book.handle_check("api", &LOST, at(second));
    });
    book.remove_subject("web", at(3));
    assert_eq!(book.active().map(|alert| alert.subject.as_str()).collect::<Vec<_>>(), ["api"]);
    assert_eq!(book.history().map(|alert| alert.cleared_at).collect::<Vec<_>>(), [Some(at(3))]);
    assert_eq!((book.clear_history(), book.clear_history()), (1, 0));
}

#[test]
fn alerts_of_an_earlier_process_go_on_without_being_told_again() {
    let (mut first, limits) = (AlertBook::new(AlertLimits::default()), AlertLimits::default());
    (0..2).for_each(|second| first.handle_check("web", &LOST, at(second)));
    (0..2).for_each(|second| first.handle_check("api", &LOST, at(second)));
    (0..2).for_each(|second| first.handle_resources(1000.0, 0.0, at(second)));
    first.remove_subject("web", at(3));
    let kept: Vec<_> = first.history().chain(first.active()).cloned().collect();
    let mut second = AlertBook::new(limits);
    second.restore(kept);
    assert_eq!((second.active().count(), second.history().count()), (2, 1));
    second.handle_check("api", &LOST, at(10));
    assert_eq!(named(&mut second), [], "it was told");
    second.retain_subjects(|subject| subject == "api", at(11));
    assert_eq!(named(&mut second), [], "the process itself is no connection");
    second.handle_check("api", &GOOD, at(12));
    assert_eq!(named(&mut second), [("cleared", AlertKind::Disconnected)]);
    (20..22).for_each(|moment| second.handle_check("web", &LOST, at(moment)));
    assert_eq!(second.active().map(|alert| alert.id).max(), Some(4), "a number is used once");
    second.retain_subjects(|_| false, at(30));
    assert_eq!(second.active().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::Resources]);
}

#[test]
fn the_process_has_limits_too() {
    let mut book = AlertBook::new(AlertLimits::default());
    (0..2).for_each(|second| book.handle_resources(100.0, 80.0, at(second)));
    assert_eq!(book.poll_event(), None);
    (2..4).for_each(|second| book.handle_resources(100.5, 80.5, at(second)));
    assert_eq!(book.active().map(|alert| alert.subject.as_str()).collect::<Vec<_>>(), ["cpu", "memory"]);
    book.handle_resources(80.0, 64.0, at(4));
    assert_eq!(book.active().count(), 0);
}

#[test]
fn the_history_keeps_the_latest() {
    let mut book = AlertBook::new(AlertLimits::default());
    for round in 0..=MAX_HISTORY as u64 {
        [LOST, LOST, GOOD].iter().for_each(|reading| book.handle_check("web", reading, at(round)));
        let _told = named(&mut book);
    }
    assert_eq!(book.history().count(), MAX_HISTORY);
    assert_eq!(book.history().map(|alert| alert.id).min(), Some(2));
}

#[test]
fn whole_numbers_are_read_as_every_language_writes_them() {
    let read = |latency: &str| {
        let text = serde_json::to_string(&AlertLimits::default()).expect("JSON");
        let text = text.replace("\"maxLatencyMs\":5000", &format!("\"maxLatencyMs\":{latency}"));
        serde_json::from_str::<AlertLimits>(&text).ok().map(|limits| limits.max_latency_ms)
    };
    for (text, number) in
        [("7", Some(7)), ("7.0", Some(7)), ("4294967295", Some(u32::MAX)), ("4294967295.0", Some(u32::MAX))]
    {
        assert_eq!(read(text), number, "{text}");
    }
    for wrong in ["7.5", "-1", "4294967296", "\"7\"", "1e300"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn limits_that_tell_always_or_never_are_refused() {
    assert_eq!(AlertLimits::default().check(), Ok(()));
    let latency = AlertLimits { max_latency_ms: 0, ..AlertLimits::default() };
    assert_eq!(latency.check(), Err(AlertLimitsError::Zero("maxLatencyMs")));
    for (rate, fine) in [(0.0, false), (0.1, true), (100.0, true), (100.1, false), (f64::NAN, false)] {
        let limits = AlertLimits { max_error_rate: rate, ..AlertLimits::default() };
        assert_eq!(limits.check().is_ok(), fine, "{rate}");
    }
}

proptest! {
    #[test]
    fn every_alert_is_raised_once_and_cleared_at_most_once(
        steps in prop::collection::vec((0_usize..3, any::<bool>(), 0_u64..7000, 0.0_f64..15.0, 0_u32..8, 0_u8..20), 0..200),
    ) {
        let mut book = AlertBook::new(AlertLimits::default());
        let mut holding = std::collections::BTreeSet::new();
        for (second, (subject, connected, millis, error_percent, failures, what)) in (0..).zip(steps) {
            let subject = ["a", "b", "c"][subject];
            let latency = Duration::from_millis(millis);
            let quality = Quality::new(connected, latency, error_percent);
            let reading = Reading { connected, latency, error_percent, quality, failures };
            match what {
                0 => book.remove_subject(subject, at(second)),
                1 => { book.acknowledge(second); }
                _ => book.handle_check(subject, &reading, at(second)),
            }
            while let Some(event) = book.poll_event() {
                match event {
                    AlertEvent::Raised(alert) => prop_assert!(holding.insert((alert.subject, alert.kind))),
                    AlertEvent::Cleared(alert) => prop_assert!(holding.remove(&(alert.subject, alert.kind))),
                    AlertEvent::Escalated(alert) | AlertEvent::Acknowledged(alert) => {
                        prop_assert!(holding.contains(&(alert.subject, alert.kind)));
                    }
                }
            }
            let active: std::collections::BTreeSet<_> =
                book.active().map(|alert| (alert.subject.clone(), alert.kind)).collect();
            prop_assert_eq!(&active, &holding);
            prop_assert_eq!(book.active, holding.len());
        }
    }
}
