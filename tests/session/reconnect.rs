//! Coming back: when an agent dials again, when it does not, and what is left of the link before.

use std::time::Duration;

use hvym_tunnel_core::agent::{AgentEvent, DIAL_TIMEOUT};
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::machine::{Machine, Side};
use hvym_tunnel_core::message::{Close, Transmit};
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::ends::{
    AgentEnd, Outcome, RelayEnd, agent_config, opening, pair, pair_with, read, session_config, write,
};
use hvym_tunnel_tests::pair::{Dials, Pair, wall};
use hvym_tunnel_tests::wire::WireConfig;

const SECOND: Duration = Duration::from_secs(1);

/// The delays between the ends of attempts and the dials after them, while nobody listens.
fn delays(seed: [u8; 32], attempts: usize) -> Vec<Duration> {
    let mut pair = pair_with(agent_config(), session_config(), WireConfig::default(), seed);
    pair.dials = Dials::Fail;
    let mut delays = Vec::new();
    while delays.len() < attempts {
        pair.settle();
        let Some(&AgentEvent::Down { retry_at: Some(at), .. }) = pair.agent.events.last() else {
            panic!("no retry: {:?}", pair.agent.events.last());
        };
        assert_eq!(pair.agent.machine.poll_timeout(), Some(at));
        delays.push(at - pair.now);
        pair.now = at;
    }
    delays
}

/// Whether the relay closing with `code` makes the agent dial again, and how soon.
fn after_close(code: u16) -> Option<Duration> {
    let mut pair = pair();
    pair.up();
    pair.agent.machine.handle_close(Close::new(code, "because"), pair.now);
    pair.dials = Dials::Hang;
    pair.settle();
    let downs = pair.agent.downs();
    assert_eq!(downs.len(), 1, "{code}");
    downs[0].1.map(|at| at - pair.now)
}

fn open(pair: &mut Pair<AgentEnd, RelayEnd>) -> (StreamId, StreamId) {
    let now = pair.now;
    let ours = pair.relay.session().open(&opening("web"), now).expect("room");
    pair.run(Duration::from_millis(100));
    let theirs = pair.agent.opened().last().expect("announced").0;
    (ours, theirs)
}

#[test]
fn every_delay_lies_between_zero_and_a_cap_that_grows_with_the_outage() {
    let caps = [1000, 2000, 2500, 2500, 2500, 60_000].map(Duration::from_millis);
    let mut largest = [Duration::ZERO; 6];
    for seed in 0..200 {
        let mut away = Duration::ZERO;
        for (at, delay) in delays([seed; 32], 150).into_iter().enumerate() {
            let at = if away < 120 * SECOND { at.min(4) } else { 5 };
            assert!(delay <= caps[at], "{delay:?} after {away:?}");
            largest[at] = largest[at].max(delay);
            away += delay;
        }
    }
    for (cap, largest) in caps.iter().zip(largest) {
        assert!(largest > *cap * 9 / 10, "jitter fills the whole of {cap:?}, not {largest:?}");
    }
}

#[test]
fn the_jitter_comes_from_the_seed() {
    assert_eq!(delays([3; 32], 6), delays([3; 32], 6));
    assert_ne!(delays([3; 32], 6), delays([4; 32], 6));
}

#[test]
fn only_a_link_that_lived_ten_seconds_forgives_the_failures_before_it() {
    for (lived, failures) in [(Duration::from_millis(9_900), 6), (10 * SECOND, 1)] {
        let mut pair = pair();
        pair.dials = Dials::Fail;
        while pair.agent.machine.failures() < 5 {
            pair.settle();
            pair.now = pair.next_at().expect("a retry");
        }
        pair.dials = Dials::Succeed;
        let up = pair.now + SECOND;
        assert!(pair.run_until(up, |pair| pair.agent.machine.is_up()));
        let since = pair.now;
        pair.run(lived - Duration::from_millis(1));
        pair.now = since + lived;
        pair.agent.machine.handle_close(Close::abnormal("reset"), pair.now);
        assert_eq!(pair.agent.machine.failures(), failures, "after {lived:?}");
    }
}

#[test]
fn after_the_relay_starts_again_the_agent_is_back_with_its_services() {
    let mut pair = pair();
    pair.up();
    assert_eq!(pair.agent.bound(), ["web", "api"]);
    pair.dials = Dials::Fail;
    pair.relay.machine = None;
    pair.cut();
    pair.run(30 * SECOND);
    assert!(!pair.agent.machine.is_up());
    pair.dials = Dials::Succeed;
    pair.up();
    assert_eq!(pair.agent.bound(), ["web", "api", "web", "api"]);
    assert_eq!(pair.relay.session().service(None).map(|s| s.name.as_str()), Some("web"));
    assert!(pair.relay.session().service(Some("api")).is_some());
}

#[test]
fn what_was_bound_and_withdrawn_while_there_was_no_link_counts_for_the_next_one() {
    let mut pair = pair();
    pair.dials = Dials::Fail;
    pair.settle();
    let mut web = hvym_tunnel_core::dialect::Service::http("web");
    web.local_port = Some(3000);
    pair.agent.machine.bind(web, pair.now);
    pair.agent.machine.bind(hvym_tunnel_core::dialect::Service::http("late"), pair.now);
    pair.agent.machine.unbind("api", pair.now);
    pair.dials = Dials::Succeed;
    pair.up();
    // One that is replaced keeps its place: the first is what the bare address reaches.
    assert_eq!(pair.agent.bound(), ["web", "late"]);
    assert_eq!(pair.relay.session().service(None).and_then(|s| s.local_port), Some(3000));
}

#[test]
fn binding_during_the_login_does_not_disturb_it() {
    let mut pair = pair();
    pair.relay.answers = false;
    pair.run(SECOND);
    assert!(!pair.agent.machine.is_up());
    pair.agent.machine.bind(hvym_tunnel_core::dialect::Service::http("late"), pair.now);
    pair.agent.machine.unbind("api", pair.now);
    pair.run(SECOND);
    pair.relay.session().admit("https://a.relay.example".into(), pair.now);
    pair.up();
    assert_eq!(pair.agent.bound(), ["web", "late"]);
    assert!(pair.agent.downs().is_empty());
}

#[test]
fn a_relay_that_is_stopped_is_given_up_within_fifteen_seconds() {
    let mut pair = pair();
    pair.up();
    let last = pair.now;
    pair.stopped = Some(Side::Relay);
    assert!(pair.run_until(last + 15 * SECOND, |pair| !pair.agent.downs().is_empty()));
    assert_eq!(*pair.agent.downs()[0].0, DownReason::Silent);
    assert!(pair.now - last <= 15 * SECOND);
    pair.stopped = None;
    pair.up();
}

#[test]
fn an_agent_that_is_stopped_is_given_up_within_fifteen_seconds() {
    let mut pair = pair();
    pair.up();
    let last = pair.now;
    pair.stopped = Some(Side::Agent);
    assert!(pair.run_until(last + 15 * SECOND, |pair| !pair.relay.closings().is_empty()));
    assert_eq!(*pair.relay.closings()[0], DownReason::Silent);
    pair.stopped = None;
    pair.up();
    assert_eq!(pair.relay.accepted, 2);
}

#[test]
fn a_close_that_never_arrives_is_found_out_by_silence() {
    let mut pair = pair();
    pair.up();
    pair.wire.config.loses_closes = true;
    pair.agent.machine.close(pair.now);
    pair.run(15 * SECOND);
    assert_eq!(pair.relay.closings(), [&DownReason::Silent]);
}

#[test]
fn waking_up_cuts_the_wait_short_and_starts_the_back_off_anew() {
    let mut pair = pair();
    pair.dials = Dials::Fail;
    while pair.agent.machine.failures() < 8 {
        pair.settle();
        pair.now = pair.next_at().expect("a retry");
    }
    pair.settle();
    pair.dials = Dials::Succeed;
    pair.agent.machine.network_changed(pair.now);
    pair.run(Duration::from_millis(200));
    assert!(pair.agent.machine.is_up());
    assert_eq!(pair.agent.machine.failures(), 0);
}

#[test]
fn waking_up_asks_a_live_relay_for_a_sign_of_life_and_gives_up_a_dead_one_in_five_seconds() {
    let mut pair = pair();
    pair.up();
    pair.agent.machine.network_changed(pair.now);
    pair.run(Duration::from_millis(100));
    assert!(pair.agent.events.iter().any(|event| matches!(event, AgentEvent::Latency(_))));
    pair.stopped = Some(Side::Relay);
    let start = pair.now;
    // A network that flaps wakes it again and again; the verdict comes all the same.
    for _ in 0..10 {
        pair.agent.machine.network_changed(pair.now);
        pair.run(SECOND / 2);
    }
    assert_eq!(*pair.agent.downs()[0].0, DownReason::Silent);
    assert!(pair.now - start <= 5 * SECOND);
}

#[test]
fn each_close_code_has_its_rule_of_retrying() {
    for code in [1001, 1012] {
        assert!(after_close(code).expect("dials again") <= SECOND, "{code}");
    }
    for code in [4002, 4003, 4009] {
        assert_eq!(after_close(code), None, "{code}");
    }
    for code in [1000, 1002, 1005, 1006, 1009, 1011, 1013, 4000, 4001, 4008, 4029, 4999] {
        assert!(after_close(code).expect("dials again") <= SECOND, "the first cap is a second: {code}");
    }
}

#[test]
fn a_replaced_agent_never_dials_again_whatever_the_clock_says() {
    let mut pair = pair();
    pair.up();
    pair.relay.session().refuse(DownReason::Replaced, pair.now);
    pair.run(SECOND);
    assert_eq!(pair.agent.downs(), [(&DownReason::Replaced, None)]);
    let accepted = pair.relay.accepted;
    pair.agent.machine.network_changed(pair.now);
    for hours in 1..48 {
        pair.agent.machine.handle_timeout(pair.now + SECOND * 3600 * hours);
    }
    pair.run(SECOND * 3600 * 48);
    assert_eq!((pair.relay.accepted, pair.agent.machine.poll_timeout()), (accepted, None));
}

#[test]
fn a_relay_that_sends_everybody_away_at_once_is_not_hammered() {
    let mut pair = pair();
    let mut dials = 0;
    let end = Instant::ZERO + 600 * SECOND;
    while pair.run_until(end, |pair| pair.agent.machine.is_up()) {
        dials += 1;
        pair.agent.machine.handle_close(Close::new(1001, ""), pair.now);
    }
    // Within ten minutes an even back-off has room for the steps to a minute, and one dial in half a minute after it.
    assert!((10..50).contains(&dials), "{dials} dials in ten minutes");
}

#[test]
fn a_dial_without_an_answer_is_given_up_after_its_time() {
    let mut pair = pair();
    pair.dials = Dials::Hang;
    pair.settle();
    pair.now = Instant::ZERO + (DIAL_TIMEOUT - Duration::from_micros(1));
    pair.agent.machine.handle_timeout(pair.now);
    pair.settle();
    assert!(pair.agent.downs().is_empty());
    pair.now = Instant::ZERO + DIAL_TIMEOUT;
    pair.settle();
    assert!(matches!(pair.agent.downs()[..], [(DownReason::Unreachable(_), Some(_))]));
    // The socket that opens after all is nobody's, and is closed.
    let attempt = pair.agent.attempts().pop().expect("dialled");
    assert!(pair.agent.machine.handle_open(attempt, wall(pair.now), pair.now));
    assert!(matches!(pair.agent.machine.poll_transmit(), Some(Transmit::Close(_))));
    assert!(pair.agent.machine.poll_transmit().is_none());
    pair.dials = Dials::Succeed;
    pair.up();
}

#[test]
fn timers_that_come_late_early_or_twice_change_nothing() {
    let mut pair = pair();
    let meddle = |pair: &mut Pair<AgentEnd, RelayEnd>| {
        let now = pair.now;
        for _ in 0..3 {
            pair.agent.machine.handle_timeout(now);
            pair.relay.machine.iter_mut().for_each(|session| session.handle_timeout(now));
        }
    };
    for _ in 0..100 {
        meddle(&mut pair);
        pair.run(Duration::from_millis(37));
    }
    assert!(pair.agent.machine.is_up() && pair.agent.downs().is_empty());
    // A tab in the background gets its timers a minute late; messages still come, and both sides are there.
    let (ours, theirs) = open(&mut pair);
    for _ in 0..10 {
        pair.now = pair.now + 60 * SECOND;
        meddle(&mut pair);
        pair.run(Duration::from_millis(200));
    }
    assert!(pair.agent.machine.is_up() && pair.agent.downs().is_empty());
    let now = pair.now;
    write(pair.relay.session(), ours, b"still here", now);
    pair.run(Duration::from_millis(100));
    assert_eq!(read(&mut pair.agent.machine, theirs, pair.now), (b"still here".to_vec(), Outcome::Open));
}

#[test]
fn a_clock_that_goes_backwards_does_no_harm() {
    let mut pair = pair();
    pair.run(20 * SECOND);
    let later = pair.now;
    for back in [1, 10, 19] {
        pair.now = Instant::from_micros(later.as_micros() - back * 1_000_000);
        pair.agent.machine.handle_timeout(pair.now);
        pair.agent.machine.network_changed(pair.now);
        pair.settle();
    }
    pair.now = later;
    pair.run(20 * SECOND);
    assert!(pair.agent.machine.is_up() && pair.agent.downs().is_empty());
}

#[test]
fn streams_of_the_old_link_are_closed_and_never_taken_for_new_ones() {
    let mut pair = pair();
    pair.up();
    let (_, old) = open(&mut pair);
    pair.cut();
    assert!(pair.agent.machine.stream(old).is_err());
    pair.up();
    let (ours, new) = open(&mut pair);
    assert_ne!(old, new);
    let now = pair.now;
    write(pair.relay.session(), ours, b"for the new one", now);
    pair.run(Duration::from_millis(100));
    assert!(pair.agent.machine.stream(old).is_err());
    assert_eq!(read(&mut pair.agent.machine, new, pair.now).0, b"for the new one");
    assert!(pair.agent.machine.stream(new).is_ok());
}

#[test]
fn nothing_that_was_meant_for_the_old_socket_reaches_the_new_one() {
    let mut pair = pair();
    pair.up();
    pair.wire.config.room = 0;
    // The relay stops; the agent wants to say goodbye to a socket that takes nothing.
    pair.stopped = Some(Side::Relay);
    pair.dials = Dials::Hang;
    pair.run(30 * SECOND);
    assert_eq!(*pair.agent.downs()[0].0, DownReason::Silent);
    pair.stopped = None;
    pair.dials = Dials::Succeed;
    let retry = pair.now + 60 * SECOND;
    assert!(pair.run_until(retry, |pair| pair.relay.accepted == 2));
    pair.wire.config.room = 1024 * 1024;
    pair.transcript.clear();
    pair.up();
    let first = pair.transcript.lines().find(|line| line.contains(" Agent ")).expect("the agent spoke");
    assert!(first.contains("auth_response"), "{first}");
}

#[test]
fn an_agent_that_is_closed_says_so_and_stays_away() {
    let mut pair = pair();
    pair.up();
    pair.agent.machine.close(pair.now);
    pair.agent.machine.close(pair.now);
    pair.run(300 * SECOND);
    assert_eq!(pair.agent.downs(), [(&DownReason::Finished, None)]);
    assert_eq!(pair.relay.closings(), [&DownReason::ClosedByPeer]);
    assert_eq!(pair.relay.accepted, 1);
}
