//! Acts that fit no state: messages that are nearly right, frames near every edge, clocks that jump, owners who ask for
//! what cannot be.

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::machine::{Machine, Side};
use hvym_tunnel_core::message::{Close, Message};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::BindRefusal;
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::stellar::{Claims, Signature};
use hvym_tunnel_core::time::Instant;

use super::{Trial, Word};
use crate::Key;
use crate::ends::{AGENT, RELAY, opening, write};
use crate::pair::{EPOCH, wall};

/// Codes of closes, legal and not.
const CODES: [u16; 15] =
    [1000, 1001, 1002, 1006, 1009, 1013, 4000, 4001, 4008, 4029, 4500, 0, 65535, 4002, 4009];
/// Messages of [`honest`] that belong to a login, or end it.
const LOGIN: [u8; 8] = [0, 1, 2, 3, 5, 18, 19, 20];
/// Stream ids near the edges.
const IDS: [u32; 8] = [0, 1, 2, 3, 4, 5, u32::MAX - 1, u32::MAX];
/// Lengths near the limit of a frame.
const LENGTHS: [u32; 4] = [0, 256 * 1024, 256 * 1024 + 1, u32::MAX];
/// The bits of a command of the signer.
const SIGNER: u8 = 0xc0;
/// Longer than any timer.
const YEARS: Duration = Duration::from_secs(100_000_000);

fn relay_address() -> String {
    Key::from_seed(RELAY).address().to_string()
}

/// Control messages as an honest peer would write them, for a wrong moment.
fn honest(which: u8) -> String {
    let address = relay_address();
    match which % 22 {
        0 => format!(
            r#"{{"type":"auth_challenge","challenge_id":"i","challenge":"c","server_address":"{address}","mux":["yamux"]}}"#
        ),
        1 => format!(
            r#"{{"type":"auth_ok","endpoint":"https://x","server_address":"{address}","services":[],"mux":"yamux"}}"#
        ),
        2 => r#"{"type":"auth_response","challenge_id":"i","jwt":"a.b.c","mux":"yamux"}"#.into(),
        3 => r#"{"type":"auth_failed","code":"authentication","error":"no"}"#.into(),
        4 => r#"{"type":"auth_failed","code":"overloaded","error":"later"}"#.into(),
        5 => r#"{"type":"bind","service":"web","local_port":80,"proto":"http"}"#.into(),
        6 => r#"{"type":"bind","service":"..","proto":"tcp"}"#.into(),
        7 => r#"{"type":"bind_ok","service":"web","url":"https://x"}"#.into(),
        8 => r#"{"type":"bind_failed","service":"web","code":"c","error":"e"}"#.into(),
        9 => r#"{"type":"unbind","service":"web"}"#.into(),
        10 => r#"{"type":"unbind_ok","service":"web"}"#.into(),
        11 => r#"{"type":"ping","id":7}"#.into(),
        12 => r#"{"type":"ping"}"#.into(),
        13 => r#"{"type":"pong","id":1}"#.into(),
        14 => r#"{"type":"drain","reason":"r","deadline_ms":18446744073709551615}"#.into(),
        15 => r#"{"type":"error","code":"c","message":"m"}"#.into(),
        16 => r#"{"type":"new"}"#.into(),
        17 => r#"{"type":"bind","service":"web","proto":"a later one"}"#.into(),
        18 => r#"{"type":"auth_challenge","challenge_id":"i","challenge":"c","server_address":"G","mux":["yamux"]}"#
            .into(),
        19 => r#"{"type":"auth","token":"t","force":true}"#.into(),
        20 => r#"{"type":"auth_ok","domain":"a","tunnel_id":"1"}"#.into(),
        _ => r#"{"type":"stream_close","stream_id":1}"#.into(),
    }
}

fn mutated([how, which, at, byte]: Word) -> Vec<u8> {
    let mut text = honest(which).into_bytes();
    let at = usize::from(at) * text.len() / 256;
    match how % 3 {
        0 => text[at] = byte,
        1 => text.truncate(at),
        _ => text.insert(at, byte),
    }
    text
}

/// Any bytes, 59 at most.
fn noise(rng: &mut Rng) -> Vec<u8> {
    let bytes: [u8; 60] = rng.bytes();
    bytes[1..=usize::from(bytes[0] % 60).min(59)].to_vec()
}

/// Frames that parse, with ids, flags and lengths near the edges, and openings of streams, whole or not.
fn frames(rng: &mut Rng) -> Vec<u8> {
    let [count]: [u8; 1] = rng.bytes();
    let mut all = Vec::new();
    for _ in 0..=count % 5 {
        let [what, kind, flags, id, length]: [u8; 5] = rng.bytes();
        if what.is_multiple_of(4) {
            all.extend(opened(id, length));
            continue;
        }
        let body = noise(rng);
        let body = &body[..body.len().min(39)];
        let kind = kind % 4;
        let length = match (kind, length % 4) {
            (0, 0..=2) => u32::try_from(body.len()).expect("few"),
            (_, 0..=2) => u32::from(length % 40),
            _ => LENGTHS[usize::from(length / 4) % LENGTHS.len()],
        };
        all.extend([0, kind, 0, flags % 16]);
        all.extend(IDS[usize::from(id) % IDS.len()].to_be_bytes());
        all.extend(length.to_be_bytes());
        all.extend(if kind == 0 { body } else { &[] });
    }
    all
}

fn opened(id: u8, which: u8) -> Vec<u8> {
    let json = match which % 3 {
        0 => r#"{"service":"web"}"#.to_owned(),
        1 => format!(r#"{{"service":"web","to":"{}"}}"#, relay_address()),
        _ => format!(r#"{{"service":"web","from":"{}"}}"#, relay_address()),
    };
    let whole = if which >= 128 { json.len() } else { json.len() - 3 };
    let id = 2 + u32::from(id % 6);
    let length = u32::try_from(json.len()).expect("short") + 2;
    let prefix = u16::try_from(json.len()).expect("short").to_be_bytes();
    let head = [&[0, 0, 0, 1][..], &id.to_be_bytes(), &length.to_be_bytes(), &prefix].concat();
    [&head, &json.as_bytes()[..whole]].concat()
}

impl Trial {
    /// Anything happens to the end under test.
    pub(super) fn wild(&mut self, word: Word) {
        let [kind, a, b, c] = word;
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&word);
        let mut rng = Rng::new(seed);
        match kind % 32 {
            0..=5 => {
                let which = if self.is_up() { a } else { LOGIN[usize::from(a) % LOGIN.len()] };
                self.tell(Message::Text(Bytes::from(honest(which))));
            }
            6..=8 => self.tell(Message::Text(Bytes::from(mutated([kind / 32, a, b, c])))),
            9 => self.tell(Message::Text(Bytes::from(noise(&mut rng)))),
            10..=13 => self.tell(Message::Binary(Bytes::from(frames(&mut rng)))),
            14 => self.tell(Message::Binary(Bytes::from(noise(&mut rng)))),
            15 => {
                let reason = "é".repeat(usize::from(b % 80));
                self.hang_up(&Close::new(CODES[usize::from(a) % CODES.len()], reason));
            }
            16..=18 => {
                let millis = u64::from(u16::from_be_bytes([a, b]));
                let times = [Duration::from_millis(millis % 1000), Duration::from_millis(millis), YEARS];
                self.now = self.now + times[usize::from(c % 3)];
                self.ring(self.now);
            }
            19 | 20 => {
                self.ring(self.now);
                self.ring(self.now);
            }
            21 => self.go_back(u64::from(u16::from_be_bytes([a, b]))),
            22..=24 => self.open_again(),
            25..=28 => match self.setup.subject {
                Side::Agent => self.command_agent(a, b),
                Side::Relay => self.command_session(a),
            },
            _ => self.act_on_stream_anyhow(a, b % 5),
        }
    }

    fn tell(&mut self, message: Message) {
        match self.setup.subject {
            Side::Agent => self.agent.machine.handle_message(message, self.now),
            Side::Relay => {
                if let Some(session) = self.relay.machine.as_mut() {
                    session.handle_message(message, self.now);
                }
            }
        }
        self.kinds.insert(if self.is_up() { "anything while up" } else { "anything before" });
    }

    /// The transport ends; the peer learns it, too.
    fn hang_up(&mut self, close: &Close) {
        self.agent.machine.handle_close(close.clone(), self.now);
        if let Some(session) = self.relay.machine.as_mut() {
            session.handle_close(close.clone(), self.now);
        }
        (self.to_agent.queue, self.to_relay.queue) = Default::default();
    }

    fn ring(&mut self, now: Instant) {
        match self.setup.subject {
            Side::Agent => self.agent.machine.handle_timeout(now),
            Side::Relay => {
                if let Some(session) = self.relay.machine.as_mut() {
                    session.handle_timeout(now);
                }
            }
        }
    }

    fn go_back(&mut self, millis: u64) {
        let earlier = Instant::from_micros(self.now.as_micros().saturating_sub(millis * 1000));
        self.ring(earlier);
        let now = std::mem::replace(&mut self.now, earlier);
        self.tell(Message::Text(Bytes::from_static(br#"{"type":"pong"}"#)));
        self.now = now;
    }

    /// A socket opens that was asked for earlier, or nobody polls what the session has to say.
    fn open_again(&mut self) {
        if self.setup.subject == Side::Relay {
            while self.relay.machine.as_mut().and_then(Machine::poll_transmit).is_some() {}
        } else if self.agent.dialing.is_some() {
            self.dial();
        } else if let Some(attempt) = self.agent.attempts().last()
            && self.agent.machine.handle_open(*attempt, wall(self.now), self.now)
        {
            self.to_relay.closed = false;
        }
    }

    fn act_on_stream_anyhow(&mut self, pick: u8, what: u8) {
        match self.setup.subject {
            Side::Agent => self.act_on_stream(Side::Agent, pick, what),
            Side::Relay if self.relay.machine.is_some() => self.act_on_stream(Side::Relay, pick, what),
            Side::Relay => {}
        }
    }

    fn command_agent(&mut self, which: u8, how: u8) {
        let (agent, now) = (&mut self.agent.machine, self.now);
        // During a login the signer is who says most.
        let is_login = agent.attempt().is_some() && !agent.is_up();
        match if is_login { which | SIGNER } else { which } {
            0..=60 => agent.network_changed(now),
            61..=100 => agent.bind(Service::http(if which.is_multiple_of(2) { "web" } else { "" }), now),
            101..=130 => agent.unbind("web", now),
            131..=170 => drop(agent.open(&opening("web"), now)),
            171..=180 => agent.close(now),
            _ => {
                let claims = Claims::new(Key::from_seed(AGENT).address(), relay_address(), EPOCH);
                let input = self.agent.asked.last().cloned().unwrap_or_else(|| claims.signing_input());
                let signature = match how % 8 {
                    0 => Some(Signature([which; 64])),
                    1 => None,
                    _ => Some(Key::from_seed(AGENT).sign(&input)),
                };
                agent.handle_signature(&input, signature, now);
            }
        }
    }

    fn command_session(&mut self, which: u8) {
        let Some(session) = self.relay.machine.as_mut() else { return };
        let now = self.now;
        match which {
            0..=60 => session.admit("https://x".into(), now),
            61..=90 => _ = session.confirm(Service::http("web"), "https://x".into(), now),
            91..=120 => session.decline("web", &BindRefusal { code: "c", error: "e".into() }, now),
            121..=150 => session.drain("r", Duration::MAX, now),
            151..=160 => session.refuse(DownReason::Unknown { code: 1006, reason: "x".repeat(500) }, now),
            161..=165 => session.refuse(DownReason::Replaced, now),
            _ => {
                if let Ok(id) = session.open(&opening("web"), now) {
                    self.visits.push(id);
                    write(session, id, b"x", now);
                }
            }
        }
    }
}
