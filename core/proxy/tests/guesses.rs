//! Wrong keys and passwords: what an address may try, and how many addresses are remembered.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hvym_proxy::limits::{
    FIRST_DELAY, FORGET_AFTER, FREE_GUESSES, GuessLimits, MAX_DELAY, MAX_GUESSERS, VisitorKey,
};
use hvym_yamux::Instant;

const NOW: Instant = Instant::from_millis(7);

fn from(number: u32) -> VisitorKey {
    VisitorKey::new(IpAddr::V4(Ipv4Addr::from_bits(number)))
}

fn millisecond() -> Duration {
    Duration::from_millis(1)
}

#[test]
fn a_person_who_mistypes_waits_for_nothing() {
    let mut guesses = GuessLimits::default();
    for _ in 0..FREE_GUESSES {
        assert_eq!(guesses.handle_wrong(from(1), NOW), Duration::ZERO);
        assert_eq!(guesses.check(from(1), NOW), Ok(()));
    }
    assert_eq!(guesses.handle_wrong(from(1), NOW), FIRST_DELAY);
    assert_eq!(guesses.check(from(1), NOW), Err(FIRST_DELAY));
    assert_eq!(guesses.check(from(1), NOW + (FIRST_DELAY - millisecond())), Err(millisecond()));
    assert_eq!(guesses.check(from(1), NOW + FIRST_DELAY), Ok(()));
    assert_eq!(guesses.check(from(2), NOW), Ok(()), "somebody else");
    assert_eq!([guesses.delayed(NOW), guesses.delayed(NOW + FIRST_DELAY)], [1, 0]);
}

#[test]
fn guesses_at_every_moment_are_slowed_to_one_a_minute() {
    let (mut guesses, mut now, mut delays) = (GuessLimits::default(), NOW, Vec::new());
    let day = NOW + Duration::from_secs(86_400);
    let mut looked_at = 0;
    while now < day {
        match guesses.check(from(1), now) {
            Ok(()) => {
                looked_at += 1;
                delays.push(guesses.handle_wrong(from(1), now).as_secs());
            }
            Err(left) => {
                assert!(!left.is_zero(), "whoever waits as long as it is told is looked at");
                now = now + left;
            }
        }
    }
    assert!(delays[..10].iter().all(|delay| *delay == 0));
    assert_eq!(delays[10..19], [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert!((1440..1460).contains(&looked_at), "{looked_at} a day");
    // Nothing overflows, however long it goes on.
    for _ in 0..100 {
        assert_eq!(guesses.handle_wrong(from(1), now), MAX_DELAY);
    }
}

#[test]
fn an_address_begins_anew_after_a_pause() {
    let mut guesses = GuessLimits::default();
    assert_eq!(FORGET_AFTER, Duration::from_secs(900));
    for _ in 0..20 {
        guesses.handle_wrong(from(1), NOW);
    }
    assert_eq!(guesses.handle_wrong(from(1), NOW + (FORGET_AFTER - millisecond())), MAX_DELAY);
    let quiet = NOW + (FORGET_AFTER - millisecond()) + FORGET_AFTER;
    assert_eq!(guesses.handle_wrong(from(1), quiet), Duration::ZERO);
}

#[test]
fn so_many_addresses_are_remembered_and_the_most_silent_is_forgotten_for_another() {
    let mut guesses = GuessLimits::default();
    let count = u32::try_from(MAX_GUESSERS).expect("a count");
    for number in 0..count {
        let at = NOW + millisecond() * number;
        for _ in 0..=FREE_GUESSES {
            guesses.handle_wrong(from(number), at);
        }
    }
    let now = NOW + millisecond() * count;
    assert_eq!(guesses.remembered(), MAX_GUESSERS);
    assert_eq!(guesses.handle_wrong(from(5), now), FIRST_DELAY * 2, "it is remembered");
    guesses.handle_wrong(from(count), now);
    assert_eq!(guesses.remembered(), MAX_GUESSERS);
    assert_eq!(guesses.handle_wrong(from(0), now), Duration::ZERO, "it was forgotten");
    assert_eq!(guesses.handle_wrong(from(count - 1), now), FIRST_DELAY * 2);
    // Those that begin anew anyway go together.
    guesses.handle_wrong(from(count + 1), now + FORGET_AFTER);
    assert_eq!(guesses.remembered(), 1);
}
