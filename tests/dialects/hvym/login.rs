//! Which data plane a login ends with, and what existing programs are told when it ends otherwise.

use hvym_tunnel_core::agent::{Agent, AgentEvent};
use hvym_tunnel_core::handshake::Credential;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::Close;
use hvym_tunnel_core::reason::{DownReason, Retry};
use hvym_tunnel_tests::dialects::{Owner, agent, conversation, session, token};
use hvym_tunnel_tests::pair::open;
use serde_json::{Value, json};

use super::{agent_up, relay_up, welcome};

#[test]
fn an_agent_that_names_no_data_plane_gets_the_fields_that_existing_programs_expect() {
    let mut relay = session(&Credential::None);
    let ask = relay.said().remove(0);
    let recorded = conversation("hvym/ws/01_handshake_bind_get_post.jsonl");
    let message = |kind: &str| -> Value {
        let texts = recorded.iter().filter_map(|record| record["text"].as_str());
        let found =
            texts.filter_map(|text| serde_json::from_str::<Value>(text).ok()).find(|m| m["type"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} was recorded"))
    };
    let members = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    // They ignore what they do not know.
    assert_eq!(members(&ask)[..4], members(&message("auth_challenge"))[..]);
    let jwt = token(ask["challenge"].as_str());
    relay.hear(&json!({"type": "auth_response", "challenge_id": ask["challenge_id"], "jwt": jwt}));
    relay.agree();
    let ok = relay.said().remove(0);
    assert_eq!(ok["encryption_available"], false);
    assert!(ok.get("mux").is_none() && ok.get("version").is_none(), "{ok}");
    let expected = members(&message("auth_ok"));
    assert_eq!(members(&ok), expected[..expected.len() - 1], "the mode is missing where there is none");
}

#[test]
fn an_upgrade_with_a_token_alone_is_the_oldest_form_and_is_answered_at_once() {
    let mut relay = session(&Credential::BearerWithoutMux(token(None)));
    relay.agree();
    assert_eq!(relay.said().remove(0)["type"], "auth_ok");
    relay.hear(&json!({"type": "bind", "service": "pintheon", "local_port": 1}));
    relay.agree();
    relay.said();
    relay.ask(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(relay.said().remove(0)["type"], "tunnel_request");
}

#[test]
fn an_existing_relay_gets_the_answer_it_knows_and_the_link_comes_up() {
    let agent = agent_up(None);
    assert!(agent.events.iter().any(|event| matches!(event, AgentEvent::Up(_))));
    assert!(agent.machine.is_up());
}

#[test]
fn a_person_is_told_once_that_nothing_proves_who_an_older_relay_is() {
    let mut agent = agent_up(None);
    let told = |agent: &Owner<Agent>| {
        let is_told = |event: &&AgentEvent| matches!(event, AgentEvent::Notice { code, .. } if code == "relay_unproven");
        agent.events.iter().filter(is_told).count()
    };
    assert_eq!(told(&agent), 1);
    agent.machine.handle_close(Close::abnormal("lost"), agent.now);
    agent.now = agent.machine.poll_timeout().expect("it dials again");
    agent.machine.handle_timeout(agent.now);
    agent.listen();
    open(&mut agent.machine, agent.now);
    agent.hear(&json!({"type": "auth_challenge", "challenge_id": "i", "challenge": "c",
                       "server_address": welcome()["server_address"]}));
    agent.sign();
    agent.hear(&welcome());
    assert!(agent.machine.is_up());
    assert_eq!(told(&agent), 1);
}

#[test]
fn a_relay_that_offers_no_data_plane_cannot_grant_one() {
    let mut agent = agent();
    let mut ok = welcome();
    agent.hear(&json!({"type": "auth_challenge", "challenge_id": "i", "challenge": "c",
                       "server_address": ok["server_address"]}));
    agent.sign();
    ok["mux"] = "yamux".into();
    agent.hear(&ok);
    assert!(matches!(agent.events.last(), Some(AgentEvent::Down { reason: DownReason::Protocol(_), .. })));
}

#[test]
fn every_refusal_that_was_recorded_has_its_reason_and_its_retry() {
    let cases = [
        ("Rate limited", Retry::Backoff),
        ("Service not allowed: ssh", Retry::Never),
        ("Token expired at 1 (current time: 2)", Retry::Backoff),
        ("Challenge mismatch", Retry::Never),
    ];
    for (error, retry) in cases {
        let reason = DownReason::from_auth_failed(None, error, None);
        assert_eq!(reason.retry(), retry, "{error}");
        assert!(reason.to_string().contains(error));
    }
    let replaced = DownReason::from_close(&Close::new(4003, "New connection from same address"));
    assert_eq!(replaced, DownReason::Replaced);
    for name in ["04_wrong_audience", "05_service_not_allowed"] {
        let refused = conversation(&format!("hvym/ws/{name}.jsonl"));
        let failed = refused
            .iter()
            .filter_map(|record| record["text"].as_str())
            .find(|text| text.contains("auth_failed"));
        let mut agent = agent();
        agent.hear_text(failed.unwrap_or_else(|| panic!("{name} records a refusal")));
        let Some(AgentEvent::Down { retry_at: None, .. }) = agent.events.last() else {
            panic!("{name}: {:?}", agent.events.last())
        };
    }
}

#[test]
fn recorded_logins_that_failed_fail_here_too_and_say_why() {
    let records = conversation("hvym/ws/07_auth_failures_synthetic.jsonl");
    let mut tried = 0;
    for record in records.iter().filter(|record| record["dir"] == "c2s" && record["ev"] == "text") {
        // Another account, another relay and another challenge: whatever it says, it is no login here.
        let mut relay = session(&Credential::None);
        relay.said();
        relay.hear_text(record["text"].as_str().expect("a text"));
        relay.said();
        let close = relay.closed.take().unwrap_or_else(|| panic!("not closed after {record}"));
        assert!((4000..4100).contains(&close.code), "{close:?}");
        tried += 1;
    }
    assert!(tried > 10, "{tried}");
}

#[test]
fn what_this_dialect_has_no_word_for_is_not_said() {
    let mut relay = relay_up(None);
    relay.machine.drain("an update", std::time::Duration::from_secs(5), relay.now);
    assert_eq!(relay.said(), Vec::<Value>::new());
    relay.hear(&json!({"type": "bind", "service": "No Label"}));
    assert_eq!(relay.said()[0]["type"], "error");
}
