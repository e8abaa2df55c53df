//! What tokens are good for: those of older systems, those for calls, and for how long.

use std::time::Duration;

use hvym_tunnel_core::dialect::Process;
use hvym_tunnel_core::handshake::Credential;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::relay::SessionEvent;
use hvym_tunnel_core::stellar::{Claims, Scope};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::{AGENT, HOST, RELAY, session_config};
use hvym_tunnel_tests::pair::EPOCH;
use serde_json::json;

use super::relay_side::{answer, assert_refused, challenged, claims, events, session, signed};
use super::{Said, message};

const NOW: Instant = Instant::ZERO;

#[test]
fn programs_of_older_systems_name_neither_host_nor_scope_and_their_answers_are_good_once_and_for_any_time() {
    let older = || {
        let (agent, relay) = (Key::from_seed(AGENT).address(), Key::from_seed(RELAY).address());
        Claims::new(agent, relay.to_string(), EPOCH).with_services(["web"])
    };
    let years = Some(Duration::from_secs(249_000_000_000));
    for claims in
        [older(), older().with_lifetime(None), older().with_lifetime(years), older().with_host(HOST)]
    {
        let (mut session, ask) = challenged();
        let jwt = signed(&claims.with_challenge(ask["challenge"].as_str().expect("a challenge")));
        let reply = json!({"type": "auth_response", "challenge_id": ask["challenge_id"], "jwt": jwt});
        session.handle_message(message(&reply), NOW);
        assert!(matches!(events(&mut session)[..], [SessionEvent::Admit(_)]), "{reply}");
    }
    let mut bearer = session(session_config(), Credential::BearerWithoutMux(signed(&older())));
    assert!(matches!(bearer.poll_event(), Some(SessionEvent::Admit(_))));
    let mut bearer =
        session(session_config(), Credential::BearerWithoutMux(signed(&older().with_lifetime(years))));
    assert_refused(&mut bearer, "good more than once", 4002, Some("authentication"), "too long");
    // What they do name, they are held to.
    for (claims, text) in [
        (older().with_scope(Scope::Api), "no login"),
        (older().with_host("m.example"), "Host mismatch"),
        (older().with_host("m.example").with_scope(Scope::Agent), "Host mismatch"),
    ] {
        let (mut session, ask) = challenged();
        let jwt = signed(&claims.with_challenge(ask["challenge"].as_str().expect("a challenge")));
        let reply = json!({"type": "auth_response", "challenge_id": ask["challenge_id"], "jwt": jwt});
        session.handle_message(message(&reply), NOW);
        assert_refused(&mut session, text, 4002, Some("authentication"), text);
    }
}

#[test]
fn a_token_for_calls_binds_nothing_whatever_is_said_beside_it() {
    for is_bearer in [false, true] {
        let claims = claims().with_scope(Scope::Call);
        let mut session = if is_bearer {
            session(session_config(), Credential::Bearer(signed(&claims)))
        } else {
            let (mut session, ask) = challenged();
            let mut reply = answer(&ask);
            reply["jwt"] = signed(&claims.with_challenge(ask["challenge"].as_str().expect("text"))).into();
            reply["role"] = "agent".into();
            session.handle_message(message(&reply), NOW);
            session
        };
        assert!(matches!(session.poll_event(), Some(SessionEvent::Admit(_))));
        session.set_process(Process::default());
        session.admit("https://a.relay.example".into(), NOW);
        let _ok = Said::by(&mut session);
        session.handle_message(message(&json!({"type": "bind", "service": "web"})), NOW);
        assert!(session.poll_event().is_none(), "{is_bearer}");
        let said = Said::by(&mut session);
        assert_eq!((said.last_type(), &said.texts[0]["code"]), (Some("bind_failed"), &json!("not_allowed")));
    }
}
