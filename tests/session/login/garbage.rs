//! Garbage at every position of the login.

use bytes::Bytes;
use hvym_tunnel_core::agent::{Agent, AgentEvent};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::relay::SessionEvent;
use hvym_tunnel_core::time::Instant;
use serde_json::Value;

use super::agent_side::{answered, ask, asked, welcome};
use super::relay_side::{answer, challenged};
use super::{Said, garbage, message};

const NOW: Instant = Instant::ZERO;
/// What may come of a login that went wrong.
const CODES: [u16; 6] = [1009, 4000, 4001, 4002, 4003, 1002];

fn up() -> Agent {
    let mut agent = answered();
    agent.handle_message(message(&welcome()), NOW);
    assert!(matches!(agent.poll_event(), Some(AgentEvent::Up(_))));
    let _binds = Said::by(&mut agent);
    agent
}

#[test]
fn what_is_no_control_message_is_malformed_wherever_it_comes() {
    for text in garbage() {
        for (step, mut agent) in [asked(), answered(), up()].into_iter().enumerate() {
            agent.handle_message(text.clone(), NOW);
            let said = Said::by(&mut agent);
            assert_eq!(said.code(), Some(4000), "agent, step {step}: {text:?}");
            assert!(said.close.is_some_and(|close| !close.reason.is_empty()));
        }
        let (asking, ask) = challenged();
        let (mut verdict, _) = challenged();
        verdict.handle_message(message(&answer(&ask)), NOW);
        let (mut up, _) = challenged();
        up.handle_message(message(&answer(&ask)), NOW);
        assert!(matches!(up.poll_event(), Some(SessionEvent::Admit(_))));
        up.admit("https://a.relay.example".into(), NOW);
        let _ok = Said::by(&mut up);
        for (step, mut session) in [asking, verdict, up].into_iter().enumerate() {
            session.handle_message(text.clone(), NOW);
            let said = Said::by(&mut session);
            assert_eq!(said.code(), Some(4000), "relay, step {step}: {text:?}");
            assert!(matches!(
                std::iter::from_fn(|| session.poll_event()).last(),
                Some(SessionEvent::Closed(_))
            ));
        }
    }
}

/// Every prefix of `text`, and `text` with each byte changed in two ways.
fn mangled(text: &str) -> impl Iterator<Item = Bytes> {
    let cut = (0..text.len()).map(|end| Bytes::copy_from_slice(&text.as_bytes()[..end]));
    let flipped = (0..text.len()).flat_map(|at| {
        [0x01, 0x80].map(|bit| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= bit;
            Bytes::from(bytes)
        })
    });
    cut.chain(flipped)
}

#[test]
fn every_byte_of_an_answer_may_be_wrong_and_the_agent_is_not_let_in_by_it() {
    let (_, ask) = challenged();
    let honest = answer(&ask);
    let mut refused = 0;
    for text in mangled(&honest.to_string()) {
        let (mut session, _) = challenged();
        session.handle_message(Message::Text(text.clone()), NOW);
        let said = Said::by(&mut session);
        match said.code() {
            Some(code) => {
                refused += 1;
                assert!(CODES.contains(&code), "{code}: {text:?}");
            }
            None => {
                // Only what nobody looks at may change: the version, or the name of a field that may be missing.
                let read: Value = serde_json::from_slice(&text).expect("JSON");
                let (id, jwt, mux) = (&read["challenge_id"], &read["jwt"], &read["mux"]);
                assert_eq!(
                    (id, jwt, mux),
                    (&honest["challenge_id"], &honest["jwt"], &honest["mux"]),
                    "{text:?}"
                );
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn every_byte_of_a_challenge_or_a_welcome_may_be_wrong_and_the_agent_survives_it() {
    for text in mangled(&ask().to_string()) {
        let mut agent = asked();
        agent.handle_message(Message::Text(text.clone()), NOW);
        let signs =
            std::iter::from_fn(|| agent.poll_event()).any(|event| matches!(event, AgentEvent::Sign(_)));
        let code = Said::by(&mut agent).code();
        match code {
            Some(code) => assert!(CODES.contains(&code) && !signs, "{code}: {text:?}"),
            // An unknown type is waited out; everything else that goes on must be for the pinned relay.
            None => {
                assert!(!signs || text.windows(56).any(|part| part == relay_address().as_bytes()), "{text:?}")
            }
        }
    }
    for text in mangled(&welcome().to_string()) {
        let mut agent = answered();
        agent.handle_message(Message::Text(text.clone()), NOW);
        if let Some(code) = Said::by(&mut agent).code() {
            assert!(CODES.contains(&code), "{code}: {text:?}");
            assert!(!agent.is_up());
        }
    }
}

fn relay_address() -> String {
    ask()["server_address"].as_str().expect("an address").to_owned()
}
