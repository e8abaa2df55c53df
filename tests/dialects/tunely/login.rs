//! The first message and its answer.

use hvym_tunnel_compat::TokenLogin;
use hvym_tunnel_compat::dialect::Dialect;
use hvym_tunnel_core::agent::{AgentConfig, AgentEvent};
use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::Close;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::SessionEvent;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::dialects::{conversation, token_agent};
use hvym_tunnel_tests::ends::agent_config;
use hvym_tunnel_tests::pair::{open, wall};
use serde_json::{Value, json};
use std::time::Duration;

use super::{agent_up, door, node_up, python_up};

#[test]
fn every_recorded_first_message_is_announced_with_its_token_or_refused() {
    let (mut announced, mut refused) = (0, 0);
    for name in ["01_auth_s012", "02_auth_s021", "03_duplicate_s012", "04_duplicate_s021"] {
        let mut seen = std::collections::BTreeSet::new();
        for record in conversation(&format!("tunely/ws/{name}.jsonl")) {
            if record["dir"] != "c2s" || record["ev"] != "text" || !seen.insert(record["conn"].as_u64()) {
                continue;
            }
            let text = record["text"].as_str().expect("a text");
            let message: Option<Value> = serde_json::from_str(text).ok();
            let token = message.as_ref().and_then(|m| Some((m["type"].as_str()?, m["token"].as_str()?)));
            let mut relay = door(None);
            relay.hear_text(text);
            let lists =
                message.as_ref().is_none_or(|m| m["capabilities"].is_array() || m["capabilities"].is_null());
            match token {
                Some(("auth", token)) if lists => {
                    let Some(SessionEvent::Authenticate(request)) = relay.events.pop() else {
                        panic!("{text}")
                    };
                    assert_eq!(request.token, token);
                    let force = &message.expect("parsed")["force"];
                    assert_eq!(request.force, *force == json!(true) || *force == json!("yes"), "{text}");
                    // Nobody is let in, nor told anything, before the owner has decided.
                    assert_eq!(relay.said(), Vec::<Value>::new());
                    announced += 1;
                }
                _ => {
                    relay.said();
                    assert!(relay.closed.is_some(), "{text}");
                    refused += 1;
                }
            }
        }
    }
    assert!(announced > 20 && refused > 8, "{announced} {refused}");
}

#[test]
fn the_answer_is_the_first_message_and_has_every_field_that_clients_demand() {
    let mut relay = door(None);
    relay.hear(&json!({"type": "auth", "token": "t", "capabilities": ["udp", "binary_frames", "nope"]}));
    relay.admit_token(Service::http("web"));
    relay.wait(29);
    let expected = json!({"type": "auth_ok", "domain": "agent", "tunnel_id": "agent", "server_version": "",
                          "capabilities": ["binary_frames"]});
    assert_eq!(relay.said()[0], expected);
    let records = conversation("tunely/ws/01_auth_s012.jsonl");
    let recorded: Value = records
        .iter()
        .filter_map(|record| record["text"].as_str())
        .find(|text| text.contains("auth_ok"))
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .expect("a recorded one");
    let members = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&expected), members(&recorded));
}

#[test]
fn who_is_refused_is_told_why_before_the_close() {
    let cases = [
        (DownReason::Authentication("Invalid token".into()), "auth_failed", "Invalid token"),
        (DownReason::Conflict, "connection_exists", "--force"),
        (DownReason::RateLimited("slowly".into()), "rate_limited", "slowly"),
    ];
    for (reason, code, text) in cases {
        let mut relay = door(None);
        relay.hear(&json!({"type": "auth", "token": "t"}));
        relay.machine.refuse(reason, relay.now);
        let said = relay.said();
        assert_eq!((said[0]["type"].as_str(), said[0]["code"].as_str()), (Some("auth_error"), Some(code)));
        assert!(said[0]["error"].as_str().is_some_and(|error| error.contains(text)), "{said:?}");
        assert!(relay.closed.is_some());
    }
}

#[test]
fn who_is_replaced_is_told_so_because_a_bare_close_makes_some_clients_spin() {
    for mut relay in [node_up(), python_up()] {
        relay.machine.refuse(DownReason::Replaced, relay.now);
        let said = relay.said();
        assert_eq!(said[0]["code"], "connection_exists");
        assert!(said[0]["error"].as_str().is_some_and(|error| error.contains("a newer agent")), "{said:?}");
        let close = relay.closed.expect("closed");
        assert!(![1000, 1001].contains(&close.code), "python clients come back at once after {}", close.code);
    }
}

#[test]
fn nobody_who_says_nothing_is_waited_for() {
    let mut relay = door(None);
    relay.wait(30);
    relay.said();
    assert_eq!(relay.closed.expect("closed").code, 4008);
}

#[test]
fn an_agent_shows_its_token_first_and_offers_what_it_can() {
    let mut agent = token_agent(Dialect::Tunely, "tun_secret");
    let said = agent.said();
    assert_eq!(said.len(), 1);
    assert_eq!((&said[0]["type"], &said[0]["token"]), (&json!("auth"), &json!("tun_secret")));
    assert_eq!((&said[0]["force"], &said[0]["capabilities"]), (&json!(false), &json!(["binary_frames"])));
    assert!(said[0]["client_version"].as_str().is_some_and(|version| version.starts_with("hvym-tunnel")));
    assert!(!format!("{:?}", agent.events).contains("tun_secret"));
}

#[test]
fn every_recorded_answer_lets_the_agent_in_or_tells_whether_to_try_again() {
    for name in ["01_auth_s012", "02_auth_s021", "03_duplicate_s012", "04_duplicate_s021"] {
        for record in conversation(&format!("tunely/ws/{name}.jsonl")) {
            let Some(text) = record["text"].as_str().filter(|_| record["dir"] == "s2c") else { continue };
            if !text.contains("auth_") {
                continue;
            }
            let mut agent = token_agent(Dialect::Tunely, "t");
            agent.hear_text(text);
            if text.contains("auth_ok") {
                assert!(agent.machine.is_up(), "{text}");
                assert!(agent.events.iter().any(|event| matches!(event, AgentEvent::Bound { .. })), "{text}");
                continue;
            }
            let Some(AgentEvent::Down { retry_at, .. }) = agent.events.last() else { panic!("{text}") };
            // The newer server has one text for a wrong token and for one that is in use.
            let may_pass = text.contains("connection_exists") || text.contains("\"Authentication failed\"");
            assert_eq!(retry_at.is_some(), may_pass, "{text}");
        }
    }
}

#[test]
fn who_takes_the_place_of_another_waits_longer_because_one_server_needs_31_seconds() {
    let login = |force| {
        let mut agent = token_agent(Dialect::Tunely, "t");
        let config = AgentConfig { services: vec![Service::http("web")], ..agent_config() };
        let login = TokenLogin { dialect: Dialect::Tunely, token: "t".into(), force };
        agent.machine = hvym_tunnel_compat::agent(config, login, wall(agent.now), [6; 32], agent.now);
        open(&mut agent.machine, agent.now);
        agent.said();
        agent.wait(40);
        agent.hear(&json!({"type": "auth_ok", "domain": "d", "tunnel_id": "1"}));
        agent.machine.is_up()
    };
    assert_eq!((login(true), login(false)), (true, false));
}

#[test]
fn a_relay_that_asks_before_it_has_answered_is_answered_afterwards() {
    let mut agent = token_agent(Dialect::Tunely, "t");
    agent.said();
    agent.hear(&json!({"type": "request", "id": "a", "method": "GET", "path": "/early"}));
    assert_eq!(agent.opened, []);
    agent.hear(&json!({"type": "auth_ok", "domain": "d", "tunnel_id": "1"}));
    assert_eq!(agent.opened.len(), 1);
}

#[test]
fn signs_of_life_are_those_that_each_server_understands() {
    // The newer one answers, and forgets who never asks.
    let mut agent = agent_up(Some(&["binary_frames"]));
    agent.wait(30);
    assert_eq!(agent.said(), [json!({"type": "ping"})]);
    agent.wait(46);
    assert!(!agent.machine.is_up());
    // The older one is silent, and that proves nothing.
    let mut agent = agent_up(None);
    for _ in 0..20 {
        agent.wait(60);
        agent.said();
    }
    assert!(agent.machine.is_up());
    agent.hear(&json!({"type": "ping"}));
    assert_eq!(agent.said(), [json!({"type": "pong"})]);
    assert!(agent.machine.poll_timeout().is_some());
}

#[test]
fn a_second_login_on_a_link_is_ignored() {
    let mut relay = node_up();
    relay.hear(&json!({"type": "auth", "token": "other"}));
    assert!(relay.machine.is_up() && relay.events.is_empty());
}

#[test]
fn an_agent_that_meets_its_own_link_at_the_server_is_never_more_than_five_seconds_away() {
    let mut agent = token_agent(Dialect::Tunely, "tun_token");
    agent.hear(&json!({"type": "auth_ok", "domain": "agent", "tunnel_id": "1"}));
    agent.machine.handle_close(Close::abnormal("the network is gone"), agent.now);
    agent.listen();
    // Ten minutes of refusals, although the server itself needs one to miss a link.
    let (mut refusals, end) = (0, 600);
    while agent.now < Instant::ZERO + Duration::from_secs(end) {
        let down = agent.events.iter().rev().find_map(|event| match event {
            AgentEvent::Down { reason, retry_at } => Some((reason.clone(), *retry_at)),
            _ => None,
        });
        let (reason, retry_at) = down.expect("it is down");
        let retry_at = retry_at.unwrap_or_else(|| panic!("it gave up: {reason}"));
        assert!(retry_at - agent.now <= Duration::from_secs(5), "{reason}: {:?}", retry_at - agent.now);
        agent.events.clear();
        agent.now = retry_at;
        agent.machine.handle_timeout(agent.now);
        agent.listen();
        open(&mut agent.machine, agent.now);
        agent.listen();
        agent.events.clear();
        agent.hear(&json!({"type": "auth_error", "error": "Authentication failed", "code": "auth_failed"}));
        refusals += 1;
    }
    assert!(refusals > 120, "{refusals}");
}
