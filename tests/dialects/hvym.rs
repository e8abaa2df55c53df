//! The JSON dialect of the existing HVYM programs: replayed from recordings in both roles, sealed, and attacked.

mod agent;
mod hostile;
mod login;
mod relay;
mod sealed;

use hvym_tunnel_compat::sealed_box::SealKey;
use hvym_tunnel_core::agent::Agent;
use hvym_tunnel_core::handshake::Credential;
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::dialects::{Owner, agent, sealing_agent, session_with, token};
use hvym_tunnel_tests::ends::RELAY;
use serde_json::{Value, json};

/// A session whose agent, an existing program, has logged in and bound its service.
pub(crate) fn relay_up(key: Option<SealKey>) -> Owner<Session> {
    let mut relay = session_with(key, &Credential::None);
    let ask = relay.said().remove(0);
    let jwt = token(ask["challenge"].as_str());
    relay.hear(&json!({"type": "auth_response", "challenge_id": ask["challenge_id"], "jwt": jwt}));
    relay.agree();
    relay.hear(&json!({"type": "bind", "service": "pintheon", "local_port": 9998}));
    relay.agree();
    let said = relay.said();
    assert_eq!((said[0]["type"].as_str(), said.len()), (Some("auth_ok"), 2), "{said:?}");
    assert_eq!(said[1], json!({"type": "bind_ok", "service": "pintheon", "local_port": 9998}));
    relay
}

/// An agent that has logged in to an existing relay.
pub(crate) fn agent_up(key: Option<SealKey>) -> Owner<Agent> {
    let mut agent = key.map_or_else(agent, sealing_agent);
    let address = Key::from_seed(RELAY).address().to_string();
    agent.hear(
        &json!({"type": "auth_challenge", "challenge_id": "i", "challenge": "c", "server_address": address}),
    );
    agent.sign();
    let answer = agent.said().remove(0);
    assert_eq!(answer["type"], "auth_response");
    assert!(answer.get("mux").is_none(), "an existing relay knows no data planes: {answer}");
    agent.hear(&welcome());
    agent
}

/// What an existing relay says to who is let in.
pub(crate) fn welcome() -> Value {
    let address = Key::from_seed(RELAY).address().to_string();
    json!({"type": "auth_ok", "endpoint": "https://G.example", "server_address": address, "services": ["pintheon"],
           "encryption_available": true, "encryption_mode": "XSalsa20-Poly1305"})
}
