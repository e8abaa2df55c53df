//! Logins and agents: places by address and in all, what is kept for those who are known, and who gives its place.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hvym_proxy::limits::{
    KNOWN_AFTER, LoginLimits, LoginLimitsConfig, LoginRefusal, MAX_KNOWN, VisitorKey, VisitorRate,
};
use hvym_yamux::Instant;

const NOW: Instant = Instant::from_millis(7);

const CONFIG: LoginLimitsConfig = LoginLimitsConfig {
    pending: 8,
    kept: 2,
    address_pending: 3,
    rate: VisitorRate { per_second: 1, burst: 100 },
    address_rate: VisitorRate { per_second: 1, burst: 4 },
    agents: 8,
    kept_agents: 2,
    address_agents: 3,
};

fn logins() -> LoginLimits<u32> {
    LoginLimits::new(CONFIG, NOW)
}

fn from(number: u32) -> Option<VisitorKey> {
    Some(VisitorKey::new(IpAddr::V4(Ipv4Addr::from_bits(number))))
}

/// An agent of this number and address was here for long.
fn known(logins: &mut LoginLimits<u32>, number: u32) -> Instant {
    logins.admit(&number, from(number), false, NOW).expect("room");
    logins.leave(&number, from(number), NOW, NOW + KNOWN_AFTER);
    NOW + KNOWN_AFTER
}

#[test]
fn an_address_has_so_many_logins_under_way_and_in_a_while() {
    let mut logins = logins();
    let tickets: Vec<_> = (0..3).map(|_| logins.begin(from(1), NOW).expect("room").ticket).collect();
    assert_eq!(logins.begin(from(1), NOW), Err(LoginRefusal::AddressPending));
    assert!(logins.begin(from(2), NOW).is_ok());
    logins.end(tickets[0]);
    assert!(logins.begin(from(1), NOW).is_ok());
    logins.end(tickets[1]);
    assert_eq!(logins.begin(from(1), NOW), Err(LoginRefusal::AddressRate));
    assert!(logins.begin(from(1), NOW + Duration::from_secs(1)).is_ok());
    assert_eq!(logins.begin(from(1), NOW + Duration::from_secs(2)), Err(LoginRefusal::AddressPending));
}

#[test]
fn strangers_have_a_rate_together_that_is_nothing_to_those_who_are_known() {
    let mut logins = logins();
    let now = known(&mut logins, 200);
    for number in 0..100 {
        let start = logins.begin(from(number), now).expect("within the rate");
        logins.end(start.ticket);
    }
    assert_eq!(logins.begin(from(100), now), Err(LoginRefusal::Rate));
    assert_eq!(logins.begin(None, now), Err(LoginRefusal::Rate));
    assert!(logins.begin(from(200), now).is_ok());
    assert!(logins.begin(from(100), now + Duration::from_secs(1)).is_ok());
}

#[test]
fn whoever_never_logs_in_gives_its_place_and_keeps_nobody_out() {
    let mut logins = logins();
    let tickets: Vec<_> = (0..6).map(|number| logins.begin(from(number), NOW).expect("room")).collect();
    assert_eq!(tickets.iter().filter(|start| start.is_pressed).count(), 2, "above half");
    assert!(tickets.iter().all(|start| start.evicted.is_none()));
    // Two of eight places are kept, so the seventh stranger takes that of the first.
    let seventh = logins.begin(from(6), NOW).expect("a place");
    assert_eq!(seventh.evicted, Some(tickets[0].ticket));
    assert!(!logins.is_pending(tickets[0].ticket) && logins.is_pending(seventh.ticket));
    assert_eq!(logins.pending(), 6);
    // Its own end comes later and changes nothing.
    logins.end(tickets[0].ticket);
    assert_eq!(logins.pending(), 6);
    assert!((7..50).all(|number| logins.begin(from(number), NOW).is_ok_and(|start| start.evicted.is_some())));
    assert_eq!(logins.pending(), 6);
    logins.end(seventh.ticket);
}

#[test]
fn places_are_kept_for_addresses_of_agents_that_were_here() {
    let mut logins = logins();
    known(&mut logins, 200);
    let now = known(&mut logins, 201);
    for number in 0..20 {
        logins.begin(from(number), now).expect("a place");
    }
    for known in [200, 201] {
        assert_eq!(logins.begin(from(known), now).map(|start| start.evicted), Ok(None));
    }
    assert_eq!(logins.pending(), 8);
    // More of them take the places of strangers, and strangers never theirs.
    let evicted = logins.begin(from(200), now).expect("a place").evicted.expect("a stranger's");
    assert!(!logins.is_pending(evicted));
    for _ in 0..10 {
        let at = logins.begin(from(201), now);
        assert!(
            at.is_ok() || at == Err(LoginRefusal::AddressPending) || at == Err(LoginRefusal::AddressRate)
        );
    }
    assert_eq!(logins.pending(), 8);
}

#[test]
fn nobody_known_is_sent_away_for_another() {
    let mut logins = LoginLimits::<u32>::new(LoginLimitsConfig { pending: 2, kept: 0, ..CONFIG }, NOW);
    known(&mut logins, 200);
    known(&mut logins, 201);
    let now = known(&mut logins, 202);
    assert!(logins.begin(from(200), now).is_ok() && logins.begin(from(201), now).is_ok());
    assert_eq!(logins.begin(from(202), now), Err(LoginRefusal::Pending));
    assert_eq!(logins.begin(from(1), now), Err(LoginRefusal::Pending));
}

#[test]
fn fresh_identities_leave_places_for_agents_that_are_known_or_listed() {
    let mut logins = logins();
    let now = known(&mut logins, 200);
    for number in 0..6 {
        assert_eq!(logins.admit(&number, from(number), false, now), Ok(()));
    }
    assert_eq!(logins.admit(&6, from(6), false, now), Err(LoginRefusal::Agents));
    assert_eq!(logins.admit(&200, from(6), false, now), Ok(()));
    assert_eq!(logins.admit(&7, from(7), true, now), Ok(()));
    assert_eq!(logins.admit(&8, from(8), true, now), Err(LoginRefusal::Agents));
    logins.leave(&7, from(7), now, now);
    assert_eq!(logins.admit(&8, from(8), false, now), Err(LoginRefusal::Agents));
    assert_eq!(logins.admit(&8, from(8), true, now), Ok(()));
}

#[test]
fn an_address_has_a_share_of_the_agents() {
    let mut logins = logins();
    for number in 0..3 {
        assert_eq!(logins.admit(&number, from(1), false, NOW), Ok(()));
    }
    assert_eq!(logins.admit(&3, from(1), false, NOW), Err(LoginRefusal::AddressAgents));
    assert_eq!(logins.admit(&3, from(2), false, NOW), Ok(()));
    assert_eq!(logins.admit(&4, from(1), true, NOW), Ok(()), "the operator knows it");
    logins.leave(&0, from(1), NOW, NOW);
    logins.leave(&1, from(1), NOW, NOW);
    assert_eq!(logins.admit(&5, from(1), false, NOW), Ok(()));
    assert_eq!(logins.admit(&6, from(1), false, NOW), Err(LoginRefusal::AddressAgents));
}

#[test]
fn an_agent_is_known_after_its_time_and_not_before() {
    let mut logins = LoginLimits::new(LoginLimitsConfig { agents: 2, kept_agents: 1, ..CONFIG }, NOW);
    let early = NOW + (KNOWN_AFTER - Duration::from_millis(1));
    logins.admit(&1, from(1), false, NOW).expect("room");
    logins.leave(&1, from(1), NOW, early);
    logins.admit(&2, from(2), false, early).expect("room");
    assert_eq!(logins.admit(&1, from(1), false, early), Err(LoginRefusal::Agents));
    logins.leave(&2, from(2), early, early + KNOWN_AFTER);
    logins.admit(&3, from(3), false, NOW).expect("room");
    assert_eq!(logins.admit(&2, from(2), false, early + KNOWN_AFTER), Ok(()));
}

#[test]
fn so_many_agents_are_known_and_the_one_of_longest_ago_is_forgotten_for_another() {
    let agents = MAX_KNOWN + 10;
    let config = LoginLimitsConfig { agents, kept_agents: agents, address_agents: agents, ..CONFIG };
    let mut logins = LoginLimits::new(config, NOW);
    let count = u32::try_from(MAX_KNOWN).expect("a count");
    let at = |number: u32| NOW + KNOWN_AFTER + Duration::from_millis(number.into());
    for number in 0..=count {
        logins.admit(&number, None, true, NOW).expect("room");
        logins.leave(&number, None, NOW, at(number));
    }
    assert_eq!(logins.admit(&0, None, false, at(count)), Err(LoginRefusal::Agents), "it was forgotten");
    for number in [1, count] {
        assert_eq!(logins.admit(&number, None, false, at(count)), Ok(()), "{number}");
    }
}

#[test]
fn the_usual_limits_leave_most_of_every_kind_to_everybody() {
    for agents in [1, 7, 8, 1000] {
        let config = LoginLimitsConfig::new(agents);
        assert!(config.kept < config.pending && config.kept_agents < config.agents);
        assert!(config.address_agents >= 1 && config.address_pending < config.pending - config.kept);
    }
}

#[test]
fn a_relay_is_full_when_every_place_is_taken() {
    let mut logins = logins();
    for number in 0..8 {
        assert!(!logins.is_full());
        logins.admit(&number, None, true, NOW).expect("room");
    }
    assert!(logins.is_full());
    logins.leave(&0, None, NOW, NOW);
    assert!(!logins.is_full());
}

#[test]
fn addresses_are_forgotten_when_nothing_is_left_to_remember_of_them() {
    let mut logins = LoginLimits::<u32>::new(
        LoginLimitsConfig { rate: VisitorRate { per_second: 1000, burst: 1000 }, ..CONFIG },
        NOW,
    );
    // One has agents, one a login under way, and one has used its rate; of the others nothing is left after a while.
    for number in 0..3 {
        logins.admit(&number, from(1000), false, NOW).expect("room");
    }
    let pending = logins.begin(from(1001), NOW).expect("room").ticket;
    for number in 0..60 {
        let start = logins.begin(from(number), NOW).expect("room");
        logins.end(start.ticket);
    }
    assert_eq!(logins.addresses(), 62);
    let now = NOW + Duration::from_secs(60);
    for _ in 0..4 {
        let start = logins.begin(from(1002), now).expect("room");
        logins.end(start.ticket);
    }
    for number in 2000..2200 {
        let start = logins.begin(from(number), now).expect("room");
        logins.end(start.ticket);
    }
    // Those of the last second are remembered, for what is left of their rates.
    assert_eq!(logins.addresses(), 203);
    assert_eq!(logins.admit(&3, from(1000), false, now), Err(LoginRefusal::AddressAgents));
    assert_eq!(logins.begin(from(1002), now), Err(LoginRefusal::AddressRate));
    assert!(logins.is_pending(pending));
    let later = now + Duration::from_secs(60);
    for number in 3000..3300 {
        let start = logins.begin(from(number), later).expect("room");
        logins.end(start.ticket);
    }
    assert_eq!(logins.addresses(), 302);
    assert_eq!(logins.admit(&3, from(1000), false, later), Err(LoginRefusal::AddressAgents));
}

#[test]
fn addresses_are_looked_through_when_there_are_twice_as_many_as_after_the_last_time_and_when_the_table_is_full()
 {
    let rate = VisitorRate { per_second: 1_000_000, burst: 1_000_000 };
    let mut logins = LoginLimits::<u32>::new(LoginLimitsConfig { rate, ..CONFIG }, NOW);
    let come = |logins: &mut LoginLimits<u32>, numbers: std::ops::Range<u32>, now| {
        for number in numbers {
            let start = logins.begin(from(number), now).expect("room");
            logins.end(start.ticket);
        }
        logins.addresses()
    };
    assert_eq!(come(&mut logins, 0..65, NOW), 65);
    let later = NOW + Duration::from_secs(60);
    assert_eq!(come(&mut logins, 100..163, later), 128, "too few to look for those of whom nothing is left");
    assert_eq!(come(&mut logins, 163..164, later), 64);
    // Of a flood at one moment everybody is remembered, as long as there is room. Agents stay in any case.
    for number in 0..3 {
        logins.admit(&number, from(1000), false, later).expect("room");
    }
    for number in 2000..80_000 {
        assert!(come(&mut logins, number..number + 1, later) <= 65_536);
    }
    assert_eq!(logins.admit(&3, from(1000), false, later), Err(LoginRefusal::AddressAgents));
}

#[test]
fn all_agents_of_a_relay_may_come_back_at_once_up_to_a_limit() {
    for (agents, burst) in [(1, 1_000), (1_000, 1_000), (1_001, 1_001), (20_000, 20_000), (20_001, 20_000)] {
        let rate = LoginLimitsConfig::new(agents).rate;
        assert_eq!((rate.burst, rate.per_second), (burst, burst / 5), "{agents}");
    }
}
