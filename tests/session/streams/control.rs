//! Control messages of a link that is up: services, liveness, and peers that overdo it.

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Message, Transmit};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{BindRefusal, SessionEvent};
use hvym_tunnel_tests::ends::{
    AgentEnd, Outcome, RelayEnd, agent_config, opening, pair, pair_with, read, session_config, write,
};
use hvym_tunnel_tests::pair::{Pair, text};
use hvym_tunnel_tests::wire::WireConfig;

use super::raw::{raw_agent, raw_session};

const SECOND: Duration = Duration::from_secs(1);

/// The services that were refused, and the codes.
fn refused(pair: &Pair<AgentEnd, RelayEnd>) -> Vec<(&str, &str)> {
    fn refused(event: &AgentEvent) -> Option<(&str, &str)> {
        match event {
            AgentEvent::BindRefused { service, code, error } => {
                assert!(!error.is_empty());
                Some((service, code))
            }
            _ => None,
        }
    }
    pair.agent.events.iter().filter_map(refused).collect()
}

#[test]
fn a_name_that_is_no_label_is_refused_and_the_others_are_bound() {
    let address = hvym_tunnel_tests::Key::from_seed([1; 32]).address();
    let bad = ["", "-a", "a-", "A", "a.b", "a b", "ü", "a--b", "xn", &address.label(), &"x".repeat(41)]
        .map(str::to_owned);
    let mut config = agent_config();
    config.services = bad.iter().map(Service::http).chain([Service::http("web")]).collect();
    let mut pair = pair_with(config, session_config(), WireConfig::default(), [7; 32]);
    pair.up();
    let codes: Vec<_> = bad.iter().map(|name| (name.as_str(), "bad_name")).collect();
    assert_eq!(refused(&pair), codes);
    assert_eq!(pair.agent.bound(), ["web"]);
    let asked = pair.relay.events.iter().filter(|event| matches!(event, SessionEvent::Bind(_))).count();
    assert_eq!(asked, 1, "the relay's owner is asked for legal names only");
}

#[test]
fn at_most_64_services_are_bound_even_when_the_owner_answers_late() {
    let mut config = agent_config();
    config.login.token_lifetime = SECOND * 3600;
    config.services = (0..70).map(|n| Service::http(format!("s{n}"))).collect();
    let mut pair = pair_with(config, session_config(), WireConfig::default(), [7; 32]);
    pair.up();
    assert_eq!((pair.agent.bound().len(), refused(&pair).len()), (64, 6));
    assert!(refused(&pair).iter().all(|(_, code)| *code == "too_many"));
    // One that is bound already may be bound again.
    let mut known = Service::http("s3");
    known.local_port = Some(99);
    pair.agent.machine.bind(known, pair.now);
    pair.run(SECOND);
    assert_eq!(pair.relay.session().service(Some("s3")).and_then(|s| s.local_port), Some(99));
    let (mut session, now) = raw_session();
    for n in 0..70 {
        session.handle_message(text(format!(r#"{{"type":"bind","service":"n{n}"}}"#)), now);
    }
    let asked: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    for event in asked {
        if let SessionEvent::Bind(service) = event {
            session.confirm(service, "https://x".into(), now);
        }
    }
    let bound = (0..70).filter(|n| session.service(Some(&format!("n{n}"))).is_some()).count();
    assert_eq!(bound, 62, "and the two of the login");
}

#[test]
fn a_relay_binds_only_what_it_allows() {
    let mut relay = session_config();
    relay.login.allowed_services = Some(vec!["web".into(), "api".into()]);
    let mut pair = pair_with(agent_config(), relay, WireConfig::default(), [7; 32]);
    pair.up();
    pair.agent.machine.bind(Service::http("other"), pair.now);
    pair.run(SECOND);
    assert_eq!(refused(&pair), [("other", "not_allowed")]);
    assert!(pair.relay.session().service(Some("other")).is_none());
}

#[test]
fn a_service_of_a_later_time_is_refused_and_the_link_stays() {
    let (mut session, now) = raw_session();
    session.handle_message(text(r#"{"type":"bind","service":"new","proto":"h9"}"#.to_owned()), now);
    session.handle_message(text(r#"{"type":"bind","service":"old"}"#.to_owned()), now);
    let asked: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    assert_eq!(asked, [SessionEvent::Bind(Service::http("old"))]);
    let said: Vec<_> = std::iter::from_fn(|| session.poll_transmit()).collect();
    let refusal = said.iter().find_map(|transmit| match transmit {
        Transmit::Send(message) => {
            std::str::from_utf8(message.payload()).ok().filter(|text| text.contains("bind_failed"))
        }
        Transmit::Close(_) => None,
    });
    assert!(refusal.is_some_and(|text| text.contains("not_offered")), "{said:?}");
    assert!(session.is_up());
}

#[test]
fn the_owner_may_decline_a_service_in_its_own_words() {
    let mut pair = pair();
    pair.relay.declines = Some(BindRefusal { code: "not_offered", error: "HTTP only".into() });
    pair.up();
    assert_eq!(refused(&pair), [("web", "not_offered"), ("api", "not_offered")]);
    assert!(pair.relay.session().service(None).is_none());
}

#[test]
fn a_service_that_is_withdrawn_is_gone_and_its_streams_go_on() {
    let mut pair = pair();
    pair.up();
    let now = pair.now;
    let ours = pair.relay.session().open(&opening("web"), now).expect("room");
    pair.run(SECOND);
    pair.agent.machine.unbind("web", pair.now);
    pair.agent.machine.unbind("never there", pair.now);
    pair.run(SECOND);
    assert!(pair.relay.events.contains(&SessionEvent::Unbound("web".into())));
    assert!(pair.relay.session().service(Some("web")).is_none());
    assert_eq!(pair.relay.session().service(None).map(|s| s.name.as_str()), Some("api"));
    let now = pair.now;
    write(pair.relay.session(), ours, b"still here", now);
    pair.run(SECOND);
    let theirs = pair.agent.opened()[0].0;
    assert_eq!(read(&mut pair.agent.machine, theirs, pair.now), (b"still here".to_vec(), Outcome::Open));
}

#[test]
fn an_idle_link_pings_every_ten_seconds_and_measures_the_round_trip() {
    let mut pair = pair();
    pair.up();
    pair.transcript.clear();
    pair.run(120 * SECOND);
    let pings = pair.transcript.lines().filter(|line| line.contains(r#""type":"ping""#)).count();
    // What one side asks is input for the other, which then need not ask.
    assert!((11..=24).contains(&pings), "{pings}");
    let round_trips: Vec<_> =
        pair.agent
            .events
            .iter()
            .filter_map(|event| if let AgentEvent::Latency(rtt) = event { Some(*rtt) } else { None })
            .chain(
                pair.relay.events.iter().filter_map(|event| {
                    if let SessionEvent::Latency(rtt) = event { Some(*rtt) } else { None }
                }),
            )
            .collect();
    assert!(!round_trips.is_empty());
    assert!(round_trips.iter().all(|rtt| *rtt == Duration::from_millis(40)), "{round_trips:?}");
}

#[test]
fn a_pong_that_nobody_asked_for_measures_nothing() {
    let (mut session, now) = raw_session();
    for pong in
        [r#"{"type":"pong"}"#, r#"{"type":"pong","id":1}"#, r#"{"type":"pong","id":18446744073709551615}"#]
    {
        session.handle_message(text(pong), now);
        assert!(session.poll_event().is_none() && session.poll_transmit().is_none());
    }
    session.handle_message(text(r#"{"type":"ping"}"#), now);
    let Some(Transmit::Send(answer)) = session.poll_transmit() else { panic!("no answer") };
    assert_eq!(answer, text(r#"{"type":"pong"}"#));
}

#[test]
fn what_the_relay_tells_reaches_a_person() {
    let mut pair = pair();
    pair.up();
    let now = pair.now;
    pair.relay.session().drain("a new version", 30 * SECOND, now);
    pair.run(SECOND);
    let draining = AgentEvent::Draining { reason: "a new version".into(), deadline: 30 * SECOND };
    assert!(pair.agent.events.contains(&draining));
    let told = text(r#"{"type":"error","code":"c","message":"m","hint":"h","more":1}"#);
    pair.agent.machine.handle_message(told, pair.now);
    pair.settle();
    let told = AgentEvent::Notice { code: "c".into(), message: "m".into(), hint: Some("h".into()) };
    assert_eq!(pair.agent.events.last(), Some(&told));
    assert!(pair.agent.machine.is_up());
}

#[test]
fn unknown_messages_are_ignored_on_both_sides() {
    let mut raw = raw_agent();
    let (mut session, now) = raw_session();
    for unknown in [r#"{"type":"new"}"#, r#"{"type":"new","x":[1,{"y":null}]}"#, r#"{"type":""}"#] {
        raw.agent.machine.handle_message(text(unknown), raw.now);
        session.handle_message(text(unknown), now);
    }
    raw.settle();
    assert!(raw.agent.machine.is_up() && session.is_up());
    assert!(raw.texts.is_empty() && session.poll_transmit().is_none());
}

#[test]
fn a_peer_that_asks_and_never_reads_is_cut_off_before_it_costs_memory() {
    let long = format!(r#"{{"type":"unbind","service":"{}"}}"#, "x".repeat(60_000));
    let table = [
        ("pings", r#"{"type":"ping","id":1}"#.to_owned(), 257),
        ("binds", r#"{"type":"bind","service":"Ü"}"#.to_owned(), 257),
        ("long names", long, 5),
    ];
    for (what, ask, at) in table {
        let (mut session, now) = raw_session();
        let mut asked = 0;
        while session.is_up() {
            asked += 1;
            session.handle_message(text(ask.as_str()), now);
        }
        assert_eq!(asked, at, "{what}");
        let waiting: Vec<_> = std::iter::from_fn(|| session.poll_transmit()).collect();
        let bytes: usize = waiting
            .iter()
            .map(|transmit| if let Transmit::Send(message) = transmit { message.payload().len() } else { 0 })
            .sum();
        assert!(bytes <= 256 * 1024 && waiting.len() <= 257, "{what}: {bytes}");
        assert!(matches!(waiting.last(), Some(Transmit::Close(close)) if close.code == 1013), "{what}");
        let last = std::iter::from_fn(|| session.poll_event()).last();
        assert!(matches!(last, Some(SessionEvent::Closed(DownReason::Overloaded(_)))), "{what}");
    }
    let mut raw = raw_agent();
    for _ in 0..1000 {
        raw.agent.machine.handle_message(text(r#"{"type":"ping"}"#), raw.now);
    }
    raw.settle();
    assert_eq!(raw.close.as_ref().map(|close| close.code), Some(1013));
    assert!(raw.texts.len() <= 256);
}

#[test]
fn a_peer_that_asks_a_lot_and_reads_the_answers_is_served() {
    let mut raw = raw_agent();
    for n in 0..10_000 {
        raw.agent.machine.handle_message(text(format!(r#"{{"type":"ping","id":{n}}}"#)), raw.now);
        raw.settle();
    }
    assert!(raw.agent.machine.is_up());
    assert_eq!(raw.texts.len(), 10_000);
}

#[test]
fn a_peer_that_talks_and_never_takes_stream_data_is_given_up() {
    let (mut session, start) = raw_session();
    session.open(&opening("web"), start).expect("room");
    let mut now = start;
    for second in 1..=30 {
        assert!(session.is_up(), "{second}");
        now = start + second * SECOND;
        session.handle_message(text(r#"{"type":"new"}"#), now);
        session.handle_timeout(now);
    }
    let last = std::iter::from_fn(|| session.poll_event()).last();
    assert!(
        matches!(&last, Some(SessionEvent::Closed(DownReason::TimedOut(text))) if text.contains("read")),
        "{last:?}"
    );
    assert!(now - start == 30 * SECOND);
}

#[test]
fn a_breach_of_the_stream_rules_is_answered_with_a_goodbye_and_1002() {
    let table: [(&str, &[u8]); 4] = [
        ("version", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("type", &[0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("odd id from a relay", &[0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
        ("text in place of frames", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ];
    for (what, bytes) in table {
        let mut raw = raw_agent();
        raw.agent.machine.handle_message(Message::Binary(Bytes::copy_from_slice(bytes)), raw.now);
        let first = raw.agent.machine.poll_transmit();
        let goodbye = Bytes::from_static(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(first, Some(Transmit::Send(Message::Binary(goodbye))), "{what}");
        raw.settle();
        assert_eq!(raw.close.as_ref().map(|close| close.code), Some(1002), "{what}");
        assert!(matches!(raw.agent.downs()[..], [(DownReason::Protocol(_), Some(_))]), "{what}");
    }
}
