//! A relay in the middle, before real programs: it copies the address and the live challenge of another relay, passes on what the agent
//! answers, and plays older relays. And what an agent remembers of a relay that it was told no address of.
#![cfg(unix)]

use std::fs;
use std::net::{Ipv4Addr, TcpStream};

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::older::{Link as AgentLink, Port};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::server::Request;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

/// The middle's connection to the honest relay, by the agent's nonce.
struct Honest(WebSocket<TcpStream>);

impl Honest {
    /// Asks for an upgrade as the agent did, in the name that `host` says.
    fn dial(relay: &Relay, asked: &Request, host: &str, shows_token: bool) -> Result<Self, u16> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("the relay listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
        let url = format!("{}{}", relay.url(), asked.uri().path_and_query().expect("a path"));
        let mut upgrade = url.into_client_request().expect("a URL");
        upgrade.headers_mut().insert("host", host.parse().expect("a host"));
        for name in ["authorization", "hvym-tunnel-mux"] {
            if let Some(value) = asked.headers().get(name).filter(|_| shows_token) {
                upgrade.headers_mut().insert(name, value.clone());
            }
        }
        match tungstenite::client(upgrade, stream) {
            Ok((socket, _)) => Ok(Honest(socket)),
            Err(HandshakeError::Failure(Error::Http(answer))) => {
                let body = answer.body().clone().unwrap_or_default();
                assert!(String::from_utf8_lossy(&body).contains("--also-name"), "it names the option");
                Err(answer.status().as_u16())
            }
            Err(error) => panic!("no upgrade: {error}"),
        }
    }

    fn hears(&mut self) -> Value {
        match self.0.read().expect("the relay answers") {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }

    /// Passes on what an agent answered, and what becomes of it.
    fn passed(mut self, reply: &Value) -> Value {
        self.0.send(Message::text(reply.to_string())).expect("the relay reads");
        self.hears()
    }
}

/// A relay, and an agent there whose identity somebody else wants to be.
struct Scene {
    relay: Relay,
    agent: Agent,
    key: Key,
}

impl Scene {
    fn new() -> Self {
        let (relay, key) = (Relay::start(&[]), Key::from_seed([71; 32]));
        let agent = Agent::start_in(Home::of(&key), &relay, Origin::saying(b"unhurt").port, &[]);
        Scene { relay, agent, key }
    }

    /// The same identity dials the middle, pinned to the honest relay or not. What it asked there, and its end of the link.
    fn lured(
        &self,
        middle: &Port,
        is_pinned: bool,
        more: &[&str],
    ) -> (hvym_tunnel_tests::program::Program, AgentLink, Request) {
        let (url, address) = (middle.url(), self.relay.address.to_string());
        let mut arguments = vec!["expose", "1", "--json", "--relay", &url];
        if is_pinned {
            arguments.extend(["--relay-address", &address]);
        }
        let program = Home::of(&self.key).into_program(&[&arguments, more].concat());
        let (link, asked) = middle.accept();
        (program, link, asked)
    }

    /// The name by which the honest relay is dialled.
    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.relay.port)
    }

    /// The agent at the honest relay never lost it.
    fn is_unhurt(&mut self, what: &str) {
        let mut visitor = self.relay.visit();
        visitor.send(request(self.agent.host(), "GET", "/", &[])).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        assert_eq!(visitor.body(&head).expect("a whole answer"), b"unhurt", "{what}");
        let told = self.agent.program.transcript();
        assert!(self.agent.program.runs() && !told.contains("disconnected"), "{what}: {told}");
    }
}

#[test]
fn a_relay_in_the_middle_is_no_agent_at_another_relay_whatever_it_plays() {
    let mut scene = Scene::new();
    let host = scene.host();
    for is_pinned in [false, true] {
        // As it is: the agent sees that another host was reached, and signs nothing.
        let middle = Port::default();
        let (mut program, mut link, asked) = scene.lured(&middle, is_pinned, &[]);
        let own = middle.url().trim_start_matches("ws://").to_owned();
        assert_eq!(Honest::dial(&scene.relay, &asked, &own, false).map(drop), Err(421));
        let mut honest = Honest::dial(&scene.relay, &asked, &host, false).expect("its own name");
        let ask = honest.hears();
        assert_eq!((ask["version"].as_u64(), ask["host"].as_str()), (Some(2), Some(&*host)));
        link.say(&ask);
        assert!(link.hear().is_null(), "something was answered");
        assert_eq!(program.code(), 4);
        assert!(program.transcript().contains("was dialled, but the relay was reached as"));
        scene.is_unhurt("native");

        // As an older relay: what the agent signs is for the middle alone.
        for mux in [None, Some("yamux")] {
            let (_program, mut link, asked) = scene.lured(&middle, is_pinned, &[]);
            let mut honest = Honest::dial(&scene.relay, &asked, &host, false).expect("its own name");
            let mut ask = honest.hears();
            for member in ["mux", "version", "host", "proof"] {
                ask.as_object_mut().expect("an object").remove(member);
            }
            link.say(&ask);
            let mut reply = link.hear_of("auth_response");
            if let Some(mux) = mux {
                (reply["mux"], reply["version"]) = (mux.into(), 2.into());
            }
            let verdict = honest.passed(&reply);
            assert_eq!(verdict["type"], "auth_failed");
            assert!(
                verdict["error"].as_str().is_some_and(|text| text.contains("Host mismatch")),
                "{verdict}"
            );
            scene.is_unhurt("older");
        }
    }
    // A token that went ahead.
    let middle = Port::default();
    let (_program, _link, asked) = scene.lured(&middle, true, &["--auth", "bearer"]);
    assert!(asked.headers().contains_key("authorization"));
    let verdict = Honest::dial(&scene.relay, &asked, &host, true).expect("its own name").hears();
    assert_eq!(verdict["type"], "auth_failed");
    assert!(verdict["error"].as_str().is_some_and(|text| text.contains("Host mismatch")), "{verdict}");
    scene.is_unhurt("bearer");
}

#[test]
fn an_agent_that_dials_by_a_name_that_is_not_the_relays_is_told_the_option() {
    let relay = Relay::start(&["--domain", "tunnel.example"]);
    let home = Home::new();
    // A proxy on the same machine: the name of the machine itself is no name of the relay there.
    let mut visitor = relay.visit();
    let upgrade = |host: &str, more: &str| {
        format!(
            "GET /connect HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
        )
    };
    let local = format!("localhost:{}", relay.port);
    for (host, more, status) in [
        (local.as_str(), "X-Forwarded-For: 203.0.113.7\r\n", 421),
        (local.as_str(), "Via: 1.1 proxy\r\n", 421),
        ("localhost:1", "", 421),
        ("other.example", "", 421),
        ("203.0.113.7", "", 421),
        ("x.tunnel.example", "", 421),
    ] {
        visitor.send(upgrade(host, more)).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        assert_eq!(head.status(), status, "{host} {more}");
        let body = visitor.body(&head).expect("a whole answer");
        assert!(String::from_utf8_lossy(&body).contains("--also-name"), "{host} {more}");
    }
    for host in [local.as_str(), "tunnel.example", "Tunnel.Example:80"] {
        let mut visitor = relay.visit();
        visitor.send(upgrade(host, "")).expect("the relay reads");
        assert_eq!(visitor.head().expect("an answer").status(), 101, "{host}");
    }
    // A proxy that is believed says who is there.
    let proxied = Relay::start(&["--domain", "tunnel.example", "--trusted-proxy", "127.0.0.1"]);
    for (client, status) in [("203.0.113.7", 421), ("127.0.0.1", 101), ("203.0.113.7, 127.0.0.1", 421)] {
        let mut visitor = proxied.visit();
        let fields = format!("X-Forwarded-For: {client}\r\n");
        visitor.send(upgrade(&format!("localhost:{}", proxied.port), &fields)).expect("the relay reads");
        assert_eq!(visitor.head().expect("an answer").status(), status, "{client}");
    }
    let elsewhere = Port::default();
    let mut agent = home.start(&["expose", "1", "--json", "--no-retry", "--relay", &elsewhere.url()]);
    elsewhere.refuse("HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n").expect("it asked");
    assert_eq!(agent.code(), 6);
    let own = elsewhere.url().trim_start_matches("ws://").to_owned();
    assert!(agent.transcript().contains(&format!("--also-name {own}")), "{}", agent.transcript());
    let relay = Relay::start(&["--domain", "tunnel.example", "--also-name", "relay.internal,192.0.2.7:9"]);
    for (host, status) in [("relay.internal", 101), ("192.0.2.7:9", 101), ("192.0.2.7", 421)] {
        let mut visitor = relay.visit();
        visitor.send(upgrade(host, "")).expect("the relay reads");
        assert_eq!(visitor.head().expect("an answer").status(), status, "{host}");
    }
}

#[test]
fn a_relay_that_was_found_is_remembered_and_another_key_is_an_error_until_it_is_forgotten() {
    let (first, service) = (Relay::start(&[]), Origin::saying(b"ok").port);
    let agent = Agent::start_in(Home::new(), &first, service, &[]);
    let Agent { mut program, home, .. } = agent;
    program.kill();
    let host = format!("127.0.0.1:{}", first.port);
    let file = home.path("config/hvym-tunnel/known_relays");
    let kept = fs::read_to_string(&file).expect("a file");
    assert!(kept.contains(&format!("{host} {}\n", first.address)), "{kept}");
    let relays = |arguments: &[&str]| {
        let run = home.command(&[&["relays"], arguments].concat()).output().expect("it starts");
        (run.status.code(), String::from_utf8(run.stdout).expect("text"))
    };
    assert_eq!(relays(&["list"]), (Some(0), format!("{host} {}\n", first.address)));
    // Another relay takes its place.
    let port = first.port;
    drop(first);
    let second = Relay::start_in(Home::new(), port, &[]);
    let url = second.url();
    let mut agent = home.start(&["expose", "1", "--json", "--relay", &url]);
    assert_eq!(agent.code(), 4);
    let said = agent.transcript();
    assert!(said.contains("has another key than before") && said.contains("relays forget"), "{said}");
    // An older relay cannot prove its key, so it is not the one that did.
    assert_eq!(relays(&["forget", &url]), (Some(0), String::new()));
    assert_eq!(relays(&["forget", &url]).0, Some(3));
    let Agent { mut program, home, .. } = Agent::start_in(home, &second, service, &[]);
    program.kill();
    let kept = fs::read_to_string(home.path("config/hvym-tunnel/known_relays")).expect("a file");
    assert!(kept.contains(&format!("{host} {}\n", second.address)), "{kept}");
}

#[test]
fn a_relay_that_is_known_must_prove_its_key_again() {
    let (middle, key) = (Port::default(), Key::from_seed([72; 32]));
    let home = Home::of(&key);
    let host = middle.url().trim_start_matches("ws://").to_owned();
    let known = Key::from_seed([73; 32]).address();
    let file = home.path("config/hvym-tunnel/known_relays");
    fs::write(&file, format!("{host} {known}\n")).expect("a file");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
    let mut agent = home.start(&["expose", "1", "--json", "--relay", &middle.url()]);
    let (mut link, _) = middle.accept();
    link.say(&json!({"type": "auth_challenge", "challenge_id": "i", "challenge": "c",
                     "server_address": known.to_string()}));
    assert!(link.hear().is_null(), "something was signed");
    assert_eq!(agent.code(), 4);
    assert!(agent.transcript().contains("does not prove"), "{}", agent.transcript());
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("ours");
    let mut agent = home.start(&["expose", "1", "--json", "--relay", &middle.url()]);
    assert_eq!(agent.code(), 3);
    assert!(agent.transcript().contains("is open to others"), "{}", agent.transcript());
}

#[test]
fn only_a_relay_that_was_known_before_may_name_a_domain_that_was_not_dialled() {
    // It is dialled by an address, and names `localhost` in its URLs.
    let relay = Relay::start(&["--also-name", "0.0.0.0"]);
    let (home, service) = (Home::new(), Origin::saying(b"ok").port.to_string());
    let authority = format!("0.0.0.0:{}", relay.port);
    let url = format!("ws://{authority}");
    let expose = || home.start(&["expose", &service, "--json", "--plain-relay", "--relay", &url]);
    // To be refused does not make it known.
    for _ in 0..2 {
        let mut refused = expose();
        assert_eq!(refused.code(), 4);
        let said = refused.transcript();
        assert!(
            said.contains("neither 0.0.0.0 nor a name below it") && said.contains("--relay-address"),
            "{said}"
        );
    }
    let file = home.path("config/hvym-tunnel/known_relays");
    fs::write(&file, format!("{authority} {}\n", relay.address)).expect("a file");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
    let ready = expose().event("ready");
    assert!(ready["url"].as_str().is_some_and(|url| url.contains(".localhost:")), "{ready}");
}
