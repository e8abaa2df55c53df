//! Agents of CloudToLocalLLM: tokens in the upgrade, checked by the login service's keys.

use std::sync::atomic::{AtomicUsize, Ordering};

use hvym_tunnel_tests::guests::{CLOUD, Guest, cloud_relay, write_config, write_private};
use hvym_tunnel_tests::http::{Origin, answer as response, ok};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tokens::{claims, hs256, rs256, sealed};
use hvym_tunnel_tests::tunnel::Relay;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{answer, ask};

const SHARED: &str = "a shared key of thirty-two bytes, or more of them";

fn header() -> Value {
    json!({"alg": "RS256", "typ": "JWT", "kid": "first"})
}

pub(crate) fn good(subject: &str) -> String {
    rs256(&header(), &claims(subject))
}

/// A visitor is answered by the agent.
fn serves(relay: &Relay, agent: &mut Guest, host: &str) {
    let mut visitor = ask(relay, host, "GET", "/api/tags?x=1", &[]);
    let asked = agent.hears("http_request");
    assert_eq!((&asked["method"], &asked["path"]), (&json!("GET"), &json!("/api/tags?x=1")), "{asked}");
    agent.tell(
        &json!({"type": "http_response", "id": asked["id"], "status": 200, "headers": {}, "body": "models"}),
    );
    let (head, body) = answer(&mut visitor);
    assert_eq!((head.status(), &*body), (200, &b"models"[..]));
}

/// An agent that was let in. Nobody tells it, so the relay has to.
fn joined(relay: &mut Relay, token: &str) -> Guest {
    let agent = Guest::cloud(relay, token);
    relay.program.event("agent_joined");
    agent
}

#[test]
fn a_token_is_taken_from_the_upgrade_wherever_it_stands_there() {
    let mut relay = cloud_relay("[cloud.names]\n\"auth0|ann\" = \"ann\"\n");
    let token = good("auth0|ann");
    let bearer = format!("Bearer {token}");
    let offered = format!("chat, token-{token}");
    let query = format!("/ws/tunnel?x=1&token={token}");
    for (path, fields) in [
        ("/ws/tunnel", vec![("authorization", bearer.as_str())]),
        (query.as_str(), vec![]),
        ("/ws/tunnel?token=no.good.token", vec![("authorization", bearer.as_str())]),
        ("/ws/tunnel", vec![("sec-websocket-protocol", offered.as_str())]),
    ] {
        let mut agent = Guest::dial(&relay, path, &fields);
        assert_eq!(relay.program.event("agent_joined")["name"], "ann", "{path}");
        serves(&relay, &mut agent, "ann.localhost");
    }
    let said = format!("{:?}", relay.program);
    assert!(!said.contains(&token) && !said.contains("no.good.token"), "{said}");
}

#[test]
fn a_subprotocol_that_is_a_token_is_accepted_as_one() {
    let relay = cloud_relay("");
    let offered = format!("token-{}", good("ann"));
    let mut visitor = relay.visit();
    let lines = format!(
        "GET /ws/tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: {offered}\r\n\r\n"
    );
    visitor.send(lines).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!((head.status(), head.field("sec-websocket-protocol")), (101, Some(offered.as_str())));
}

#[test]
fn an_account_without_a_name_in_the_list_has_its_own_if_it_is_one() {
    let mut relay = cloud_relay("[cloud.names]\n\"auth0|ann\" = \"ann\"\n");
    let mut agent = Guest::cloud(&relay, &good("bob"));
    assert_eq!(relay.program.event("agent_joined")["name"], "bob");
    serves(&relay, &mut agent, "bob.localhost");
    // Nobody is called like somebody in the list, like an address, or by what is no name.
    let address = relay.address.label();
    for subject in ["ann", "auth0|eve", "Bob", "bob\n", "-", "", address.as_str()] {
        let (_, code, reason) = Guest::cloud(&relay, &good(subject)).end();
        assert_eq!((code, reason.contains("no name")), (4003, true), "{subject:?}: {reason}");
    }
    serves(&relay, &mut agent, "bob.localhost");
}

#[test]
fn a_token_that_the_login_service_did_not_make_for_us_lets_nobody_in() {
    let mut relay = cloud_relay("");
    let with = |name: &str, value: Value| {
        let mut claims = claims("ann");
        claims[name] = value;
        rs256(&header(), &claims)
    };
    let without = |name: &str| {
        let mut claims = claims("ann");
        claims.as_object_mut().expect("an object").remove(name);
        rs256(&header(), &claims)
    };
    let of = |header: Value| rs256(&header, &claims("ann"));
    let public = include_bytes!("../../golden/guests/jwks.json");
    let mut cut = good("ann");
    cut.truncate(cut.len() - 4);
    for (what, token) in [
        ("none", String::new()),
        ("no token", "three.little.words".to_owned()),
        ("two parts", "a.b".to_owned()),
        ("a signature that was cut", cut),
        ("another subject under the signature", {
            let (good, forged) = (good("ann"), sealed(&header(), &claims("eve"), |_| Vec::new()));
            let signature = good.rsplit('.').next().unwrap_or_default();
            format!("{}{signature}", forged)
        }),
        ("expired", with("exp", json!(1_700_000_000))),
        ("an end that is text", with("exp", json!("never"))),
        ("no end", without("exp")),
        ("not yet", with("nbf", json!(4_000_000_000_u64))),
        ("another issuer", with("iss", json!("https://evil.example/"))),
        ("no issuer", without("iss")),
        ("another audience", with("aud", json!("https://other.example"))),
        ("no audience", without("aud")),
        ("no key", of(json!({"alg": "RS256"}))),
        ("another key", of(json!({"alg": "RS256", "kid": "second"}))),
        ("a key for something else", of(json!({"alg": "RS256", "kid": "other"}))),
        ("no algorithm", sealed(&json!({"alg": "none", "kid": "first"}), &claims("ann"), |_| Vec::new())),
        (
            "the public key as a shared one",
            hs256(public, &json!({"alg": "HS256", "kid": "first"}), &claims("ann")),
        ),
        ("another algorithm of the key", of(json!({"alg": "RS512", "kid": "first"}))),
        ("a demand", of(json!({"alg": "RS256", "kid": "first", "crit": ["exp"]}))),
        ("too long", format!("{}.{}", good("ann"), "x".repeat(20_000))),
    ] {
        let (said, code, reason) = Guest::cloud(&relay, &token).end();
        assert_eq!((code, said), (4002, vec![]), "{what}: {reason}");
        assert!(
            reason == "Authentication required" || reason.starts_with("Invalid token"),
            "{what}: {reason}"
        );
    }
    let mut late = claims("ann");
    late["exp"] = json!(late["iat"].as_u64().expect("seconds") - 30);
    // Clocks differ by some seconds.
    let mut agent = joined(&mut relay, &rs256(&header(), &late));
    serves(&relay, &mut agent, "ann.localhost");
}

#[test]
fn a_shared_key_takes_no_other_algorithm() {
    let home = Home::new();
    write_private(&home, "shared.key", SHARED);
    let path =
        write_config(&home, &format!("{CLOUD}\nshared_key_file = \"shared.key\"\nname_claim = \"tunnel\"\n"));
    let mut relay = Relay::start_in(home, 0, &["--config", &path]);
    let mut claims = claims("auth0|ann");
    claims["tunnel"] = json!("ann");
    let token = |header: Value, secret: &str| hs256(secret.as_bytes(), &header, &claims);
    for token in [
        token(json!({"alg": "HS256"}), "another key of thirty-two bytes, or more of them"),
        token(json!({"alg": "HS384"}), SHARED),
        rs256(&json!({"alg": "RS256", "kid": "first"}), &claims),
        sealed(&json!({"alg": "none"}), &claims, |_| Vec::new()),
    ] {
        let (_, code, reason) = Guest::cloud(&relay, &token).end();
        assert_eq!(code, 4002, "{reason}");
    }
    let mut agent = joined(&mut relay, &token(json!({"alg": "HS256"}), SHARED));
    serves(&relay, &mut agent, "ann.localhost");
}

#[test]
fn the_newer_agent_of_an_account_replaces_the_older_and_its_socket_is_closed() {
    let mut relay = cloud_relay("");
    let mut older = joined(&mut relay, &good("ann"));
    let mut waiting = ask(&relay, "ann.localhost", "POST", "/slow", &["Content-Length: 0"]);
    older.hears("http_request");
    let mut newer = Guest::cloud(&relay, &good("ann"));
    let (head, _) = answer(&mut waiting);
    assert_eq!(head.status(), 503, "{head:?}");
    let (_, code, _) = older.end();
    assert_eq!(code, 4009);
    serves(&relay, &mut newer, "ann.localhost");
}

#[test]
fn keys_that_were_written_anew_are_read_when_the_relay_is_told() {
    let mut relay = cloud_relay("");
    let jwks = relay.home.path("jwks.json");
    let text = std::fs::read_to_string(&jwks).expect("it was written");
    std::fs::write(&jwks, text.replace("\"first\"", "\"second\"")).expect("it may be written");
    relay.program.signal(Signal::HUP);
    relay.program.event("keys_loaded");
    let (_, code, _) = Guest::cloud(&relay, &good("ann")).end();
    assert_eq!(code, 4002);
    let second = rs256(&json!({"alg": "RS256", "kid": "second"}), &claims("ann"));
    let mut agent = joined(&mut relay, &second);
    serves(&relay, &mut agent, "ann.localhost");
    std::fs::write(&jwks, "{\"keys\": []}").expect("it may be written");
    relay.program.signal(Signal::HUP);
    let kept = relay.program.event("keys_kept");
    assert!(kept["message"].as_str().is_some_and(|text| text.contains("jwks.json")), "{kept}");
    serves(&relay, &mut agent, "ann.localhost");
}

#[test]
fn keys_are_fetched_where_the_login_service_publishes_them_and_outlast_a_new_configuration() {
    let asked = AtomicUsize::new(0);
    let service = Origin::answering(move |_, _| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => ok(include_bytes!("../../golden/guests/jwks.json")),
        _ => response("503 Service Unavailable", &[], b""),
    });
    let home = Home::new();
    let config = format!("{CLOUD}\njwks_url = \"http://localhost:{}/.well-known/jwks.json\"\n", service.port);
    let path = write_config(&home, &config);
    let mut relay = Relay::start_in(home, 0, &["--config", &path]);
    relay.program.event("keys_loaded");
    let mut agent = joined(&mut relay, &good("ann"));
    serves(&relay, &mut agent, "ann.localhost");
    let unknown = rs256(&json!({"alg": "RS256", "kid": "second"}), &claims("bob"));
    assert_eq!(Guest::cloud(&relay, &unknown).end().1, 4002);
    write_config(&relay.home, &format!("{config}[cloud.names]\neve = \"mallory\"\n"));
    relay.program.signal(Signal::HUP);
    // It is asked again, and the keys from before stay. Which is told first is open.
    for event in ["\"config_loaded\"", "\"keys_kept\""] {
        assert!(relay.program.tells(event, PATIENCE), "{event}: {:?}", relay.program);
    }
    let mut bob = joined(&mut relay, &good("bob"));
    serves(&relay, &mut bob, "bob.localhost");
    serves(&relay, &mut agent, "ann.localhost");
}

#[test]
fn a_login_service_that_cannot_be_reached_is_told_and_lets_nobody_in() {
    let home = Home::new();
    let url = format!("http://127.0.0.1:{}/keys", hvym_tunnel_tests::http::nobody());
    let path = write_config(&home, &format!("{CLOUD}\njwks_url = \"{url}\"\n"));
    let mut relay = Relay::start_in(home, 0, &["--config", &path]);
    let kept = relay.program.event("keys_kept");
    assert!(kept["message"].as_str().is_some_and(|message| message.contains(&url)), "{kept}");
    assert_eq!(Guest::cloud(&relay, &good("ann")).end().1, 4002);
}
