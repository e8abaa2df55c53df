//! Anything that can happen to a machine, as values.

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::agent::Agent;
use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Message};
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{BindRefusal, Session};
use hvym_tunnel_core::stellar::Signature;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::{AGENT, AgentEnd, RELAY, opening, write};
use hvym_tunnel_tests::pair::wall;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Close(u16, String),
    /// The clock moves, and the machine is told.
    Time(u64),
    /// The machine is told too early, or a second time.
    Timer,
    /// The clock goes backwards.
    Back(u64),
    /// The dial that was asked for succeeds, or nobody asked.
    Open,
    /// Nothing is polled until the next act that lets the driver go on.
    NoPolls(Box<Act>),
    Command(u8),
    /// Operations on a stream that may exist.
    Stream(u8, u8),
}

fn relay_address() -> String {
    Key::from_seed(RELAY).address().to_string()
}

/// Control messages as an honest peer would write them, for a right or a wrong moment.
fn honest() -> impl Strategy<Value = Vec<u8>> {
    let address = relay_address();
    let texts = [
        format!(
            r#"{{"type":"auth_challenge","challenge_id":"i","challenge":"c","server_address":"{address}","mux":["yamux"]}}"#
        ),
        format!(
            r#"{{"type":"auth_ok","endpoint":"https://x","server_address":"{address}","services":[],"mux":"yamux"}}"#
        ),
        r#"{"type":"auth_response","challenge_id":"i","jwt":"a.b.c","mux":"yamux"}"#.into(),
        r#"{"type":"auth_failed","code":"authentication","error":"no"}"#.into(),
        r#"{"type":"auth_failed","code":"overloaded","error":"later"}"#.into(),
        r#"{"type":"bind","service":"web","local_port":80,"proto":"http"}"#.into(),
        r#"{"type":"bind","service":"..","proto":"tcp"}"#.into(),
        r#"{"type":"bind_ok","service":"web","url":"https://x"}"#.into(),
        r#"{"type":"bind_failed","service":"web","code":"c","error":"e"}"#.into(),
        r#"{"type":"unbind","service":"web"}"#.into(),
        r#"{"type":"unbind_ok","service":"web"}"#.into(),
        r#"{"type":"ping","id":7}"#.into(),
        r#"{"type":"ping"}"#.into(),
        r#"{"type":"pong","id":1}"#.into(),
        r#"{"type":"drain","reason":"r","deadline_ms":18446744073709551615}"#.into(),
        r#"{"type":"error","code":"c","message":"m"}"#.into(),
        r#"{"type":"new"}"#.into(),
    ];
    select(texts.to_vec()).prop_map(String::into_bytes)
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (honest(), any::<prop::sample::Index>(), any::<u8>(), 0..3_u8).prop_map(|(mut text, at, byte, how)| {
        let at = at.index(text.len());
        match how {
            0 => text[at] = byte,
            1 => text.truncate(at),
            _ => text.insert(at, byte),
        }
        text
    })
}

/// Frames that parse, with ids, flags and lengths near the edges.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![0..6_u32, Just(u32::MAX), Just(u32::MAX - 1)];
    let length = prop_oneof![0..40_u32, Just(256 * 1024), Just(256 * 1024 + 1), Just(u32::MAX)];
    let frame = (0..4_u8, 0..16_u16, id, length, vec(any::<u8>(), 0..40)).prop_map(
        |(kind, flags, id, length, body)| {
            let mut bytes = vec![0, kind];
            bytes.extend(flags.to_be_bytes());
            bytes.extend(id.to_be_bytes());
            let length = if kind == 0 && length < 40 { body.len() as u32 } else { length };
            bytes.extend(length.to_be_bytes());
            if kind == 0 {
                bytes.extend(body);
            }
            bytes
        },
    );
    let openings = select(vec![
        r#"{"service":"web"}"#.to_owned(),
        format!(r#"{{"service":"web","to":"{}"}}"#, relay_address()),
        format!(r#"{{"service":"web","from":"{}"}}"#, relay_address()),
    ]);
    let opened = (2..8_u32, openings, any::<bool>()).prop_map(|(id, json, whole)| {
        let json = json.as_bytes();
        let length = if whole { json.len() } else { json.len() - 3 };
        let mut bytes = vec![0, 0, 0, 1];
        bytes.extend(id.to_be_bytes());
        bytes.extend((length as u32 + 2).to_be_bytes());
        bytes.extend((json.len() as u16).to_be_bytes());
        bytes.extend(&json[..length]);
        bytes
    });
    vec(prop_oneof![3 => frame, 1 => opened], 1..6).prop_map(|frames| frames.concat())
}

fn act() -> impl Strategy<Value = Act> {
    let codes =
        select(vec![1000, 1001, 1002, 1006, 1009, 1013, 4000, 4001, 4008, 4029, 4500, 0, 65535, 4002, 4009]);
    let simple = prop_oneof![
        6 => honest().prop_map(Act::Text),
        3 => mutated().prop_map(Act::Text),
        1 => vec(any::<u8>(), 0..60).prop_map(Act::Text),
        4 => frames().prop_map(Act::Binary),
        1 => vec(any::<u8>(), 0..60).prop_map(Act::Binary),
        1 => (codes, "[a-zé]{0,80}").prop_map(|(code, reason)| Act::Close(code, reason)),
        3 => prop_oneof![0..1_000_u64, 0..40_000_u64, Just(100_000_000_000_u64)].prop_map(Act::Time),
        2 => Just(Act::Timer),
        1 => (0..100_000_u64).prop_map(Act::Back),
        3 => Just(Act::Open),
        4 => any::<u8>().prop_map(Act::Command),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(which, what)| Act::Stream(which, what)),
    ];
    (simple, prop::bool::weighted(0.2))
        .prop_map(|(act, rude)| if rude { Act::NoPolls(Box::new(act)) } else { act })
}

pub(super) fn acts() -> impl Strategy<Value = Vec<Act>> {
    vec(act(), 0..40)
}

impl Act {
    /// Whether a new socket is attached.
    pub(super) fn opens(&self) -> bool {
        match self {
            Act::NoPolls(act) => act.opens(),
            act => matches!(act, Act::Open),
        }
    }

    pub(super) fn is_polite(&self) -> bool {
        !matches!(self, Act::NoPolls(_))
    }

    /// What is the same for every machine. Whether that was all.
    fn on_machine<M: Streams>(&self, machine: &mut M, now: &mut Instant) -> bool {
        match self {
            Act::Text(text) => machine.handle_message(Message::Text(Bytes::from(text.clone())), *now),
            Act::Binary(data) => machine.handle_message(Message::Binary(Bytes::from(data.clone())), *now),
            Act::Close(code, reason) => machine.handle_close(Close::new(*code, reason.clone()), *now),
            Act::Time(millis) => {
                *now = *now + Duration::from_millis(*millis);
                machine.handle_timeout(*now);
            }
            Act::Timer => {
                machine.handle_timeout(*now);
                machine.handle_timeout(*now);
            }
            Act::Back(millis) => {
                let earlier = now.as_micros().saturating_sub(millis * 1000);
                machine.handle_timeout(Instant::from_micros(earlier));
                machine.handle_message(
                    Message::Text(Bytes::from_static(br#"{"type":"pong"}"#)),
                    Instant::from_micros(earlier),
                );
            }
            _ => return false,
        }
        true
    }

    pub(super) fn on_agent(&self, end: &mut AgentEnd, now: &mut Instant) {
        let known: Vec<StreamId> = end.opened().iter().map(|(id, _)| *id).collect();
        let agent = &mut end.machine;
        if self.on_machine(agent, now) {
            return;
        }
        match self {
            Act::NoPolls(act) => act.on_agent(end, now),
            Act::Command(which) => command_agent(*which, end, *now),
            Act::Stream(which, what) => operate(agent, &known, *which, *what, *now),
            Act::Open => {
                let attempts = end.attempts();
                let Some(attempt) = attempts.last() else { return };
                let _used = end.machine.handle_open(*attempt, wall(*now), *now);
            }
            _ => unreachable!("every machine takes it"),
        }
    }

    pub(super) fn on_session(&self, session: &mut Session, now: &mut Instant) {
        if self.on_machine(session, now) {
            return;
        }
        match self {
            Act::NoPolls(act) => act.on_session(session, now),
            Act::Command(which) => command_session(*which, session, *now),
            Act::Stream(which, what) => {
                let id = session.open(&opening("web"), *now);
                operate(session, &id.into_iter().collect::<Vec<_>>(), *which, *what, *now);
            }
            Act::Open => while session.poll_transmit().is_some() {},
            _ => unreachable!("every machine takes it"),
        }
    }
}

fn operate<M: Streams>(machine: &mut M, known: &[StreamId], which: u8, what: u8, now: Instant) {
    let Some(id) = known.get(usize::from(which) % known.len().max(1)) else { return };
    let Ok(mut stream) = machine.stream(*id) else { return };
    match what % 6 {
        0 => drop(stream.read(100, now)),
        1 => drop(stream.finish(now)),
        2 => stream.reset(1, now),
        3 => stream.stop(now),
        4 => drop(stream.write(&mut Bytes::from(vec![7; 5_000]), now)),
        _ => drop(stream.write(&mut Bytes::new(), now)),
    }
}

fn command_agent(which: u8, end: &mut AgentEnd, now: Instant) {
    let last = end.asked.last().cloned();
    let agent: &mut Agent = &mut end.machine;
    match which {
        0..=60 => agent.network_changed(now),
        61..=100 => agent.bind(Service::http(if which.is_multiple_of(2) { "web" } else { "" }), now),
        101..=130 => agent.unbind("web", now),
        131..=170 => drop(agent.open(&opening("web"), now)),
        171..=172 => agent.close(now),
        _ => {
            if let Some(input) = last {
                let signature = match which % 8 {
                    0 => Some(Signature([which; 64])),
                    _ => Some(Key::from_seed(AGENT).sign(&input)),
                };
                agent.handle_signature(&input, signature, now);
            }
        }
    }
}

fn command_session(which: u8, session: &mut Session, now: Instant) {
    match which {
        0..=60 => session.admit("https://x".into(), now),
        61..=90 => session.confirm(Service::http("web"), "https://x".into(), now),
        91..=120 => session.decline("web", &BindRefusal { code: "c", error: "e".into() }, now),
        121..=150 => session.drain("r", Duration::MAX, now),
        151..=160 => session.refuse(DownReason::Unknown { code: 1006, reason: "x".repeat(500) }, now),
        161..=165 => session.refuse(DownReason::Replaced, now),
        _ => {
            let id = session.open(&opening("web"), now);
            if let Ok(id) = id {
                write(session, id, b"x", now);
            }
        }
    }
}
