//! Logging in to the real relay by hand: tokens that existing programs make, our own, and everything that is wrong.
#![cfg(unix)]

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_core::stellar::{Claims, Scope};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::python::Peer;
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel, host_of, request};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket};

/// An agent by hand: a WebSocket to a relay, and nothing that helps.
struct Link(WebSocket<TcpStream>);

impl Link {
    fn dial(relay: &Relay, fields: &[(&'static str, &str)]) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("the relay listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
        stream.set_write_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
        let mut request = format!("{}/connect", relay.url()).into_client_request().expect("a URL");
        for (name, value) in fields {
            request.headers_mut().insert(*name, value.parse().expect("a field's value"));
        }
        Link(tungstenite::client(request, stream).expect("an upgrade").0)
    }

    fn bearer(relay: &Relay, token: &str) -> Self {
        let token = format!("Bearer {token}");
        Self::dial(relay, &[("authorization", &token), ("hvym-tunnel-mux", "yamux")])
    }

    fn say(&mut self, message: Message) {
        // The relay may have closed in the middle of it; what it said is then there to be read.
        let _cut = self.0.send(message);
    }

    fn tell(&mut self, signal: &Value) {
        self.say(Message::text(signal.to_string()));
    }

    /// The next control message of this type; pings before it are passed over.
    fn hears(&mut self, kind: &str) -> Value {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "no {kind}");
            let message = self.0.read().unwrap_or_else(|error| panic!("no {kind}: {error}"));
            let signal: Value = match &message {
                Message::Text(text) => serde_json::from_str(text).expect("JSON"),
                // The multiplexer measures the round trip as soon as it begins.
                Message::Binary(_) => continue,
                other => panic!("{other:?} instead of {kind}"),
            };
            if signal["type"] == kind {
                return signal;
            }
            assert_eq!(signal["type"], "ping", "instead of {kind}: {signal}");
        }
    }

    /// The code and the reason that the relay closes with, and the `auth_failed` before it.
    fn end(mut self) -> (u16, String, Option<Value>) {
        let (mut failed, begun) = (None, Instant::now());
        loop {
            assert!(begun.elapsed() < PATIENCE, "no end");
            match self.0.read() {
                Ok(Message::Close(Some(frame))) => {
                    return (frame.code.into(), frame.reason.to_string(), failed);
                }
                Ok(Message::Text(text)) => {
                    let signal: Value = serde_json::from_str(&text).expect("JSON");
                    if signal["type"] == "auth_failed" {
                        failed = Some(signal);
                    }
                }
                Ok(_) => {}
                Err(error) => panic!("ended without a close: {error}"),
            }
        }
    }

    /// Answers the challenge with a token that `token` makes of it, and returns what the relay granted.
    fn log_in(&mut self, token: impl FnOnce(&str) -> String) -> Value {
        let asked = self.hears("auth_challenge");
        assert_eq!((&asked["mux"], &asked["version"]), (&json!(["yamux"]), &2.into()), "{asked}");
        self.tell(&response(&asked, &token(asked["challenge"].as_str().expect("a challenge"))));
        self.hears("auth_ok")
    }

    /// The URL of a service, after the login.
    fn bind(&mut self, service: &str) -> String {
        self.tell(&json!({"type": "bind", "service": service, "proto": "http"}));
        self.hears("bind_ok")["url"].as_str().expect("a URL").to_owned()
    }
}

fn response(asked: &Value, jwt: &str) -> Value {
    json!({"type": "auth_response", "challenge_id": asked["challenge_id"], "jwt": jwt, "mux": "yamux", "version": 2})
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    UnixTime::from_secs(since.as_secs())
}

fn claims(key: &Key, relay: &Relay) -> Claims {
    bound(Claims::new(key.address(), relay.address.to_string(), now()), relay)
}

/// For a login at this relay, by the name that [`Relay::url`] has.
fn bound(claims: Claims, relay: &Relay) -> Claims {
    claims.with_host(&format!("127.0.0.1:{}", relay.port)).with_scope(Scope::Agent)
}

fn token(key: &Key, claims: &Claims) -> String {
    let input = claims.signing_input();
    let signature = key.sign(&input);
    input.into_token(signature).expect("its own key").as_str().to_owned()
}

/// The relay let this identity in, and visitors find what it binds.
fn is_in(link: &mut Link, granted: &Value, relay: &Relay, key: &Key) {
    assert_eq!(granted["server_address"], relay.address.to_string());
    assert_eq!((&granted["mux"], &granted["version"]), (&"yamux".into(), &2.into()), "{granted}");
    let endpoint = granted["endpoint"].as_str().expect("a URL");
    assert!(endpoint.contains(ShortLabel::new(&key.address()).as_str()), "{granted}");
    assert_eq!(link.bind("web"), endpoint, "this service is at the bare address");
    let mut visitor = relay.visit();
    visitor.send(request(host_of(endpoint), "GET", "/", &[])).expect("the relay reads");
    // The visitor's stream arrives at the link: the opening of the first one names the service.
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "no stream names the service");
        let message = link.0.read().expect("a stream");
        if let Message::Binary(frames) = message
            && String::from_utf8_lossy(&frames).contains(r#""service":"web""#)
        {
            return;
        }
    }
}

#[test]
fn a_token_of_the_real_package_logs_in_as_bearer_and_as_answer() {
    let Some(mut peer) = Peer::start() else { return };
    let (seed, relay) = ([31; 32], Relay::start(&[]));
    let key = Key::from_seed(seed);
    let mut create = |extra: Value| {
        let answer = peer.ask(&json!({
            "op": "create",
            "seed_hex": data_encoding::HEXLOWER.encode(&seed),
            "audience": relay.address.to_string(),
            "services": ["pintheon"],
            "expires_in": 3600,
            "claims": extra,
        }));
        answer["jwt"].as_str().expect("a token").to_owned()
    };
    let own = json!({"host": format!("127.0.0.1:{}", relay.port), "scope": "agent"});
    let mut link = Link::bearer(&relay, &create(own.clone()));
    let granted = link.hears("auth_ok");
    assert_eq!(granted["services"], json!(["pintheon"]));
    is_in(&mut link, &granted, &relay, &key);

    let mut link = Link::dial(&relay, &[]);
    let granted = link
        .log_in(|challenge| create(json!({"challenge": challenge, "host": own["host"], "scope": "agent"})));
    is_in(&mut link, &granted, &relay, &key);
}

#[test]
fn our_own_token_logs_in_either_way() {
    let (relay, key) = (Relay::start(&[]), Key::from_seed([32; 32]));
    let mut link = Link::dial(&relay, &[]);
    let granted = link.log_in(|challenge| token(&key, &claims(&key, &relay).with_challenge(challenge)));
    is_in(&mut link, &granted, &relay, &key);
    let mut link = Link::bearer(&relay, &token(&key, &claims(&key, &relay)));
    let granted = link.hears("auth_ok");
    is_in(&mut link, &granted, &relay, &key);
}

#[test]
fn a_relay_may_demand_the_challenge_of_those_who_bring_a_token() {
    let (relay, key) = (Relay::start(&["--require-challenge"]), Key::from_seed([33; 32]));
    let mut link = Link::bearer(&relay, &token(&key, &claims(&key, &relay)));
    let granted = link.log_in(|challenge| token(&key, &claims(&key, &relay).with_challenge(challenge)));
    is_in(&mut link, &granted, &relay, &key);
}

#[test]
fn the_real_agent_logs_in_with_a_bearer_token() {
    for more in [&[] as &[&str], &["--require-challenge"]] {
        let relay = Relay::start(more);
        let address = relay.address.to_string();
        let agent = ["--auth", "bearer", "--relay-address", &address];
        let agent = Agent::start(&relay, Origin::saying(b"bearer").port, &agent);
        let (head, body) = Tunnel { relay, agent }.get("/").expect("an answer");
        assert_eq!((head.status(), body), (200, b"bearer".to_vec()));
    }
}

/// What somebody does who was just asked to log in.
type Abuse = (&'static str, u16, fn(&mut Link, &Value, &Relay));

fn with_token(link: &mut Link, asked: &Value, key: &Key, claims: Claims) {
    let challenge = asked["challenge"].as_str().expect("a challenge");
    link.tell(&response(asked, &token(key, &claims.with_challenge(challenge))));
}

/// The longest message before the login, bytes.
const LONGEST: usize = 12 * 1024;

const ABUSES: &[Abuse] = &[
    ("garbage", 4000, |link, _, _| link.say(Message::text("garbage"))),
    ("an object without a type", 4000, |link, _, _| link.tell(&json!({"hello": 1}))),
    ("a field of another type", 4000, |link, _, _| link.tell(&json!({"type": "auth_response", "jwt": 5}))),
    ("deep nesting", 4000, |link, _, _| link.say(Message::text("[".repeat(10_000)))),
    ("bytes before the login", 4000, |link, _, _| link.say(Message::binary(vec![0; 12]))),
    ("a bind before the login", 4001, |link, _, _| link.tell(&json!({"type": "bind", "service": "web"}))),
    ("a login without a token", 4001, |link, _, _| link.tell(&json!({"type": "auth_response"}))),
    ("the other side's words", 4001, |link, asked, _| link.tell(asked)),
    ("the longest message", 4000, |link, _, _| link.say(Message::text("x".repeat(LONGEST)))),
    ("a longer message", 1009, |link, _, _| link.say(Message::text("x".repeat(LONGEST + 1)))),
    ("a large message in parts", 1009, |link, _, _| {
        let part =
            |opcode, size| Message::Frame(Frame::message(vec![b'x'; size], OpCode::Data(opcode), false));
        link.say(part(Data::Text, LONGEST));
        link.say(part(Data::Continue, 1));
    }),
    ("a large message of bytes", 1009, |link, _, _| link.say(Message::binary(vec![0; 1024 * 1024]))),
    ("the header of a huge message", 1009, |link, _, _| {
        let header = [0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4];
        link.0.get_mut().write_all(&header).expect("the relay reads");
    }),
    ("a large message of text", 1009, |link, _, _| link.say(Message::text("x".repeat(3 * 1024 * 1024)))),
    ("text that is none", 1007, |link, _, _| {
        let frame = Frame::message(vec![b'{', 0xff, b'}'], OpCode::Data(Data::Text), true);
        link.say(Message::Frame(frame));
    }),
    ("a frame without a mask", 1002, |link, _, _| {
        link.0.get_mut().write_all(&[0x81, 2, b'{', b'}']).expect("the relay reads");
    }),
    ("a token for another relay", 4002, |link, asked, _| {
        let (key, other) = (Key::from_seed([41; 32]), Key::from_seed([42; 32]).address());
        with_token(link, asked, &key, Claims::new(key.address(), other.to_string(), now()));
    }),
    ("a token of yesterday", 4002, |link, asked, relay| {
        let key = Key::from_seed([41; 32]);
        let yesterday = UnixTime::from_secs(now().as_secs() - 86_400);
        with_token(link, asked, &key, Claims::new(key.address(), relay.address.to_string(), yesterday));
    }),
    ("a token for another challenge", 4002, |link, asked, relay| {
        let key = Key::from_seed([41; 32]);
        link.tell(&response(asked, &token(&key, &claims(&key, relay).with_challenge("another"))));
    }),
    ("a bent token", 4002, |link, asked, relay| {
        let key = Key::from_seed([41; 32]);
        let challenge = asked["challenge"].as_str().expect("a challenge");
        let token = token(&key, &claims(&key, relay).with_challenge(challenge));
        link.tell(&response(asked, &token.replacen(".eyJ", ".eyI", 1)));
    }),
    ("no token at all", 4002, |link, asked, _| link.tell(&response(asked, "a.b.c"))),
];

#[test]
fn whatever_is_wrong_with_a_login_is_closed_with_its_code_and_hurts_nobody_else() {
    let tunnel = Tunnel::to(Origin::saying(b"unhurt").port);
    let relay = &tunnel.relay;
    for (what, code, abuse) in ABUSES {
        let mut link = Link::dial(relay, &[]);
        let asked = link.hears("auth_challenge");
        abuse(&mut link, &asked, relay);
        let (found, reason, failed) = link.end();
        assert_eq!(found, *code, "{what}: {reason}");
        // A browser shows no more of a close than its code, so what a person can act on also comes before.
        assert_eq!(failed.is_some(), *code == 4002, "{what}: {failed:?}");
        assert!(reason.len() <= 123, "{what}: {reason}");
        assert_eq!(tunnel.get("/").expect("an answer").1, b"unhurt", "{what}");
    }
    for token in ["x", "a.b.c", &"y".repeat(9000)] {
        let (code, _, failed) = Link::bearer(relay, token).end();
        assert_eq!(code, 4002, "{token}");
        assert_eq!(failed.expect("a reason")["code"], "authentication");
    }
    assert_eq!(tunnel.get("/").expect("an answer").1, b"unhurt");
}

#[test]
fn whatever_is_wrong_after_the_login_ends_that_link_alone() {
    let tunnel = Tunnel::to(Origin::saying(b"unhurt").port);
    let key = Key::from_seed([43; 32]);
    let go_away_frame_of_no_version = vec![9, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let stream_with_an_id_of_the_relay = vec![0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0];
    let data_beyond_the_window = vec![0, 0, 0, 1, 0, 0, 0, 1, 0, 0x10, 0, 0];
    let abuses = [
        (Message::binary(go_away_frame_of_no_version), 1002),
        (Message::binary(stream_with_an_id_of_the_relay), 1002),
        (Message::binary(data_beyond_the_window), 1002),
        (Message::text(json!({"type": "auth_response"}).to_string()), 4001),
        (Message::text("garbage"), 4000),
        (Message::text("x".repeat(64 * 1024 + 1)), 1009),
        (Message::binary(vec![0; 1024 * 1024 + 1]), 1009),
    ];
    for (abuse, code) in abuses {
        let mut link = Link::bearer(&tunnel.relay, &token(&key, &claims(&key, &tunnel.relay)));
        link.hears("auth_ok");
        link.bind("web");
        link.say(abuse);
        let (found, reason, _) = link.end();
        assert_eq!(found, code, "{reason}");
        assert_eq!(tunnel.get("/").expect("an answer").1, b"unhurt");
    }
}
