//! The console of a relay, as its operator's browser asks for it: who signs in, what a session does, and what comes from other pages.
#![cfg(unix)]

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use data_encoding::BASE64;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Head, Origin};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

pub(super) const KEY: &str = "a key that nobody guesses";

fn write_key(relay: &Home, key: &str) -> String {
    let path = relay.path("key");
    fs::write(&path, key).expect("a folder takes a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner may change a mode");
    path.display().to_string()
}

/// A relay whose operator has a key.
pub(super) fn relay(arguments: &[&str]) -> Relay {
    let home = Home::new();
    let key = write_key(&home, KEY);
    Relay::start_in(home, 0, &[&["--admin-key-file", &key], arguments].concat())
}

/// A browser with the page open.
pub(super) struct Browser {
    port: u16,
    pub(super) cookie: Option<String>,
}

impl Browser {
    pub(super) fn new(relay: &Relay) -> Self {
        Self { port: relay.port, cookie: None }
    }

    pub(super) fn origin(&self) -> String {
        format!("Origin: http://localhost:{}", self.port)
    }

    /// The answer to a request of another page, or of none.
    pub(super) fn send(&self, method: &str, path: &str, fields: &[&str], content: &str) -> (Head, Value) {
        let (host, length) =
            (format!("localhost:{}", self.port), format!("Content-Length: {}", content.len()));
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}"));
        let mut all = fields.to_vec();
        all.extend(["Connection: close", length.as_str()]);
        all.extend(cookie.as_deref());
        let mut connection = Conversation::dial(self.port);
        connection.send(request(&host, method, path, &all) + content).expect("it reads");
        let head = connection.head().unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let body = connection.body(&head).expect("a whole answer");
        (head, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// The answer to a request of the page itself.
    pub(super) fn ask(&self, method: &str, path: &str, content: &str) -> (u16, Value) {
        let (head, value) = self.send(method, path, &[&self.origin()], content);
        (head.status(), value)
    }

    /// Signs in by a key or a token, and keeps the cookie. Returns the status.
    pub(super) fn sign_in(&mut self, key: &str) -> u16 {
        let bearer = format!("Authorization: Bearer {key}");
        let (head, _) = self.send("POST", "/console/api/session", &[&self.origin(), &bearer], "");
        self.keep(&head);
        head.status()
    }

    pub(super) fn keep(&mut self, head: &Head) {
        if let Some(cookie) = head.field("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            self.cookie = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
        }
    }

    fn is_signed_in(&self) -> bool {
        self.ask("GET", "/console/api/session", "").1["signed_in"] == true
    }
}

#[test]
fn there_is_no_console_where_nobody_could_sign_in() {
    let (open, managed) = (Relay::start(&[]), relay(&[]));
    for path in ["/console", "/console/", "/console/assets/console.js", "/console/api/session"] {
        assert_eq!(Browser::new(&open).send("GET", path, &[], "").0.status(), 404, "{path}");
    }
    let browser = Browser::new(&managed);
    let (head, _) = browser.send("GET", "/console/", &[], "");
    assert_eq!(head.status(), 200);
    let policy = head.field("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert_eq!(browser.send("GET", "/console", &[], "").0.field("location"), Some("/console/"));
    assert_eq!(browser.send("GET", "/console/nothing", &[], "").0.status(), 404);
}

#[test]
fn a_session_of_a_browser_stands_for_the_key_until_it_is_signed_out() {
    let relay = relay(&[]);
    let agent = Agent::start(&relay, Origin::echo().port, &["--service", "web"]);
    let mut browser = Browser::new(&relay);
    assert_eq!(browser.ask("GET", "/console/api/v1/agents", "").0, 401);
    let bearer = format!("Authorization: Bearer {KEY}");
    let (head, _) = browser.send("POST", "/console/api/session", &[&browser.origin(), &bearer], "");
    let cookie = head.field("set-cookie").expect("a cookie").to_owned();
    for attribute in ["Path=/console/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains(KEY), "{cookie}");
    browser.keep(&head);
    let (status, agents) = browser.ask("GET", "/console/api/v1/agents", "");
    assert_eq!((status, agents["agents"].as_array().map(Vec::len)), (200, Some(1)), "{agents}");
    let (_, session) = browser.ask("GET", "/console/api/session", "");
    assert_eq!((&session["identity"], &session["by_key"]), (&Value::Null, &json!(true)), "{session}");
    let kick = json!({ "agent": agents["agents"][0]["agent"], "reason": "enough" }).to_string();
    assert_eq!(browser.ask("POST", "/console/api/v1/kicks", &kick).0, 200);
    drop(agent);
    let (status, _) = browser.ask("GET", "/console/api/tunnels", "");
    assert_eq!(status, 200);
    assert_eq!(browser.ask("GET", "/console/api/audit", ""), (200, json!([])));
    assert_eq!(browser.ask("GET", "/console/api/v1/history", "").1["interval_seconds"], 10);
    assert_eq!(browser.ask("GET", "/console/api/nothing", "").0, 404);
    let kept = browser.cookie.clone();
    let (head, _) = browser.send("DELETE", "/console/api/session", &[&browser.origin()], "");
    assert!(head.field("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")));
    // Whoever has copied the cookie has nothing any more.
    browser.cookie = kept;
    assert_eq!(browser.ask("GET", "/console/api/v1/agents", "").0, 401);
    assert!(!browser.is_signed_in());
}

/// What an open page is told, event by event, each with its data. Comments are left out.
struct Events {
    connection: Conversation,
    waiting: VecDeque<(String, String)>,
}

impl Events {
    fn open(browser: &Browser) -> (Head, Self) {
        let cookie = format!("Cookie: {}", browser.cookie.as_deref().unwrap_or_default());
        let mut connection = Conversation::dial(browser.port);
        let head = request(&format!("localhost:{}", browser.port), "GET", "/console/api/events", &[&cookie]);
        connection.send(head).expect("it reads");
        let head = connection.head().expect("an answer");
        (head, Self { connection, waiting: VecDeque::new() })
    }

    fn next(&mut self) -> Option<(String, String)> {
        while self.waiting.is_empty() {
            let chunk = self.connection.chunk().expect("a chunk");
            if chunk.is_empty() {
                return None;
            }
            let text = String::from_utf8(chunk).expect("text");
            let parts = |event: &str| {
                let (name, data) = event.strip_prefix("event: ")?.split_once('\n')?;
                Some((name.to_owned(), data.to_owned()))
            };
            self.waiting.extend(text.split("\n\n").filter_map(parts));
        }
        self.waiting.pop_front()
    }

    /// Waits for an event with these words.
    fn hears(&mut self, event: &str, words: &str) {
        loop {
            let (name, data) = self.next().expect("it is told");
            if name == event && data.contains(words) {
                return;
            }
        }
    }
}

#[test]
fn an_open_page_is_told_what_changes_until_its_session_or_the_relay_ends() {
    let mut relay = relay(&[]);
    let mut browser = Browser::new(&relay);
    assert_eq!(Events::open(&browser).0.status(), 401);
    assert_eq!(browser.sign_in(KEY), 200);
    let (head, mut events) = Events::open(&browser);
    assert_eq!((head.status(), head.field("content-type")), (200, Some("text/event-stream")));
    let agent = Agent::start(&relay, Origin::echo().port, &["--service", "web"]);
    events.hears("status", "\"agents\":1");
    events.hears("changed", "agents");
    drop(agent);
    events.hears("status", "\"agents\":0");
    let (_, mut others) = Events::open(&browser);
    browser.send("DELETE", "/console/api/session", &[&browser.origin()], "");
    for events in [&mut events, &mut others] {
        events.hears("signed_out", "");
        assert_eq!(events.next(), None, "it is over");
    }
    assert_eq!(browser.sign_in(KEY), 200);
    let (_, mut last) = Events::open(&browser);
    relay.program.signal(rustix::process::Signal::TERM);
    while last.next().is_some() {}
    assert_eq!(relay.program.code(), 0, "it does not wait for the page");
}

#[test]
fn pages_of_other_origins_get_nothing_even_with_the_cookie() {
    let relay = relay(&[]);
    let mut browser = Browser::new(&relay);
    assert_eq!(browser.sign_in(KEY), 200);
    let own = browser.origin();
    let ban = json!({ "subject": "192.0.2.1" }).to_string();
    let foreign = format!("Origin: http://web--abcdefgh.localhost:{}", relay.port);
    for fields in [
        vec![foreign.as_str()],
        vec!["Origin: null"],
        vec!["Origin: https://evil.example"],
        // As of a program, or of a page of an old browser.
        vec![],
        vec![own.as_str(), "Sec-Fetch-Site: same-site"],
        vec![own.as_str(), "Sec-Fetch-Site: cross-site"],
    ] {
        let (head, _) = browser.send("POST", "/console/api/v1/bans", &fields, &ban);
        assert_eq!(head.status(), 403, "{fields:?}");
        let bearer = format!("Authorization: Bearer {KEY}");
        let login = [&fields[..], &[bearer.as_str()]].concat();
        assert_eq!(browser.send("POST", "/console/api/session", &login, "").0.status(), 403, "{fields:?}");
    }
    let (head, _) = browser.send("GET", "/console/api/v1/status", &["Sec-Fetch-Site: same-site"], "");
    assert_eq!((head.status(), head.field("access-control-allow-origin")), (403, None));
    assert_eq!(browser.ask("GET", "/console/api/v1/bans", "").1, json!({ "bans": [] }), "nothing was done");
    // The same words from the page itself do it, and the key alone opens the API as ever.
    assert_eq!(browser.ask("POST", "/console/api/v1/bans", &ban).0, 200);
}

#[test]
fn wrong_keys_are_told_to_the_operator_and_slowed() {
    let relay = relay(&[]);
    let mut browser = Browser::new(&relay);
    assert_eq!(browser.sign_in(KEY), 200);
    assert_eq!(browser.sign_in("another key entirely"), 401);
    let (_, audit) = browser.ask("GET", "/console/api/v1/audit", "");
    assert_eq!(audit["records"][0]["action"], "wrong_key", "{audit}");
    let statuses: Vec<_> = (0..20).map(|_| browser.sign_in("another key entirely")).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

/// What a wallet gives for a text (SEP-53), as the page sends it.
pub(super) fn signed(key: &Key, text: &str) -> String {
    let hash = digest(&SHA256, format!("Stellar Signed Message:\n{text}").as_bytes());
    let signature = BASE64.encode(&key.sign_bytes(hash.as_ref()).0);
    json!({ "text": text, "address": key.address().to_string(), "signature": signature }).to_string()
}

/// A token for the APIs of a relay.
pub(super) fn token(relay: &Relay, key: &Key) -> String {
    let home = Home::of(key);
    let output =
        home.command(&["token", "--audience", &relay.address.to_string(), "--lifetime", "60"]).output();
    String::from_utf8(output.expect("the program starts").stdout).expect("text").trim().to_owned()
}

#[test]
fn an_operators_signature_or_token_signs_in_once_and_nobody_elses_does() {
    let (operator, other) = (Key::from_seed([31; 32]), Key::from_seed([32; 32]));
    // Others may have no agent here, or they would sign in as owners.
    let address = operator.address().to_string();
    let relay = Relay::start(&["--operator", &address, "--allow-agent", &address]);
    let mut browser = Browser::new(&relay);
    let challenge = |browser: &Browser| {
        let (status, challenge) = browser.ask("POST", "/console/api/challenge", "");
        assert_eq!(status, 200);
        challenge["text"].as_str().expect("a text").to_owned()
    };
    let text = challenge(&browser);
    assert!(text.contains(&relay.address.to_string()) && text.contains("/console/"), "{text}");
    assert_eq!(browser.ask("POST", "/console/api/session", &signed(&other, &text)).0, 403);
    let forged = signed(&other, &text).replace(&other.address().to_string(), &operator.address().to_string());
    assert_eq!(browser.ask("POST", "/console/api/session", &forged).0, 401);
    let changed = text.replace("console of", "consoles of");
    assert_eq!(browser.ask("POST", "/console/api/session", &signed(&operator, &changed)).0, 401);
    let text = challenge(&browser);
    let (head, _) =
        browser.send("POST", "/console/api/session", &[&browser.origin()], &signed(&operator, &text));
    assert_eq!(head.status(), 200);
    browser.keep(&head);
    let (_, session) = browser.ask("GET", "/console/api/session", "");
    assert_eq!(session["identity"], operator.address().to_string(), "{session}");
    assert_eq!(browser.ask("GET", "/console/api/v1/status", "").0, 200);
    assert_eq!(
        browser.ask("POST", "/console/api/session", &signed(&operator, &text)).0,
        401,
        "a second time"
    );

    let mut by_token = Browser::new(&relay);
    assert_eq!(by_token.sign_in(&token(&relay, &other)), 403);
    assert!(!by_token.is_signed_in());
    assert_eq!(by_token.sign_in(&token(&relay, &operator)), 200);
    assert!(by_token.is_signed_in());
}
