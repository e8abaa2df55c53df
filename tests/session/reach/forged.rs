//! Openings that say what their side may not say: no owner ever hears of them.

use bytes::Bytes;
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_core::link::{StreamEvent, Streams};
use hvym_tunnel_core::message::{Message, Transmit};
use hvym_tunnel_core::mux::{Mux, MuxConfig, MuxEvent, Role, StreamId};
use hvym_tunnel_core::names::MAX_SERVICE_CHARACTERS;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::{AGENT, pair};

/// A machine that is logged in, and a bare multiplexer in the place of its peer.
struct Wild<M> {
    machine: M,
    mux: Mux,
    now: Instant,
    reset: Vec<StreamId>,
    opened: Vec<StreamHeader>,
}

impl<M: Streams> Wild<M> {
    fn new(machine: M, mux: Mux, now: Instant) -> Self {
        Wild { machine, mux, now, reset: Vec::new(), opened: Vec::new() }
    }

    /// Whether the machine's owner heard of a stream that begins with this opening.
    fn hears(&mut self, json: &str) -> Option<StreamHeader> {
        let id = self.mux.open(self.now).expect("room");
        let length = u16::try_from(json.len()).expect("short");
        let mut bytes = Bytes::from([&length.to_be_bytes(), json.as_bytes()].concat());
        self.mux.stream(id).expect("live").write(&mut bytes, self.now).expect("open");
        self.settle();
        let heard = self.opened.pop();
        assert_ne!(heard.is_some(), self.reset.contains(&id), "either heard or reset: {json}");
        heard
    }

    fn settle(&mut self) {
        let mut moved = true;
        while std::mem::take(&mut moved) {
            while let Some(data) = self.mux.poll_transmit() {
                moved = true;
                self.machine.handle_message(Message::Binary(data), self.now);
            }
            while let Some(event) = self.machine.poll_event() {
                if let Ok(StreamEvent::Opened { header: opening, .. }) = M::split_event(event) {
                    self.opened.push(*opening);
                }
            }
            while let Some(transmit) = self.machine.poll_transmit() {
                moved = true;
                match transmit {
                    Transmit::Send(Message::Binary(data)) => {
                        self.mux.handle_data(data, self.now).expect("an honest machine");
                    }
                    Transmit::Send(Message::Text(_)) => {}
                    Transmit::Close(close) => panic!("the link ends: {close:?}"),
                }
            }
            while let Some(event) = self.mux.poll_event() {
                if let MuxEvent::Reset(id, _) = event {
                    self.reset.push(id);
                }
            }
        }
    }
}

fn relay() -> Wild<hvym_tunnel_core::relay::Session> {
    let mut pair = pair();
    pair.up();
    let mux = Mux::new(Role::Client, MuxConfig::acceptor(), 1, [3; 32], pair.now);
    Wild::new(pair.relay.machine.expect("up"), mux, pair.now)
}

fn agent() -> Wild<hvym_tunnel_core::agent::Agent> {
    let mut pair = pair();
    pair.up();
    let mux = Mux::new(Role::Server, MuxConfig::opener(), 1, [3; 32], pair.now);
    Wild::new(pair.agent.machine, mux, pair.now)
}

fn somebody(seed: u8) -> Address {
    Key::from_seed([seed; 32]).address()
}

#[test]
fn a_relay_hears_the_service_the_owner_and_from_the_login_the_caller() {
    let mut relay = relay();
    let owner = somebody(40);
    let heard = relay.hears(&format!(
        r#"{{"service":"db","to":"{owner}","visitor":"203.0.113.7:1","proto":"tcp","new":[1]}}"#
    ));
    let heard = heard.expect("a good opening");
    assert_eq!((heard.service.as_str(), heard.to), ("db", Some(owner)));
    assert_eq!(heard.from, Some(Key::from_seed(AGENT).address()));
    assert_eq!(relay.hears(&format!(r#"{{"service":"db","to":"{owner}","from":null}}"#)), {
        let caller = Some(Key::from_seed(AGENT).address());
        Some(StreamHeader { from: caller, ..StreamHeader::reaching(owner, "db") })
    });
}

#[test]
fn a_caller_that_says_who_it_is_is_refused_however_it_says_so() {
    let (to, own, other) = (somebody(40), Key::from_seed(AGENT).address(), somebody(41));
    let mut relay = relay();
    for json in [
        format!(r#"{{"service":"db","to":"{to}","from":"{other}"}}"#),
        format!(r#"{{"from":"{other}","service":"db","to":"{to}"}}"#),
        format!(r#"{{"service":"db","to":"{to}","from":"{own}"}}"#),
        format!(r#"{{"service":"db","to":"{to}","fr\u006fm":"{other}"}}"#),
        format!(r#"{{"service":"db","to":"{to}","from":null,"from":"{other}"}}"#),
        format!(r#"{{"service":"db","to":"{to}","from":"{other}","from":null}}"#),
        format!(r#"{{"service":"db","to":"{to}","from":""}}"#),
        format!(r#"{{"service":"db","to":"{to}","from":["{other}"]}}"#),
        format!(r#"{{"service":"db","from":"{other}"}}"#),
    ] {
        assert_eq!(relay.hears(&json), None, "{json}");
    }
    assert!(relay.machine.is_up());
}

#[test]
fn an_owner_is_named_once_and_in_the_one_spelling_it_has() {
    let to = somebody(40).to_string();
    let last = if to.ends_with('A') { 'B' } else { 'A' };
    let mut relay = relay();
    for (what, json) in [
        ("nobody", r#"{"service":"db"}"#.to_owned()),
        ("null", r#"{"service":"db","to":null}"#.to_owned()),
        ("nothing", r#"{"service":"db","to":""}"#.to_owned()),
        ("lower case", format!(r#"{{"service":"db","to":"{}"}}"#, to.to_lowercase())),
        ("mixed case", format!(r#"{{"service":"db","to":"g{}"}}"#, &to[1..])),
        ("a wide letter", format!(r#"{{"service":"db","to":"\uff27{}"}}"#, &to[1..])),
        ("a cyrillic letter", format!(r#"{{"service":"db","to":"{}\u0410"}}"#, &to[..55])),
        ("padding", format!(r#"{{"service":"db","to":"{to}="}}"#)),
        ("a space", format!(r#"{{"service":"db","to":" {to}"}}"#)),
        ("a line end", format!(r#"{{"service":"db","to":"{to}\n"}}"#)),
        ("a zero", format!(r#"{{"service":"db","to":"{to}\u0000"}}"#)),
        ("mistyped", format!(r#"{{"service":"db","to":"{}{last}"}}"#, &to[..55])),
        (
            "a secret",
            r#"{"service":"db","to":"SCOWDMM5574VVYCE4FUEJ3BMYRWRIRF3Q4K5FQBLVEZEWBG7K4LGALY6"}"#.into(),
        ),
        ("twice", format!(r#"{{"service":"db","to":"{to}","to":"{to}"}}"#)),
        ("two", format!(r#"{{"service":"db","to":["{to}","{}"]}}"#, somebody(41))),
        ("a number", r#"{"service":"db","to":7}"#.to_owned()),
    ] {
        assert_eq!(relay.hears(&json), None, "{what}");
    }
}

#[test]
fn a_name_that_no_service_can_have_is_refused_before_anybody_is_looked_for() {
    let (to, long) = (somebody(40), "x".repeat(MAX_SERVICE_CHARACTERS + 1));
    let mut relay = relay();
    for service in [
        "",
        "DB",
        "dB",
        "db\\n",
        "\\ndb",
        "db\\u0000",
        "db ",
        "../db",
        "db/..",
        "a/b",
        "a.b",
        "a%2fb",
        "-db",
        "db-",
        "d\\u00fc",
        "\\uff44b",
        "*",
        long.as_str(),
        &to.to_string(),
        &to.label(),
    ] {
        let json = format!(r#"{{"service":"{service}","to":"{to}"}}"#);
        assert_eq!(relay.hears(&json), None, "{json}");
    }
    let longest = "x".repeat(MAX_SERVICE_CHARACTERS);
    assert!(relay.hears(&format!(r#"{{"service":"{longest}","to":"{to}"}}"#)).is_some());
}

#[test]
fn an_owner_takes_the_callers_name_from_its_relay_and_no_request_to_go_on() {
    let (to, from) = (somebody(40), somebody(41));
    let mut agent = agent();
    let heard = agent.hears(&format!(r#"{{"service":"db","proto":"tcp","from":"{from}"}}"#));
    assert_eq!(heard.expect("a good opening").from, Some(from));
    assert_eq!(agent.hears(r#"{"service":"web","visitor":"h:1"}"#).expect("a visitor").from, None);
    for json in [
        format!(r#"{{"service":"db","to":"{to}"}}"#),
        format!(r#"{{"service":"db","from":"{from}","to":"{to}"}}"#),
        format!(r#"{{"service":"db","from":"{from}","from":"{to}"}}"#),
        format!(r#"{{"service":"db","from":"{from}","fr\u006fm":"{to}"}}"#),
        format!(r#"{{"service":"db","from":"{}"}}"#, from.label()),
        format!(r#"{{"service":"db","from":"{from}\u0000"}}"#),
        r#"{"service":"db","from":""}"#.to_owned(),
        r#"{"service":"db","from":1}"#.to_owned(),
    ] {
        assert_eq!(agent.hears(&json), None, "{json}");
    }
    assert!(agent.machine.is_up());
}
