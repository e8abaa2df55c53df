//! The agent's side: an agent, and a relay that is not what it should be.

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::agent::{Agent, AgentConfig, AgentEvent};
use hvym_tunnel_core::handshake::{AuthMode, ProofInput};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::reason::{DownReason, Retry};
use hvym_tunnel_core::stellar::{Signature, SigningInput};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::{AGENT, HOST, RELAY, agent_config, nonce};
use hvym_tunnel_tests::pair::{open, wall};
use serde_json::{Value, json};

use super::{Said, message};

const NOW: Instant = Instant::ZERO;
const SEED: [u8; 32] = [4; 32];

fn relay() -> String {
    Key::from_seed(RELAY).address().to_string()
}

/// The nonce of the first dial of every agent here.
fn first_nonce() -> String {
    let mut agent = Agent::new(agent_config(), wall(NOW), SEED, NOW);
    let Some(AgentEvent::Dial(target)) = agent.poll_event() else { panic!("dials nobody") };
    nonce(&target).expect("a nonce").to_owned()
}

/// What the relay `key` asks who was dialled as `host`.
fn ask_by(key: &Key, nonce: &str, challenge: &str, host: &str) -> Value {
    let proof = key.prove(ProofInput::new(nonce, challenge, host, key.address()));
    json!({"type": "auth_challenge", "challenge_id": "id", "challenge": challenge,
           "server_address": key.address().to_string(), "mux": ["yamux"], "version": 2, "host": host, "proof": proof.as_str()})
}

pub(super) fn ask() -> Value {
    ask_by(&Key::from_seed(RELAY), &first_nonce(), "prove it", HOST)
}

pub(super) fn welcome() -> Value {
    json!({"type": "auth_ok", "endpoint": "https://a.relay.example", "server_address": relay(), "services": ["web"],
           "mux": "yamux", "version": 2})
}

/// The same, as the first that is said.
fn welcome_first() -> Value {
    let Value::Object(mut welcome) = welcome() else { panic!("no object") };
    for name in ["challenge", "host", "proof"] {
        welcome.insert(name.to_owned(), ask()[name].clone());
    }
    Value::Object(welcome)
}

/// An agent whose WebSocket has just opened.
fn opened(config: AgentConfig) -> Agent {
    let mut agent = Agent::new(config, wall(NOW), SEED, NOW);
    if let Some(AgentEvent::Sign(input)) = agent.poll_event() {
        agent.handle_signature(&input, Some(Key::from_seed(AGENT).sign(&input)), NOW);
        assert!(matches!(agent.poll_event(), Some(AgentEvent::Dial(target)) if target.bearer.is_some()));
    }
    open(&mut agent, NOW);
    agent
}

/// An agent that was asked, and what it wants to have signed.
fn signing() -> (Agent, SigningInput) {
    let mut agent = opened(agent_config());
    agent.handle_message(message(&ask()), NOW);
    let Some(AgentEvent::Sign(input)) = agent.poll_event() else { panic!("signs nothing") };
    (agent, input)
}

/// An agent that has answered.
pub(super) fn answered() -> Agent {
    let (mut agent, input) = signing();
    agent.handle_signature(&input, Some(Key::from_seed(AGENT).sign(&input)), NOW);
    let said = Said::by(&mut agent);
    assert_eq!((said.texts.len(), said.last_type(), said.code()), (1, Some("auth_response"), None));
    agent
}

pub(super) fn asked() -> Agent {
    opened(agent_config())
}

fn changed(mut json: Value, member: &str, value: Value) -> Value {
    json[member] = value;
    json
}

fn without(mut json: Value, member: &str) -> Value {
    json.as_object_mut().expect("an object").remove(member);
    json
}

/// Down with one close, one event and nothing signed.
fn assert_down(agent: &mut Agent, what: &str, code: u16, text: &str) -> DownReason {
    let said = Said::by(agent);
    assert_eq!(said.code(), Some(code), "{what}: {:?}", said.close);
    let mut down = None;
    while let Some(event) = agent.poll_event() {
        match event {
            AgentEvent::Down { reason, retry_at } => {
                assert_eq!(retry_at.is_none(), reason.retry() == Retry::Never, "{what}: {reason:?}");
                assert!(down.replace(reason).is_none(), "{what}: two ends");
            }
            AgentEvent::Dial(_) => {}
            AgentEvent::Notice { code, .. } if code == "clock" && text == "Token expired" => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    let reason = down.unwrap_or_else(|| panic!("{what}: not down"));
    assert!(reason.to_string().contains(text), "{what}: {reason}");
    reason
}

#[test]
fn an_honest_relay_is_answered_in_full() {
    let (mut agent, input) = signing();
    assert_eq!(input.signer(), Key::from_seed(AGENT).address());
    agent.handle_signature(&input, Some(Key::from_seed(AGENT).sign(&input)), NOW);
    let said = Said::by(&mut agent);
    let [answer] = &said.texts[..] else { panic!("{:?}", said.texts) };
    assert_eq!(
        (answer["challenge_id"].as_str(), answer["mux"].as_str(), answer["version"].as_u64()),
        (Some("id"), Some("yamux"), Some(2))
    );
    let token = answer["jwt"].as_str().expect("a token");
    assert!(token.as_bytes().starts_with(input.as_bytes()));
    agent.handle_message(message(&welcome()), NOW);
    assert!(
        matches!(agent.poll_event(), Some(AgentEvent::Up(endpoint)) if endpoint.url == "https://a.relay.example")
    );
    let said = Said::by(&mut agent);
    assert!(said.texts.iter().all(|text| text["type"] == "bind"), "{:?}", said.texts);
    assert_eq!(said.texts.len(), 2);
}

#[test]
fn every_wrong_challenge_ends_it_and_nothing_is_signed() {
    let other = Key::from_seed([9; 32]).address().to_string();
    let table = [
        ("another relay", changed(ask(), "server_address", other.into()), 4002, "is expected"),
        ("no address", changed(ask(), "server_address", "here".into()), 4000, "address"),
        ("another version", changed(ask(), "version", 1.into()), 4003, "speaks version 1"),
        ("no version", without(ask(), "version"), 4003, "an unknown version"),
        ("another host", changed(ask(), "host", "m.example".into()), 4002, "reached as \"m.example\""),
        ("no host", without(ask(), "host"), 4002, "reached as"),
        ("no proof", without(ask(), "proof"), 4002, "does not prove"),
        ("a proof that is none", changed(ask(), "proof", "AAAA".into()), 4002, "does not prove"),
        ("another challenge", changed(ask(), "challenge", "prove this".into()), 4002, "does not prove"),
        ("another data plane", changed(ask(), "mux", json!(["quic"])), 4003, "yamux"),
        ("nothing to prove", changed(ask(), "challenge", "".into()), 4000, "challenge"),
        ("no challenge", without(ask(), "challenge"), 4000, "challenge"),
        ("no id", without(ask(), "challenge_id"), 4000, "challenge_id"),
        ("a number", changed(ask(), "challenge", 5.into()), 4000, "`challenge` must be a text"),
        ("welcome unasked", welcome(), 4001, "auth_ok during the login"),
        ("bound unasked", json!({"type": "bind_ok", "service": "web"}), 4001, "bind_ok during the login"),
        ("an answer", json!({"type": "auth_response"}), 4001, "auth_response during the login"),
        (
            "refused",
            json!({"type": "auth_failed", "code": "rate_limited", "error": "slower"}),
            4029,
            "slower",
        ),
        ("refused by HVYM", json!({"type": "auth_failed", "error": "Token expired"}), 4002, "Token expired"),
        ("too large", json!({"type": "auth_challenge", "x": "y".repeat(65_536)}), 1009, "too large"),
    ];
    for (what, said, code, text) in table {
        let mut agent = asked();
        agent.handle_message(message(&said), NOW);
        let reason = assert_down(&mut agent, what, code, text);
        if what == "another relay" {
            assert!(matches!(reason, DownReason::WrongRelay { .. }));
        }
    }
}

#[test]
fn every_wrong_welcome_ends_it() {
    let other = Key::from_seed([9; 32]).address().to_string();
    let table = [
        ("of another relay", changed(welcome(), "server_address", other.into()), 4002, "is expected"),
        ("no address", changed(welcome(), "server_address", "x".into()), 4000, "address"),
        ("other data plane", changed(welcome(), "mux", "json".into()), 1002, "yamux"),
        ("no data plane", without(welcome(), "mux"), 1002, "yamux"),
        ("no endpoint", without(welcome(), "endpoint"), 4000, "endpoint"),
        ("asked again", ask(), 4001, "auth_challenge during the login"),
        (
            "refused",
            json!({"type": "auth_failed", "code": "not_allowed", "error": "not web"}),
            4003,
            "not web",
        ),
        (
            "conflict",
            json!({"type": "auth_failed", "code": "conflict", "error": ""}),
            4009,
            "keeps the older one",
        ),
        ("full", json!({"type": "auth_failed", "code": "overloaded", "error": "full"}), 1013, "full"),
    ];
    for (what, said, code, text) in table {
        let mut agent = answered();
        agent.handle_message(message(&said), NOW);
        assert_down(&mut agent, what, code, text);
    }
}

#[test]
fn a_login_that_comes_after_the_login_is_out_of_order() {
    for again in [ask(), welcome(), json!({"type": "auth_failed", "error": ""})] {
        let mut agent = answered();
        agent.handle_message(message(&welcome()), NOW);
        assert!(matches!(agent.poll_event(), Some(AgentEvent::Up(_))));
        agent.handle_message(message(&again), NOW);
        assert_down(&mut agent, "again", 4001, "after the login");
    }
}

#[test]
fn stream_data_before_the_login_is_malformed_at_every_step() {
    for mut agent in [asked(), signing().0, answered()] {
        agent.handle_message(Message::Binary(Bytes::from_static(&[0; 12])), NOW);
        assert_down(&mut agent, "binary", 4000, "before the login");
    }
}

#[test]
fn what_is_only_told_does_not_disturb_the_login() {
    let (mut agent, input) = signing();
    for told in
        [json!({"type": "error", "message": "busy"}), json!({"type": "hello"}), json!({"type": "ping"})]
    {
        agent.handle_message(message(&told), NOW);
    }
    assert_eq!(Said::by(&mut agent).texts, [json!({"type": "pong"})]);
    agent.handle_signature(&input, Some(Key::from_seed(AGENT).sign(&input)), NOW);
    agent.handle_message(message(&welcome()), NOW);
    assert!(matches!(agent.poll_event(), Some(AgentEvent::Up(_))));
}

#[test]
fn a_relay_or_a_signer_that_never_answers_is_given_up_after_thirty_seconds() {
    for (what, mut agent, text) in [
        ("before asking", asked(), "relay"),
        ("signing", signing().0, "signer"),
        ("after the answer", answered(), "relay"),
    ] {
        let deadline = agent.poll_timeout().expect("a deadline");
        assert_eq!(deadline - NOW, Duration::from_secs(30), "{what}");
        agent.handle_timeout(Instant::from_micros(deadline.as_micros() - 1));
        assert!(agent.poll_event().is_none(), "{what}");
        agent.handle_timeout(deadline);
        let reason = assert_down(&mut agent, what, 4008, text);
        assert_eq!(reason.retry(), Retry::Backoff, "{what}");
    }
}

#[test]
fn a_signer_that_refuses_or_is_somebody_else_ends_the_agent_for_good() {
    let stranger = |input: &SigningInput| Some(Key::from_seed([9; 32]).sign(input));
    let nonsense = |_: &SigningInput| Some(Signature([0xff; 64]));
    type Sign = dyn Fn(&SigningInput) -> Option<Signature>;
    let table: [(&str, &Sign, DownReason); 3] = [
        ("refuses", &|_| None, DownReason::SignerRefused),
        ("another key", &stranger, DownReason::SignerMismatch),
        ("nonsense", &nonsense, DownReason::SignerMismatch),
    ];
    for (what, sign, expected) in table {
        let (mut agent, input) = signing();
        agent.handle_signature(&input, sign(&input), NOW);
        assert_eq!(assert_down(&mut agent, what, 4002, "signer"), expected, "{what}");
        assert_eq!(agent.poll_timeout(), None, "{what}");
        let mut config = agent_config();
        config.login.mode = AuthMode::Bearer;
        let mut agent = Agent::new(config, wall(NOW), SEED, NOW);
        let Some(AgentEvent::Sign(input)) = agent.poll_event() else { panic!("{what}: signs nothing") };
        agent.handle_signature(&input, sign(&input), NOW);
        assert_eq!(agent.poll_event(), Some(AgentEvent::Down { reason: expected, retry_at: None }), "{what}");
    }
}

#[test]
fn an_answer_of_the_signer_that_comes_too_late_spoils_nothing() {
    let (mut agent, late) = signing();
    agent.handle_close(hvym_tunnel_core::message::Close::abnormal("lost"), NOW);
    let retry = agent.poll_timeout().expect("a retry");
    agent.handle_timeout(retry);
    let dialled = std::iter::from_fn(|| agent.poll_event()).find_map(|event| match event {
        AgentEvent::Dial(target) => nonce(&target).map(str::to_owned),
        _ => None,
    });
    open(&mut agent, retry);
    let second = ask_by(&Key::from_seed(RELAY), &dialled.expect("it dials"), "prove it again", HOST);
    agent.handle_message(message(&second), retry);
    let inputs: Vec<_> = std::iter::from_fn(|| agent.poll_event())
        .filter_map(|event| if let AgentEvent::Sign(input) = event { Some(input) } else { None })
        .collect();
    let [input] = &inputs[..] else { panic!("{inputs:?}") };
    agent.handle_signature(&late, Some(Key::from_seed(AGENT).sign(&late)), retry);
    agent.handle_signature(&late, None, retry);
    assert!(agent.poll_transmit().is_none() && agent.poll_event().is_none());
    agent.handle_signature(input, Some(Key::from_seed(AGENT).sign(input)), retry);
    assert_eq!(Said::by(&mut agent).last_type(), Some("auth_response"));
    // And once more, when nobody waits at all.
    agent.handle_signature(input, None, retry);
    agent.handle_message(message(&welcome()), retry);
    assert!(matches!(agent.poll_event(), Some(AgentEvent::Up(_))));
}

#[test]
fn an_agent_without_a_pin_signs_for_whoever_answers_and_only_for_them() {
    let mut config = agent_config();
    config.login.relay_address = None;
    let mut agent = opened(config);
    let other = ask_by(&Key::from_seed([9; 32]), &first_nonce(), "prove it", HOST);
    agent.handle_message(message(&other), NOW);
    let Some(AgentEvent::Sign(input)) = agent.poll_event() else { panic!("signs nothing") };
    agent.handle_signature(&input, Some(Key::from_seed(AGENT).sign(&input)), NOW);
    let _answer = Said::by(&mut agent);
    agent.handle_message(message(&welcome()), NOW);
    assert_down(&mut agent, "another than asked", 4002, "is expected");
}

#[test]
fn a_bearer_token_goes_ahead_and_a_challenge_is_answered_all_the_same() {
    let mut config = agent_config();
    config.login.mode = AuthMode::Bearer;
    let mut agent = opened(config.clone());
    agent.handle_message(message(&welcome_first()), NOW);
    assert!(matches!(agent.poll_event(), Some(AgentEvent::Up(_))));
    // Nothing is bound at a relay that does not prove who it is.
    for (what, said, text) in [
        ("no proof", welcome(), "reached as \"\""),
        ("another host", changed(welcome_first(), "host", "m.example".into()), "m.example"),
        (
            "proof of another challenge",
            changed(welcome_first(), "challenge", "another".into()),
            "does not prove",
        ),
        ("proof removed", without(welcome_first(), "proof"), "does not prove"),
    ] {
        let mut agent = opened(config.clone());
        agent.handle_message(message(&said), NOW);
        assert_down(&mut agent, what, 4002, text);
    }
    let mut agent = opened(config.clone());
    agent.handle_message(message(&ask()), NOW);
    assert!(matches!(agent.poll_event(), Some(AgentEvent::Sign(_))));
    // Whoever answers at the URL must be the relay that the token was made for.
    let mut agent = opened(config);
    let other = Key::from_seed([9; 32]).address().to_string();
    agent.handle_message(message(&changed(welcome_first(), "server_address", other.into())), NOW);
    assert_down(&mut agent, "another relay", 4002, "is expected");
}
