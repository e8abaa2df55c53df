//! The schedule: waits, budgets and renewals, by the hour and by the week.

use super::*;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

fn started(schedule: &mut Schedule, now: u64) -> Vec<String> {
    std::iter::from_fn(|| schedule.poll_start(now)).collect()
}

fn issue(schedule: &mut Schedule, name: &str, now: u64) {
    schedule.handle_issued(name, now);
    schedule.handle_present(name, now, now + 90 * DAY, 0);
}

#[test]
fn a_wanted_certificate_is_ordered_once() {
    let mut schedule = Schedule::default();
    assert_eq!(schedule.poll_timeout(NOW), None);
    assert_eq!(schedule.want("a", NOW), WishResult::Accepted);
    assert_eq!(schedule.poll_timeout(NOW), Some(0));
    assert_eq!(started(&mut schedule, NOW), ["a"]);
    assert_eq!(schedule.want("a", NOW), WishResult::Accepted);
    assert_eq!((started(&mut schedule, NOW), schedule.poll_timeout(NOW)), (vec![], None));
}

#[test]
fn only_some_orders_are_in_progress_at_once() {
    let mut schedule = Schedule::default();
    for name in ["a", "b", "c", "d", "e"] {
        schedule.want(name, NOW);
    }
    assert_eq!(started(&mut schedule, NOW).len(), MAX_IN_PROGRESS);
    assert_eq!(schedule.poll_timeout(NOW), None);
    issue(&mut schedule, "b", NOW);
    assert_eq!(started(&mut schedule, NOW), ["e"]);
}

#[test]
fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
    for (jitter, late) in [(0, 0), (u16::MAX, 90 * DAY / JITTER_PARTS)] {
        let mut schedule = Schedule::default();
        schedule.handle_present("a", NOW, NOW + 90 * DAY, jitter);
        let at = NOW + 60 * DAY + late;
        assert_eq!(schedule.poll_timeout(NOW), Some(at));
        assert_eq!(started(&mut schedule, at - 1), Vec::<String>::new());
        assert_eq!(started(&mut schedule, at), ["a"]);
        assert!(at < NOW + 90 * DAY * 3 / 4, "a quarter of the life is left");
    }
}

#[test]
fn waits_grow_from_failure_to_failure_and_not_beyond_a_day() {
    let mut schedule = Schedule::default();
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..8 {
        schedule.want("a", now);
        assert_eq!(started(&mut schedule, now), ["a"]);
        let again = schedule.handle_failed("a", None, now);
        assert_eq!(schedule.want("a", now), WishResult::Later(again));
        assert_eq!(started(&mut schedule, again - 1), Vec::<String>::new());
        waits.push(again - now);
        now = again;
    }
    assert_eq!(waits, [300, 900, 2700, 8100, 24_300, 72_900, DAY, DAY]);
    // Of a name an hour, Let's Encrypt takes five.
    assert!(waits[..2].iter().sum::<u64>() < 3600 && waits[..3].iter().sum::<u64>() > 3600);
    issue(&mut schedule, "a", now);
    assert_eq!(schedule.handle_failed("a", None, now) - now, 300);
}

#[test]
fn an_authority_is_asked_again_when_it_wants_and_the_operator_sooner() {
    let mut schedule = Schedule::default();
    schedule.want("a", NOW);
    for (asked, waited) in [(10, 300), (5000, 5000), (u64::MAX, WEEK)] {
        started(&mut schedule, NOW);
        assert_eq!(schedule.handle_failed("a", Some(asked), NOW), NOW + waited);
        schedule.retry_all();
        assert_eq!(started(&mut schedule, NOW), ["a"]);
        schedule.handle_issued("a", NOW - WEEK);
    }
}

#[test]
fn a_week_has_a_budget_for_new_names_and_one_for_the_same() {
    let mut schedule = Schedule::default();
    for at in 0..WEEKLY_NEW {
        let name = format!("n{at}");
        assert_eq!(schedule.want(&name, NOW + at as u64), WishResult::Accepted);
        assert_eq!(started(&mut schedule, NOW + at as u64), [name.as_str()]);
        issue(&mut schedule, &name, NOW + at as u64);
    }
    let now = NOW + DAY;
    assert_eq!(schedule.want("another", now), WishResult::Later(NOW + WEEK));
    assert_eq!(started(&mut schedule, NOW + WEEK - 1), Vec::<String>::new());
    // A renewal goes on, four times a week.
    for _ in 1..WEEKLY_SAME {
        schedule.handle_present("n0", 0, 3, 0);
        assert_eq!(started(&mut schedule, now), ["n0"]);
        issue(&mut schedule, "n0", now);
    }
    schedule.handle_present("n0", 0, 3, 0);
    assert_eq!(started(&mut schedule, now), Vec::<String>::new());
    assert!(!schedule.postpone("another", now));
    assert_eq!(started(&mut schedule, NOW + WEEK), ["n0"]);
}

#[test]
fn what_counts_survives_a_restart_and_what_does_not_is_forgotten() {
    let mut schedule = Schedule::default();
    for name in ["issued", "failed", "old", "waiting"] {
        schedule.want(name, NOW);
    }
    started(&mut schedule, NOW);
    issue(&mut schedule, "issued", NOW);
    issue(&mut schedule, "old", NOW - WEEK);
    let again = schedule.handle_failed("failed", None, NOW);
    let records = schedule.records(NOW);
    assert_eq!(records.keys().collect::<Vec<_>>(), ["failed", "issued"]);
    let text = serde_json::to_string(&records).expect("JSON");
    let mut after = Schedule::new(serde_json::from_str(&text).expect("JSON"));
    assert_eq!(after.poll_timeout(NOW), None, "nobody wants it yet");
    assert_eq!(after.want("failed", NOW), WishResult::Later(again));
}

#[test]
fn there_are_a_thousand_certificates_at_most() {
    let mut schedule = Schedule::default();
    for at in 0..MAX_CERTIFICATES {
        assert_ne!(schedule.want(&at.to_string(), NOW), WishResult::Full);
    }
    assert_eq!(schedule.want("one more", NOW), WishResult::Full);
    assert_ne!(schedule.want("0", NOW), WishResult::Full);
    assert!(!schedule.postpone("7", NOW));
    assert_ne!(schedule.want("one more", NOW), WishResult::Full);
}

#[test]
fn a_certificate_whose_name_nobody_has_is_kept_to_its_end_and_not_renewed() {
    let mut schedule = Schedule::default();
    schedule.handle_present("a", NOW, NOW + 3 * DAY, 0);
    let due = NOW + 2 * DAY;
    assert_eq!(started(&mut schedule, due), ["a"]);
    assert!(schedule.postpone("a", due));
    assert_eq!(schedule.poll_timeout(due), Some(due + DAY));
    assert_eq!(started(&mut schedule, due + DAY), ["a"]);
    assert!(!schedule.postpone("a", due + DAY));
    assert_eq!(schedule.poll_timeout(due), None);
    assert_eq!(schedule.want("a", due + DAY), WishResult::Accepted);
}
