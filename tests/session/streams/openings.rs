//! The first bytes of a stream.

use std::time::Duration;

use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::dialect::{MAX_STREAM_HEADER_BYTES, Proto, StreamHeader, StreamHeaderError};
use hvym_tunnel_core::link::{OpenStreamError, StreamEvent};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::mux::{MuxConfig, MuxEvent, OpenError};
use hvym_tunnel_core::relay::SessionEvent;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::ends::{
    AgentEnd, Outcome, RelayEnd, agent_config, opening, pair, pair_with, read, session_config, write,
};
use hvym_tunnel_tests::pair::Pair;
use hvym_tunnel_tests::wire::WireConfig;

use super::raw::{framed, raw_agent};

/// An opening of exactly this many bytes of JSON.
fn of_length(length: usize) -> Vec<u8> {
    let frame = r#"{"service":"web","id":""}"#.len();
    framed(format!(r#"{{"service":"web","id":"{}"}}"#, "x".repeat(length - frame)).as_bytes())
}

#[test]
fn a_stream_whose_opening_cannot_be_understood_is_reset_and_its_link_lives() {
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![0, 0]),
        ("one too long", of_length(MAX_STREAM_HEADER_BYTES + 1)),
        ("longest length", vec![0xff, 0xff]),
        ("no JSON", framed(b"GET / HTTP/1.1")),
        ("cut JSON", framed(br#"{"service":"web""#)),
        ("two objects", framed(br#"{"service":"web"}{}"#)),
        ("a list", framed(br#"["web","http"]"#)),
        ("a text", framed(br#""web""#)),
        ("nothing", framed(b"null")),
        ("no service", framed(br#"{"proto":"http"}"#)),
        ("service of another type", framed(br#"{"service":5}"#)),
        ("unknown proto", framed(br#"{"service":"web","proto":"smtp"}"#)),
        ("no UTF-8", framed(b"{\"service\":\"\xff\"}")),
        ("twice", framed(br#"{"service":"web","service":"api"}"#)),
        ("deep", framed(format!(r#"{{"service":"web","x":{}"#, "[".repeat(4000)).as_bytes())),
    ];
    let mut raw = raw_agent();
    for (what, bytes) in table {
        let id = raw.open(&bytes);
        assert!(raw.was_reset(id), "{what}");
        assert!(raw.stream_events().is_empty(), "{what}: {:?}", raw.stream_events());
    }
    raw.open(&framed(br#"{"service":"web"}"#));
    assert_eq!(raw.agent.opened().len(), 1);
    assert!(raw.agent.machine.is_up());
}

#[test]
fn what_an_opening_says_reaches_the_owner_and_what_it_does_not_say_is_left_open() {
    let mut raw = raw_agent();
    raw.open(&framed(
        br#" {"service":"ssh","proto":"tcp","visitor":"203.0.113.7:5","host":"h","id":"01J","new":{"x":[1]}}"#,
    ));
    let said = StreamHeader {
        service: "ssh".into(),
        proto: Proto::Tcp,
        visitor: Some("203.0.113.7:5".into()),
        host: Some("h".into()),
        id: Some("01J".into()),
        ..StreamHeader::default()
    };
    assert_eq!(raw.agent.opened()[0].1, said);
    raw.open(&framed(br#"{"service":"web"}"#));
    assert_eq!(raw.agent.opened()[1].1, opening("web"));
    raw.open(&framed(br#"{"service":"web","probe":true}"#));
    assert_eq!(raw.agent.opened()[2].1, StreamHeader { probe: true, ..opening("web") });
}

#[test]
fn an_opening_may_come_byte_by_byte_and_the_stream_starts_right_behind_it() {
    for length in [40, MAX_STREAM_HEADER_BYTES] {
        let mut raw = raw_agent();
        let bytes = of_length(length);
        let id = raw.open(&bytes[..1]);
        for byte in &bytes[1..bytes.len() - 1] {
            raw.write(id, &[*byte]);
            raw.settle();
            assert!(raw.stream_events().is_empty());
        }
        raw.write(id, &[&bytes[bytes.len() - 1..], b"and on".as_slice()].concat());
        raw.settle();
        assert_eq!(raw.agent.opened().len(), 1, "{length}");
        assert_eq!(raw.read_last(), b"and on");
    }
}

#[test]
fn a_stream_that_ends_inside_its_opening_is_reset() {
    for cut in [0, 1, 2, 10] {
        let mut raw = raw_agent();
        let id = raw.open(&framed(br#"{"service":"web"}"#)[..cut]);
        assert!(raw.told.iter().all(|event| !matches!(event, MuxEvent::Reset(..))));
        raw.mux.stream(id).expect("live").finish(raw.now).expect("open");
        raw.settle();
        assert!(raw.was_reset(id), "{cut}");
        assert!(raw.stream_events().is_empty() && raw.agent.machine.is_up());
    }
}

#[test]
fn a_stream_that_its_opener_resets_inside_its_opening_is_never_heard_of() {
    let mut raw = raw_agent();
    let id = raw.open(&[0, 20, b'{']);
    raw.mux.stream(id).expect("live").reset(0, raw.now);
    raw.settle();
    raw.now = raw.now + Duration::from_secs(9);
    raw.agent.machine.handle_message(hvym_tunnel_tests::pair::text(r#"{"type":"pong"}"#), raw.now);
    raw.now = raw.now + Duration::from_secs(2);
    raw.settle();
    assert!(raw.stream_events().is_empty() && raw.agent.machine.is_up());
}

#[test]
fn an_opening_that_is_never_completed_is_given_up_after_ten_seconds() {
    let mut raw = raw_agent();
    let start = raw.now;
    let dribbles = raw.open(&[0]);
    let says_nothing = raw.open(&[]);
    assert!(raw.agent.machine.poll_timeout().expect("a deadline") <= start + Duration::from_secs(10));
    for second in 1..10 {
        raw.now = start + Duration::from_secs(second);
        raw.write(dribbles, &[0x0f]);
        raw.settle();
        assert!(!raw.was_reset(dribbles) && !raw.was_reset(says_nothing), "{second}");
    }
    raw.now = Instant::from_micros((start + Duration::from_secs(10)).as_micros() - 1);
    raw.settle();
    assert!(!raw.was_reset(dribbles));
    raw.now = start + Duration::from_secs(10);
    raw.settle();
    assert!(raw.was_reset(dribbles) && raw.was_reset(says_nothing));
    assert!(raw.stream_events().is_empty() && raw.agent.machine.is_up());
}

#[test]
fn an_opening_that_does_not_fit_is_refused_before_anything_is_sent() {
    let mut pair = pair_with(agent_config(), session_config(), WireConfig::default(), [7; 32]);
    pair.up();
    let long = StreamHeader { id: Some("x".repeat(5000)), ..opening("web") };
    let refused = pair.relay.session().open(&long, pair.now);
    assert!(matches!(refused, Err(OpenStreamError::Header(StreamHeaderError::TooLong(n))) if n > 5000));
    assert!(pair.relay.session().poll_transmit().is_none());
}

#[test]
fn streams_open_with_their_headers_however_much_others_have_queued() {
    let mut relay = session_config();
    relay.link.mux.max_unsent = 64 * 1024;
    let mut pair = pair_with(agent_config(), relay, WireConfig::default(), [7; 32]);
    pair.up();
    let now = pair.now;
    let full = pair.relay.session().open(&opening("web"), now).expect("room");
    pair.run(Duration::from_secs(1));
    pair.wire.config.room = 0;
    let now = pair.now;
    let mut written = 0;
    loop {
        match write(pair.relay.session(), full, &[7; 4096], now) {
            0 => break,
            n => written += n,
        }
    }
    let long = StreamHeader { id: Some("x".repeat(4000)), ..opening("api") };
    let length = long.encode().expect("it fits").len();
    let limit = MuxConfig::opener().ack_backlog;
    for n in 0..limit {
        let id = pair.relay.session().open(&long, now).expect("there is room for its header");
        assert_eq!(
            write(pair.relay.session(), id, &[7; 8192], now),
            2 + MAX_STREAM_HEADER_BYTES - length,
            "stream {n}"
        );
    }
    let refused = pair.relay.session().open(&long, now);
    assert_eq!(refused, Err(OpenStreamError::Refused(OpenError::AckBacklog)));
    pair.wire.config.room = 1024 * 1024;
    pair.run(Duration::from_secs(1));
    let opened = pair.agent.opened();
    assert_eq!(opened.len(), 1 + limit);
    assert!(opened[1..].iter().all(|(_, header)| *header == long));
    let (data, outcome) = read(&mut pair.agent.machine, opened[0].0, pair.now);
    assert_eq!((data.len(), outcome), (written, Outcome::Open));
}

#[test]
fn a_stream_that_an_agent_opens_is_reset() {
    let mut pair = pair_with(agent_config(), session_config(), WireConfig::default(), [7; 32]);
    pair.up();
    let id = pair.agent.machine.open(&opening("web"), pair.now).expect("room");
    pair.run(Duration::from_secs(1));
    assert!(matches!(read(&mut pair.agent.machine, id, pair.now).1, Outcome::Broken(_)));
    let heard: Vec<_> =
        pair.relay.events.iter().filter(|event| matches!(event, SessionEvent::Stream(_))).collect();
    assert!(heard.is_empty(), "{heard:?}");
    assert!(pair.agent.machine.is_up());
}

#[test]
fn data_that_comes_with_an_opening_is_not_announced_again() {
    let mut pair = pair();
    pair.up();
    let readable = |pair: &Pair<AgentEnd, RelayEnd>| {
        let is_readable = |event: &&AgentEvent| matches!(event, AgentEvent::Stream(StreamEvent::Readable(_)));
        pair.agent.events.iter().filter(is_readable).count()
    };
    let now = pair.now;
    let id = pair.relay.session().open(&opening("web"), now).expect("room");
    write(pair.relay.session(), id, b"ask", now);
    pair.run(Duration::from_secs(1));
    let (theirs, _) = pair.agent.opened().pop().expect("announced");
    assert_eq!(readable(&pair), 0, "whoever is told of a stream reads it");
    assert_eq!(read(&mut pair.agent.machine, theirs, pair.now), (b"ask".to_vec(), Outcome::Open));
    let now = pair.now;
    write(pair.relay.session(), id, b"more", now);
    pair.run(Duration::from_secs(1));
    assert_eq!(readable(&pair), 1);
}
