//! Existing HVYM programs, which sign a challenge, or show a token at once, and then know requests in JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use hvym_tunnel_compat::sealed_box::SealKey;
use hvym_tunnel_core::stellar::Claims;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::guests::{Guest, relay_with};
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::{Value, json};
use tungstenite::Message;

use super::{answer, ask};

const SEED: [u8; 32] = [41; 32];

fn key() -> Key {
    Key::from_seed(SEED)
}

fn claims(relay: &Relay) -> Claims {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    Claims::new(key().address(), relay.address.to_string(), UnixTime::from_secs(since.as_secs()))
}

fn signed(claims: &Claims) -> String {
    let input = claims.signing_input();
    let signature = key().sign(&input);
    input.into_token(signature).expect("its own key").as_str().to_owned()
}

/// A program that has answered the challenge, and what it was granted.
pub(crate) fn logged_in(relay: &Relay) -> (Guest, Value) {
    let mut agent = Guest::dial(relay, "/connect", &[]);
    let asked = agent.hears("auth_challenge");
    let jwt = signed(&claims(relay).with_challenge(asked["challenge"].as_str().expect("a challenge")));
    agent.tell(&json!({"type": "auth_response", "challenge_id": asked["challenge_id"], "jwt": jwt}));
    let granted = agent.hears("auth_ok");
    (agent, granted)
}

pub(crate) fn bind(agent: &mut Guest) {
    agent.tell(&json!({"type": "bind", "service": "pintheon", "local_port": 9998}));
    let bound = agent.hears("bind_ok");
    assert_eq!(bound, json!({"type": "bind_ok", "service": "pintheon", "local_port": 9998}));
}

pub(crate) fn host() -> String {
    format!("{}.localhost", key().address().label())
}

fn response(asked: &Value, body: &str) -> Value {
    json!({"type": "tunnel_response", "stream_id": asked["stream_id"],
           "response": {"status_code": 200, "headers": {"Content-Type": "text/plain"}, "body": body}})
}

/// A visitor is answered by the agent.
fn serves(relay: &Relay, agent: &mut Guest) {
    let mut visitor = ask(relay, &host(), "GET", "/hello%20you?x=1", &[]);
    let asked = agent.hears("tunnel_request");
    let request = &asked["request"];
    assert_eq!(
        (&request["method"], &request["path"], &request["query_string"]),
        (&json!("GET"), &json!("/hello%20you"), &json!("x=1")),
        "{asked}"
    );
    agent.tell(&response(&asked, "hello"));
    let (head, body) = answer(&mut visitor);
    assert_eq!((head.status(), head.field("content-type"), &*body), (200, Some("text/plain"), &b"hello"[..]));
}

#[test]
fn the_endpoint_is_spelled_as_theirs_so_that_programs_can_append_a_path() {
    let relay = Relay::start(&[]);
    let (_agent, granted) = logged_in(&relay);
    assert_eq!(granted["endpoint"], format!("http://{}:{}", host(), relay.port));
}

#[test]
fn a_second_program_is_told_that_the_older_one_stays_where_the_operator_wants_it() {
    let relay = Relay::start(&["--policy", "reject"]);
    let (mut older, _) = logged_in(&relay);
    bind(&mut older);
    let mut newer = Guest::dial(&relay, "/connect", &[]);
    let asked = newer.hears("auth_challenge");
    let jwt = signed(&claims(&relay).with_challenge(asked["challenge"].as_str().expect("a challenge")));
    newer.tell(&json!({"type": "auth_response", "challenge_id": asked["challenge_id"], "jwt": jwt}));
    let (said, code, reason) = newer.end();
    let error = said[0]["error"].as_str().expect("a sentence");
    assert!(error.contains("keeps the older one") && !error.contains("replaced"), "{error}");
    assert_eq!((code, &*reason), (4009, error));
    serves(&relay, &mut older);
}

#[test]
fn an_existing_program_answers_visitors_after_the_challenge() {
    let mut relay = Relay::start(&[]);
    let (mut agent, granted) = logged_in(&relay);
    assert_eq!(
        (&granted["encryption_available"], &granted["server_address"]),
        (&json!(false), &json!(relay.address.to_string())),
        "{granted}"
    );
    assert_eq!(relay.program.event("agent_joined")["address"], key().address().to_string());
    bind(&mut agent);
    for _ in 0..3 {
        serves(&relay, &mut agent);
    }
    let mut visitor = ask(&relay, &host(), "POST", "/", &["Content-Length: 8", "Content-Type: text/plain"]);
    visitor.send("grüezi ".as_bytes()).expect("the relay reads");
    let asked = agent.hears("tunnel_request");
    assert_eq!(asked["request"]["body"], "grüezi ");
    agent.tell(&response(&asked, "äöü"));
    assert_eq!(answer(&mut visitor).1, "äöü".as_bytes());
}

#[test]
fn logins_that_fail_again_and_again_are_told_to_wait_and_a_right_one_passes() {
    // More than are free, and so many that they cannot all have been forgotten in between.
    const MOST: usize = 30;
    let relay = Relay::start(&[]);
    let failed = || {
        let mut agent = Guest::dial(&relay, "/connect", &[]);
        let asked = agent.hears("auth_challenge");
        let jwt = signed(&claims(&relay).with_challenge("another"));
        agent.tell(&json!({"type": "auth_response", "challenge_id": asked["challenge_id"], "jwt": jwt}));
        let error = agent.hears("auth_failed")["error"].as_str().expect("a text").to_owned();
        (error, agent.end().1)
    };
    for _ in 0..11 {
        assert_eq!(failed(), ("Challenge mismatch".to_owned(), 4002));
    }
    let limited = (0..MOST).map(|_| failed()).find(|(_, code)| *code == 4029).expect("a limit");
    assert!(limited.0.contains("fail again and again"), "{limited:?}");
    let (mut agent, _) = logged_in(&relay);
    bind(&mut agent);
    serves(&relay, &mut agent);
}

#[test]
fn the_oldest_programs_show_their_token_in_the_upgrade_and_are_not_challenged() {
    let relay = Relay::start(&[]);
    let bearer = format!("Bearer {}", signed(&claims(&relay).with_lifetime(Some(Duration::from_secs(600)))));
    let mut agent = Guest::dial(&relay, "/connect", &[("authorization", &bearer)]);
    assert_eq!(agent.hears("auth_ok")["server_address"], relay.address.to_string());
    bind(&mut agent);
    serves(&relay, &mut agent);
    // Where a relay wants a challenge, they get one like everybody.
    let strict = Relay::start(&["--require-challenge"]);
    Guest::dial(&strict, "/connect", &[("authorization", &bearer)]).hears("auth_challenge");
}

#[test]
fn large_answers_come_in_one_message_once_the_program_is_in_and_what_it_cannot_take_is_413() {
    let relay = Relay::start(&[]);
    let mut stranger = Guest::dial(&relay, "/connect", &[]);
    stranger.say(Message::text("x".repeat(3 << 20)));
    assert_eq!(stranger.end().1, 1009);
    let (mut agent, _) = logged_in(&relay);
    bind(&mut agent);
    let large = "0123456789".repeat(300_000);
    let mut visitor = ask(&relay, &host(), "GET", "/large", &[]);
    let asked = agent.hears("tunnel_request");
    agent.tell(&response(&asked, &large));
    assert_eq!(answer(&mut visitor).1.len(), large.len());
    let size = 2 << 20;
    let mut visitor = ask(&relay, &host(), "POST", "/", &[&format!("Content-Length: {size}")]);
    visitor.send(vec![b'x'; size]).expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 413);
    serves(&relay, &mut agent);
}

#[test]
fn an_answer_that_fits_no_message_ends_that_request_and_not_the_program() {
    let relay = Relay::start(&[]);
    let (mut agent, _) = logged_in(&relay);
    bind(&mut agent);
    let mut waiting = ask(&relay, &host(), "GET", "/waiting", &[]);
    let asked_first = agent.hears("tunnel_request");
    let mut visitor = ask(&relay, &host(), "GET", "/huge", &[]);
    let asked = agent.hears("tunnel_request");
    agent.tell(&response(&asked, &"0123456789".repeat(1_800_000)));
    let (head, page) = answer(&mut visitor);
    let page = String::from_utf8(page).expect("text");
    assert!(head.status() == 502 && page.contains("16 MiB"), "{head:?} {page}");
    agent.tell(&response(&asked_first, "here"));
    assert_eq!(answer(&mut waiting).1, b"here");
    serves(&relay, &mut agent);
}

#[test]
fn a_newer_program_of_the_same_account_replaces_the_older() {
    let relay = Relay::start(&[]);
    let (mut older, _) = logged_in(&relay);
    bind(&mut older);
    let mut posted = ask(&relay, &host(), "POST", "/order", &["Content-Length: 0"]);
    older.hears("tunnel_request");
    let (mut newer, _) = logged_in(&relay);
    assert_eq!(answer(&mut posted).0.status(), 503);
    assert_eq!(older.end().1, 4009);
    bind(&mut newer);
    serves(&relay, &mut newer);
}

#[test]
fn messages_are_sealed_where_the_operator_lets_the_relay_keep_its_key() {
    let relay = relay_with("[hvym]\nseal = true\n", &[]);
    let (mut agent, granted) = logged_in(&relay);
    assert_eq!(
        (&granted["encryption_available"], &granted["encryption_mode"]),
        (&json!(true), &json!("XSalsa20-Poly1305")),
        "{granted}"
    );
    agent.tell(&json!({"type": "enable_encryption"}));
    agent.hears("encryption_enabled");
    bind(&mut agent);
    let shared = SealKey::agree(&SEED, &relay.address).expect("a usable key");
    let mut visitor = ask(&relay, &host(), "GET", "/secret", &[]);
    let asked = agent.hears("tunnel_request_encrypted");
    let sealed = BASE64.decode(asked["payload"].as_str().expect("text").as_bytes()).expect("base64");
    let asked: Value = serde_json::from_slice(&shared.open(&sealed).expect("sealed for us")).expect("JSON");
    assert_eq!(asked["request"]["path"], "/secret");
    let said = shared.seal(response(&asked, "hush").to_string().as_bytes(), [9; 24]);
    agent.tell(
        &json!({"type": "tunnel_response_encrypted", "encrypted": true, "payload": BASE64.encode(&said)}),
    );
    assert_eq!(answer(&mut visitor).1, b"hush");
}
