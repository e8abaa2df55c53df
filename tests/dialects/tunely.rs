//! Tunely's dialect, 1.1 and 2.0: replayed from recordings in both roles, and attacked.

mod agent;
mod hostile;
mod login;
mod pacing;
mod pipes;
mod relay;
mod vectors;

use hvym_tunnel_compat::CompatAgent;
use hvym_tunnel_compat::dialect::Dialect;
use hvym_tunnel_core::agent::Agent;
use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_tests::dialects::{Owner, guest, token_agent};
use serde_json::{Value, json};

/// What the Python clients' WebSocket library calls itself.
pub(crate) const PYTHON: &str = "Python/3.11 websockets/17.4";

/// A session that nobody has knocked at.
pub(crate) fn door(user_agent: Option<&str>) -> Owner<Session> {
    guest(CompatAgent::Tunely { user_agent: user_agent.map(str::to_owned) })
}

/// A session whose agent runs on Node: no connections, only messages.
pub(crate) fn node_up() -> Owner<Session> {
    up(None, &json!({"type": "auth", "token": "tun_x", "client_version": "0.1.0", "force": false}))
}

/// A session whose agent is the newest in Python.
pub(crate) fn python_up() -> Owner<Session> {
    up(
        Some(PYTHON),
        &json!({"type": "auth", "token": "tun_x", "client_version": "0.12.0", "force": false,
                "capabilities": ["binary_frames", "chunked_http", "udp"]}),
    )
}

/// A session that has let in who said `auth`.
pub(crate) fn up(user_agent: Option<&str>, auth: &Value) -> Owner<Session> {
    let mut relay = door(user_agent);
    relay.hear(auth);
    relay.admit_token(Service::http("web"));
    let said = relay.said();
    assert_eq!((said.len(), said[0]["type"].as_str()), (1, Some("auth_ok")), "{said:?}");
    relay
}

/// An agent that an existing server has let in: of the second version if it names `capabilities`.
pub(crate) fn agent_up(capabilities: Option<&[&str]>) -> Owner<Agent> {
    let mut agent = token_agent(Dialect::Tunely, "tun_x");
    agent.said();
    let mut ok = json!({"type": "auth_ok", "domain": "agent", "tunnel_id": "1", "server_version": ""});
    if let Some(capabilities) = capabilities {
        ok["capabilities"] = json!(capabilities);
    }
    agent.hear(&ok);
    agent
}
