//! What one visitor may use beside others: below, at and above each limit.

use std::time::Duration;

use hvym_proxy::limits::{
    LimitError, Use, VisitorKey, VisitorLimits, VisitorLimitsConfig, VisitorRate, VisitorShare,
};
use hvym_proxy::{MinRate, RateMeter};
use hvym_yamux::Instant;

const SHARE: VisitorShare = VisitorShare {
    connections: 2,
    connection_rate: VisitorRate { per_second: 2, burst: 4 },
    requests: 5,
    service_requests: 3,
    service_tunnels: 2,
    reset_rate: VisitorRate { per_second: 1, burst: 3 },
};
const CONFIG: VisitorLimitsConfig =
    VisitorLimitsConfig { connections: 5, requests: 8, service_requests: 4, visitor: SHARE };

type Limits = VisitorLimits<&'static str>;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn who(ip: &str) -> Option<VisitorKey> {
    Some(VisitorKey::new(ip.parse().expect("an address")))
}

/// Enters so often, one after the other.
fn enter(limits: &mut Limits, ip: &str, service: &'static str, kind: Use, times: usize) {
    for number in 0..times {
        assert_eq!(limits.enter(who(ip), &service, kind, at(0)), Ok(()), "number {number} of {ip}");
    }
}

#[test]
fn a_visitor_is_an_ipv4_address_or_a_64_of_ipv6() {
    for (one, other, is_same) in [
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
        ("2001:db8::1", "2001:db8:0:1::1", false),
        ("192.0.2.1", "2001:db8::192.0.2.1", false),
    ] {
        assert_eq!(who(one) == who(other), is_same, "{one} {other}");
        let numbers = [one, other].map(|ip| who(ip).map(VisitorKey::as_u64));
        assert_eq!(numbers[0] == numbers[1], is_same);
    }
}

#[test]
fn a_visitor_has_so_many_connections_and_all_have_so_many() {
    let mut limits = Limits::new(CONFIG);
    let alice = who("192.0.2.1");
    assert_eq!([limits.open(alice, at(0)), limits.open(alice, at(0))], [Ok(()); 2]);
    assert_eq!(limits.open(alice, at(0)), Err(LimitError::VisitorConnections));
    limits.close(alice);
    assert_eq!(limits.open(alice, at(0)), Ok(()));
    // Who cannot be told apart is limited together with all others.
    for number in limits.connections()..5 {
        assert_eq!(limits.open(None, at(0)), Ok(()), "number {number}");
    }
    for key in [None, who("192.0.2.2")] {
        assert_eq!(limits.open(key, at(0)), Err(LimitError::Connections));
    }
    limits.close(None);
    assert_eq!(limits.open(who("192.0.2.2"), at(0)), Ok(()));
}

#[test]
fn a_burst_of_connections_is_let_in_and_then_so_many_a_second() {
    let mut limits = Limits::new(CONFIG);
    let mut open = |millis| {
        let opened = limits.open(who("192.0.2.1"), at(millis));
        if opened.is_ok() {
            limits.close(who("192.0.2.1"));
        }
        opened
    };
    assert_eq!([open(0), open(0), open(0), open(0)], [Ok(()); 4]);
    assert_eq!([open(0), open(499)], [Err(LimitError::ConnectionRate); 2]);
    assert_eq!([open(500), open(999), open(1000)], [Ok(()), Err(LimitError::ConnectionRate), Ok(())]);
    assert_eq!([open(9000), open(9000), open(9000), open(9000)], [Ok(()); 4]);
    assert_eq!(open(9000), Err(LimitError::ConnectionRate), "a long pause is one burst");
}

#[test]
fn one_visitor_cannot_take_all_places_of_a_service_nor_of_the_relay() {
    let mut limits = Limits::new(CONFIG);
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 3);
    let refused = limits.enter(who("192.0.2.1"), &"web", Use::Request, at(0));
    assert_eq!(refused, Err(LimitError::VisitorRequests));
    enter(&mut limits, "192.0.2.2", "web", Use::Request, 1);
    for key in [who("192.0.2.2"), None] {
        let refused = limits.enter(key, &"web", Use::Request, at(0));
        assert_eq!(refused, Err(LimitError::ServiceRequests));
    }
    enter(&mut limits, "192.0.2.1", "db", Use::Request, 2);
    let refused = limits.enter(who("192.0.2.1"), &"db", Use::Request, at(0));
    assert_eq!(refused, Err(LimitError::VisitorRequests), "it has as many as it may have in all");
    enter(&mut limits, "192.0.2.3", "db", Use::Request, 2);
    let refused = limits.enter(who("192.0.2.4"), &"mail", Use::Request, at(0));
    assert_eq!((refused, limits.requests()), (Err(LimitError::Requests), 8));
    limits.leave(who("192.0.2.1"), &"web", Use::Request);
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 1);
}

#[test]
fn a_service_has_one_place_more_for_each_request_that_is_over() {
    let mut limits = Limits::new(CONFIG);
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 3);
    enter(&mut limits, "192.0.2.2", "web", Use::Request, 1);
    limits.leave(who("192.0.2.1"), &"web", Use::Request);
    enter(&mut limits, "192.0.2.3", "web", Use::Request, 1);
    let above = limits.enter(who("192.0.2.4"), &"web", Use::Request, at(0));
    assert_eq!(above, Err(LimitError::ServiceRequests));
}

#[test]
fn tunnels_leave_their_visitor_room_for_requests() {
    let mut limits = Limits::new(CONFIG);
    let alice = who("192.0.2.1");
    enter(&mut limits, "192.0.2.1", "web", Use::Tunnel, 2);
    let refused = limits.enter(alice, &"web", Use::Tunnel, at(0));
    assert_eq!(refused, Err(LimitError::VisitorTunnels));
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 1);
    limits.leave(alice, &"web", Use::Request);
    let refused = limits.enter(alice, &"web", Use::Tunnel, at(0));
    assert_eq!(refused, Err(LimitError::VisitorTunnels), "a request that is over was no tunnel");
    limits.leave(alice, &"web", Use::Tunnel);
    limits.leave(alice, &"web", Use::Tunnel);
    assert_eq!(limits.requests(), 0);
    enter(&mut limits, "192.0.2.1", "web", Use::Tunnel, 2);
}

#[test]
fn who_breaks_off_too_many_requests_is_refused_for_a_while() {
    let mut limits = Limits::new(CONFIG);
    let alice = who("192.0.2.1");
    let broken_off = |limits: &mut Limits, millis| {
        limits.enter(alice, &"web", Use::Request, at(millis))?;
        limits.handle_reset(alice, at(millis));
        limits.leave(alice, &"web", Use::Request);
        Ok(())
    };
    for _ in 0..3 {
        assert_eq!(broken_off(&mut limits, 0), Ok(()));
    }
    for millis in [0, 999] {
        assert_eq!(broken_off(&mut limits, millis), Err(LimitError::ResetRate));
    }
    assert_eq!(broken_off(&mut limits, 1000), Ok(()));
    enter(&mut limits, "192.0.2.2", "web", Use::Request, 1);
}

#[test]
fn half_of_the_places_taken_is_no_pressure_and_one_more_is() {
    let mut limits = Limits::new(CONFIG);
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 2);
    assert!(!limits.is_pressed(&"web"));
    enter(&mut limits, "192.0.2.2", "db", Use::Request, 2);
    assert!(!limits.is_pressed(&"mail"), "half of all is no pressure either");
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 1);
    assert!(limits.is_pressed(&"web") && limits.is_pressed(&"mail"), "the relay is more than half full");
    limits.leave(who("192.0.2.2"), &"db", Use::Request);
    assert!(limits.is_pressed(&"web") && !limits.is_pressed(&"mail"), "the service is");
}

#[test]
fn a_flood_of_visitors_is_forgotten_and_those_inside_are_not() {
    let mut limits = Limits::new(VisitorLimitsConfig { connections: 1000, ..CONFIG });
    let alice = who("192.0.2.1");
    assert_eq!([limits.open(alice, at(0)), limits.open(alice, at(0))], [Ok(()); 2]);
    for number in 0..150_000_u32 {
        let key = Some(VisitorKey::new((0x0a00_0000 + number).to_be_bytes().into()));
        assert_eq!(limits.open(key, at(0)), Ok(()));
        limits.close(key);
        assert!(limits.visitors() <= 65_536);
        if number == 999 {
            assert_eq!(limits.visitors(), 1001, "their rates are not as new yet");
        }
    }
    assert_eq!(limits.open(alice, at(0)), Err(LimitError::VisitorConnections));
    // Much later their rates are as new, so a few newcomers make the table small.
    for number in 0..u32::from(u16::MAX) {
        let key = Some(VisitorKey::new((0x0b00_0000 + number).to_be_bytes().into()));
        let later = at(60_000 + u64::from(number) * 1000);
        assert_eq!(limits.open(key, later), Ok(()));
        limits.close(key);
    }
    assert!(limits.visitors() <= 128, "{} visitors are remembered", limits.visitors());
}

const RATE: MinRate = MinRate { bytes_per_second: 100, pause: Duration::from_secs(10) };

#[test]
fn a_body_at_the_minimum_rate_goes_on_for_ever_and_a_slower_one_ends() {
    for (bytes, lives) in [(99, false), (100, true), (101, true)] {
        let mut meter = RateMeter::new(RATE);
        meter.start(at(0));
        let late = (1..=2000).find(|second| {
            let now = at(second * 1000);
            let is_late = meter.is_late(now);
            meter.handle_bytes(bytes, true, now);
            is_late
        });
        assert_eq!(late.is_none(), lives, "{bytes} bytes a second");
        assert!(late.is_none_or(|second| second > 900), "the pause is used up little by little: {late:?}");
    }
}

#[test]
fn without_a_minimum_rate_any_byte_is_progress() {
    let mut meter = RateMeter::new(MinRate { bytes_per_second: 0, ..RATE });
    meter.start(at(0));
    meter.handle_bytes(1, true, at(9_999));
    assert_eq!(meter.poll_timeout(), Some(at(19_999)));
}

#[test]
fn a_pause_is_limited_whatever_came_before() {
    let mut meter = RateMeter::new(RATE);
    meter.start(at(0));
    meter.handle_bytes(1_000_000, true, at(0));
    assert_eq!(meter.poll_timeout(), Some(at(10_000)));
    assert!(!meter.is_late(at(9_999)) && meter.is_late(at(10_000)));
}

#[test]
fn where_nobody_is_in_the_way_any_byte_is_progress() {
    let mut meter = RateMeter::new(RATE);
    meter.start(at(0));
    for second in 1..100 {
        meter.handle_bytes(1, false, at(second * 9_999));
        assert!(!meter.is_late(at((second + 1) * 9_999)));
    }
}

#[test]
fn time_stands_still_while_the_other_side_is_waited_for() {
    let mut meter = RateMeter::new(RATE);
    meter.start(at(0));
    meter.stop(at(4_000));
    assert_eq!(meter.poll_timeout(), None);
    meter.start(at(100_000));
    meter.start(at(103_000));
    assert_eq!(meter.poll_timeout(), Some(at(106_000)));
    meter.stop(at(103_000));
    meter.handle_bytes(200, true, at(103_000));
    meter.start(at(200_000));
    assert_eq!(meter.poll_timeout(), Some(at(205_000)));
}

#[test]
fn a_rate_limit_takes_a_burst_and_then_so_many_a_second() {
    use std::time::Duration;

    use hvym_proxy::limits::RateLimiter;

    let start = Instant::from_millis(3);
    let mut limit = RateLimiter::new(VisitorRate { per_second: 10, burst: 4 }, start);
    let mut taken = |now| (0..100).filter(|_| limit.take(now)).count();
    assert_eq!(taken(start), 4);
    assert_eq!(taken(start + Duration::from_millis(99)), 0);
    assert_eq!(taken(start + Duration::from_millis(100)), 1);
    assert_eq!(taken(start + Duration::from_secs(60)), 4);
    let mut none = RateLimiter::new(VisitorRate { per_second: 0, burst: 0 }, start);
    assert!(!none.take(start) && !none.take(start + Duration::from_secs(60)));
}

#[test]
fn what_a_visitor_still_uses_of_a_service_counts_when_some_of_it_is_over() {
    let mut limits = Limits::new(CONFIG);
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 3);
    limits.leave(who("192.0.2.1"), &"web", Use::Request);
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 1);
    let above = limits.enter(who("192.0.2.1"), &"web", Use::Request, at(0));
    assert_eq!(above, Err(LimitError::VisitorRequests));
}

#[test]
fn other_limits_count_from_now_on_and_take_nothing_from_what_is_under_way() {
    let mut limits = Limits::new(CONFIG);
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 3);
    limits
        .set_config(VisitorLimitsConfig { visitor: VisitorShare { service_requests: 2, ..SHARE }, ..CONFIG });
    let mut again = || limits.enter(who("192.0.2.1"), &"web", Use::Request, at(0));
    assert_eq!(again(), Err(LimitError::VisitorRequests));
    for _ in 0..2 {
        limits.leave(who("192.0.2.1"), &"web", Use::Request);
    }
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 1);
}

#[test]
fn a_higher_limit_gives_room_beside_what_is_under_way() {
    let mut limits = Limits::new(CONFIG);
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 3);
    let higher = VisitorLimitsConfig { visitor: VisitorShare { service_requests: 4, ..SHARE }, ..CONFIG };
    limits.set_config(higher);
    assert_eq!(limits.config(), &higher);
    enter(&mut limits, "192.0.2.1", "web", Use::Request, 1);
    assert!(limits.enter(who("192.0.2.1"), &"web", Use::Request, at(0)).is_err());
}
