//! A relay in the middle: an agent dials it, and it would be that agent at another relay. It copies that relay's address, passes
//! challenges on while they are alive, changes what it likes, and plays older programs on both sides.

use hvym_tunnel_core::agent::{Agent, AgentEvent, DialTarget};
use hvym_tunnel_core::handshake::{AuthMode, Credential, ProofInput};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{OwnNames, Session, SessionEvent};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::{
    AGENT, HOST, RELAY, agent_config, nonce, pair, session_config, upgrade, upgrade_at,
};
use hvym_tunnel_tests::pair::wall;
use serde_json::{Value, json};

use super::{Said, message};

const NOW: Instant = Instant::ZERO;
/// What the agent dials: the relay in the middle, by a name or by its address.
const MIDDLE: [&str; 3] = ["m.example", "203.0.113.7:4896", "[2001:db8::7]:4896"];
/// Seed of what the honest relay draws.
const SEED: [u8; 32] = [5; 32];

fn honest() -> Key {
    Key::from_seed(RELAY)
}

fn middle() -> Key {
    Key::from_seed([9; 32])
}

/// An agent whose WebSocket to `host` has just opened, and its dial.
fn dialling(host: &str, pin: Option<Address>, mode: AuthMode) -> (Agent, DialTarget) {
    let mut config = agent_config();
    config.relay = format!("wss://{host}/connect");
    (config.login.relay_address, config.login.mode) = (pin, mode);
    let mut agent = Agent::new(config, wall(NOW), [4; 32], NOW);
    let mut dialled = None;
    while let Some(event) = agent.poll_event() {
        match event {
            AgentEvent::Sign(input) => {
                agent.handle_signature(&input, Some(Key::from_seed(AGENT).sign(&input)), NOW);
            }
            AgentEvent::Dial(target) => dialled = Some(target),
            other => panic!("{other:?}"),
        }
    }
    let target = dialled.expect("it dials");
    assert!(agent.handle_open(target.attempt, wall(NOW), NOW));
    (agent, target)
}

/// What the honest relay asks the relay in the middle, which passes the agent's nonce on and names the relay as it has to.
fn challenged(target: &DialTarget) -> (Session, Value) {
    let names = OwnNames::new(HOST, [4896]);
    assert!(!names.contains(&target.host, true), "the honest relay takes no Host of the middle");
    let upgrade = upgrade_at(&honest(), HOST, target, SEED).with_credential(Credential::None);
    let mut session = Session::new(session_config(), upgrade, wall(NOW), SEED, NOW);
    let ask = Said::by(&mut session).texts.remove(0);
    (session, ask)
}

/// What the agent answers to `ask`; why it does not, if it does not.
fn answer(mut agent: Agent, ask: &Value) -> Result<Value, DownReason> {
    agent.handle_message(message(ask), NOW);
    let mut is_asked = false;
    while let Some(event) = agent.poll_event() {
        match event {
            AgentEvent::Sign(input) => {
                is_asked = true;
                agent.handle_signature(&input, Some(Key::from_seed(AGENT).sign(&input)), NOW);
            }
            AgentEvent::Down { reason, .. } => {
                assert!(!is_asked, "something was signed");
                return Err(reason);
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(Said::by(&mut agent).texts.remove(0))
}

/// The honest relay lets nobody in, and says why.
fn refused(session: &mut Session, what: &str) -> String {
    let said = Said::by(session);
    let failed = said.texts.last().unwrap_or_else(|| panic!("{what}: nothing said"));
    assert_eq!((said.code(), &failed["type"]), (Some(4002), &json!("auth_failed")), "{what}");
    let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    assert!(matches!(events[..], [SessionEvent::Closed(_)]), "{what}: {events:?}");
    failed["error"].as_str().expect("a text").to_owned()
}

#[test]
fn nothing_is_signed_for_a_relay_that_shows_the_address_and_the_live_challenge_of_another() {
    for host in MIDDLE {
        for pin in [None, Some(honest().address())] {
            let (agent, target) = dialling(host, pin, AuthMode::Challenge);
            let (_session, ask) = challenged(&target);
            let Err(DownReason::WrongHost { dialled, found }) = answer(agent, &ask) else {
                panic!("{host} {pin:?}")
            };
            assert_eq!((dialled.as_str(), found.as_str()), (host, HOST));
            // The host is changed to what was dialled: that is not what was signed.
            let (agent, target) = dialling(host, pin, AuthMode::Challenge);
            let (_session, mut ask) = challenged(&target);
            ask["host"] = host.into();
            assert!(matches!(answer(agent, &ask), Err(DownReason::RelayUnproven(_))), "{host} {pin:?}");
            // And a signature of the middle's own key is none of the relay that it shows.
            let (agent, target) = dialling(host, pin, AuthMode::Challenge);
            let (_session, mut ask) = challenged(&target);
            let challenge = ask["challenge"].as_str().expect("a challenge");
            let input =
                ProofInput::new(nonce(&target).expect("a nonce"), challenge, host, honest().address());
            ask["proof"] = middle().prove(input).as_str().into();
            ask["host"] = host.into();
            assert!(matches!(answer(agent, &ask), Err(DownReason::RelayUnproven(_))), "{host} {pin:?}");
        }
    }
}

#[test]
fn a_relay_that_shows_its_own_address_gets_a_token_for_itself_alone() {
    let own = |target: &DialTarget, ask: &mut Value| {
        let challenge = ask["challenge"].as_str().expect("a challenge");
        let input =
            ProofInput::new(nonce(target).expect("a nonce"), challenge, MIDDLE[0], middle().address());
        ask["proof"] = middle().prove(input).as_str().into();
        ask["host"] = MIDDLE[0].into();
        ask["server_address"] = middle().address().to_string().into();
    };
    let (agent, target) = dialling(MIDDLE[0], None, AuthMode::Challenge);
    let (mut session, mut ask) = challenged(&target);
    own(&target, &mut ask);
    let reply = answer(agent, &ask).expect("it is whom the agent dialled");
    session.handle_message(message(&reply), NOW);
    assert!(refused(&mut session, "another audience").contains("Audience mismatch"));
    let (agent, target) = dialling(MIDDLE[0], Some(honest().address()), AuthMode::Challenge);
    let (_session, mut ask) = challenged(&target);
    own(&target, &mut ask);
    assert!(matches!(answer(agent, &ask), Err(DownReason::WrongRelay { .. })));
}

#[test]
fn a_relay_that_plays_an_older_one_gets_a_token_that_no_other_takes_from_any_program() {
    for host in MIDDLE {
        for pin in [None, Some(honest().address())] {
            for mux in [None, Some("yamux")] {
                let (agent, target) = dialling(host, pin, AuthMode::Challenge);
                let (mut session, ask) = challenged(&target);
                let older = json!({"type": "auth_challenge", "challenge_id": ask["challenge_id"],
                    "challenge": ask["challenge"], "server_address": ask["server_address"]});
                let mut reply = answer(agent, &older).expect("an older relay proves nothing");
                if let Some(mux) = mux {
                    (reply["mux"], reply["version"]) = (mux.into(), 2.into());
                }
                session.handle_message(message(&reply), NOW);
                let text = refused(&mut session, host);
                assert!(text.contains("Host mismatch"), "{host} {pin:?} {mux:?}: {text}");
            }
        }
    }
}

#[test]
fn a_bearer_token_that_was_shown_to_another_relay_is_taken_by_none_and_nothing_is_bound_there() {
    for host in MIDDLE {
        let (mut agent, target) = dialling(host, Some(honest().address()), AuthMode::Bearer);
        let token = target.bearer.clone().expect("a token went ahead").as_str().to_owned();
        for credential in [Credential::Bearer(token.clone()), Credential::BearerWithoutMux(token)] {
            let upgrade = upgrade_at(&honest(), HOST, &target, SEED).with_credential(credential);
            let mut session = Session::new(session_config(), upgrade, wall(NOW), SEED, NOW);
            assert!(refused(&mut session, host).contains("Host mismatch"), "{host}");
        }
        // What an honest relay would say who was dialled by the agent itself, but for the proof.
        agent.handle_message(
            message(&json!({"type": "auth_ok", "endpoint": "https://a.relay.example", "services": [], "mux": "yamux",
                "version": 2, "server_address": honest().address().to_string(), "host": host})),
            NOW,
        );
        let said = Said::by(&mut agent);
        assert_eq!((said.code(), said.texts.len()), (Some(4002), 0), "nothing is bound");
        assert!(!agent.is_up());
    }
}

#[test]
fn a_proxy_that_changes_host_is_told_of_and_one_that_passes_it_on_does_no_harm() {
    let (agent, target) = dialling(HOST, Some(honest().address()), AuthMode::Challenge);
    let renamed = upgrade_at(&honest(), "127.0.0.1:4896", &target, SEED);
    let mut session = Session::new(session_config(), renamed, wall(NOW), SEED, NOW);
    let ask = Said::by(&mut session).texts.remove(0);
    let reason = answer(agent, &ask).expect_err("another host");
    assert_eq!(
        reason.to_string(),
        "relay.example was dialled, but the relay was reached as \"127.0.0.1:4896\""
    );
    assert!(reason.hint().is_some_and(|hint| hint.contains("proxy") && hint.contains("Host")));

    let (agent, target) = dialling(HOST, Some(honest().address()), AuthMode::Challenge);
    let mut session = Session::new(session_config(), upgrade(&target, SEED), wall(NOW), SEED, NOW);
    let ask = Said::by(&mut session).texts.remove(0);
    session.handle_message(message(&answer(agent, &ask).expect("the right relay")), NOW);
    assert!(matches!(session.poll_event(), Some(SessionEvent::Admit(_))));
}

#[test]
fn the_proof_of_one_dial_is_none_of_the_next() {
    let (_, first) = dialling(HOST, None, AuthMode::Challenge);
    let mut second = pair();
    second.up();
    second.cut();
    second.up();
    let dials: Vec<_> = second
        .agent
        .events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::Dial(target) => Some(target),
            _ => None,
        })
        .collect();
    let [one, two] = &dials[..] else { panic!("{dials:?}") };
    assert!(nonce(one) != nonce(two) && nonce(one) != nonce(&first), "a nonce is used once");
    let (agent, mut old) = dialling(HOST, None, AuthMode::Challenge);
    old.relay.clone_from(&two.relay);
    let mut session = Session::new(session_config(), upgrade(&old, SEED), wall(NOW), SEED, NOW);
    let ask = Said::by(&mut session).texts.remove(0);
    assert!(matches!(answer(agent, &ask), Err(DownReason::RelayUnproven(_))));
}

#[test]
fn a_relay_that_proved_itself_is_the_only_one_for_as_long_as_the_agent_runs() {
    for (what, other, expected) in
        [("another key", true, "another key than before"), ("an older relay", false, "prove")]
    {
        let mut pair = pair();
        pair.agent = {
            let mut config = agent_config();
            config.login.relay_address = None;
            hvym_tunnel_tests::ends::AgentEnd::new(config, [7; 32], NOW)
        };
        pair.up();
        pair.cut();
        // The next dial reaches somebody else.
        let attempt = loop {
            if let Some(target) = pair.agent.dialing.take() {
                break target;
            }
            let next = pair.next_at().expect("it dials again");
            pair.now = pair.now.max(next);
            pair.turn();
        };
        let now = pair.now;
        assert!(pair.agent.machine.handle_open(attempt.attempt, wall(now), now));
        let input = |key: &Key| ProofInput::new(nonce(&attempt).expect("a nonce"), "c", HOST, key.address());
        let ask = match other {
            true => json!({"type": "auth_challenge", "challenge_id": "i", "challenge": "c", "mux": ["yamux"],
                "version": 2, "host": HOST, "server_address": middle().address().to_string(),
                "proof": middle().prove(input(&middle())).as_str()}),
            false => json!({"type": "auth_challenge", "challenge_id": "i", "challenge": "c",
                "server_address": honest().address().to_string()}),
        };
        let asked = pair.agent.asked.len();
        pair.agent.machine.handle_message(message(&ask), now);
        pair.turn();
        assert_eq!(pair.agent.asked.len(), asked, "{what}: something was signed");
        let downs = pair.agent.downs();
        let (reason, retry_at) = downs.last().expect("it ended");
        assert!(reason.to_string().contains(expected), "{what}: {reason}");
        assert_eq!(*retry_at, None, "{what}");
    }
}
