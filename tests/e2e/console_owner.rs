//! The console of a relay and its API for those who have agents there: each reads of its own, and nothing of anybody else by any route.
#![cfg(unix)]

use std::time::{Duration, Instant};

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Head, Origin, answer, ok};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use serde_json::{Value, json};

use super::console::{Browser, KEY, relay, signed, token};

/// Two identities. What the second has begins with what the first has, and the other way round.
fn keys() -> [Key; 2] {
    [[41; 32], [42; 32]].map(Key::from_seed)
}

fn service() -> Origin {
    Origin::answering(|head: &Head, _| match head.target() {
        "/missing" => answer("404 Not Found", &[], b""),
        _ => ok(b"here"),
    })
}

fn visit(relay: &Relay, host: &str, target: &str) -> u16 {
    let mut visitor = Conversation::dial(relay.port);
    visitor.send(request(host, "GET", target, &["Connection: close"])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    visitor.body(&head).expect("a whole answer");
    head.status()
}

/// Signs in as a wallet does. Returns the status.
fn sign_in(browser: &mut Browser, key: &Key) -> u16 {
    let (_, challenge) = browser.ask("POST", "/console/api/challenge", "");
    let text = challenge["text"].as_str().expect("a text");
    let (head, _) = browser.send("POST", "/console/api/session", &[&browser.origin()], &signed(key, text));
    browser.keep(&head);
    head.status()
}

/// The log at this query, once it has so many requests.
fn logged(browser: &Browser, query: &str, total: u64) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, log) = browser.ask("GET", &format!("/console/api/v1/requests{query}"), "");
        assert_eq!(status, 200, "{log}");
        if log["total"] == total {
            return log;
        }
        assert!(Instant::now() < deadline, "{log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What of each request is in a log.
fn told<'a>(log: &'a Value, member: &str) -> Vec<&'a Value> {
    log["requests"].as_array().expect("requests").iter().map(|request| &request[member]).collect()
}

#[test]
fn an_owner_reads_the_requests_to_its_services_in_parts_with_status_and_reason() {
    let (relay, [key, _], origin) = (relay(&[]), keys(), service());
    let api = format!("api=localhost:{}", Origin::start(|mut visitor| visitor.head().map(drop)).port);
    let agent = Agent::start_in(Home::of(&key), &relay, origin.port, &["--service", "web", "--bind", &api]);
    let mut browser = Browser::new(&relay);
    assert_eq!(sign_in(&mut browser, &key), 200);
    let (_, session) = browser.ask("GET", "/console/api/session", "");
    assert_eq!(
        (&session["role"], &session["identity"]),
        (&json!("owner"), &json!(key.address().to_string()))
    );
    assert_eq!(session["has_tunnels"], false);
    let broken = format!("api--{}.localhost:{}", ShortLabel::new(&key.address()), relay.port);
    for (host, target, status) in [
        (agent.host(), "/one?secret=1", 200),
        (agent.host(), "/missing", 404),
        (broken.as_str(), "/broken", 502),
    ] {
        assert_eq!(visit(&relay, host, target), status, "{target}");
    }
    let log = logged(&browser, "", 3);
    assert_eq!(log["services"], json!(["api", "web"]));
    assert_eq!(told(&log, "path"), [&json!("/broken"), &json!("/missing"), &json!("/one")]);
    assert_eq!(told(&log, "status"), [&json!(502), &json!(404), &json!(200)]);
    assert_eq!(told(&log, "service"), [&json!("api"), &json!("web"), &json!("web")]);
    assert!(told(&log, "error")[0].as_str().is_some_and(|reason| reason.len() > 10), "{log}");
    assert_eq!(told(&log, "error")[1..], [&Value::Null, &Value::Null]);
    assert!(told(&log, "at").iter().all(|at| at.as_f64().is_some_and(|at| at > 1.7e9)), "{log}");
    assert_eq!(told(&logged(&browser, "?limit=1&offset=1", 3), "path"), [&json!("/missing")]);
    assert_eq!(told(&logged(&browser, "?service=web&offset=1", 2), "path"), [&json!("/one")]);
    // The same by a token, as programs ask.
    let bearer = format!("Authorization: Bearer {}", token(&relay, &key));
    let (head, of_token) = Browser::new(&relay).send("GET", "/api/v1/requests", &[&bearer], "");
    assert_eq!((head.status(), &of_token["requests"]), (200, &log["requests"]));
    // It is there when its agent is gone.
    drop(agent);
    assert_eq!(logged(&browser, "", 3)["requests"], log["requests"]);
}

/// Everything that a browser or a program might ask for, with each method: the path, and the content.
fn everything(browser: &Browser, other: &str, label: &str) -> Vec<(String, String)> {
    let (_, description) = browser.ask("GET", "/api/v1/openapi.json", "");
    let paths = description["paths"].as_object().expect("paths");
    let mut asked: Vec<String> = paths
        .keys()
        .map(|path| path.replace("{subject}", other))
        .filter(|path| path.starts_with("/api/"))
        .collect();
    let lower = other.to_lowercase();
    let encoded = format!("%47{}", &other[1..]);
    for query in [
        format!("agent={other}"),
        format!("agent={lower}"),
        format!("agent={encoded}"),
        format!("agent={}&agent={other}", keys()[0].address()),
        format!("agent={other}&agent={}", keys()[0].address()),
        format!("owner={other}"),
        "service=web2".to_owned(),
        "service=web".to_owned(),
        "service=%25".to_owned(),
        "service=".to_owned(),
        "limit=100&offset=0".to_owned(),
    ] {
        for list in ["agents", "sessions", "services", "names", "requests", "audit", "history", "relays"] {
            asked.push(format!("/api/v1/{list}?{query}"));
        }
    }
    asked.push(format!("/api/v1/requests/{other}"));
    asked.push(format!("/api/v1/agents/{other}"));
    for tunnel in [other, label, "shop-2"] {
        asked.extend(["", "/logs"].map(|more| format!("/api/tunnels/{tunnel}{more}")));
    }
    asked.extend(["/api/tunnels", "/api/audit", "/api/events", "/api/stats", "/metrics"].map(str::to_owned));
    let kick = json!({ "agent": other, "reason": "x" }).to_string();
    asked.into_iter().map(|path| (path, kick.clone())).collect()
}

#[test]
fn an_owner_learns_nothing_of_another_by_any_route_or_parameter_and_the_operator_sees_all() {
    let (relay, [a, b], origin) = (relay(&["--claim-names"]), keys(), service());
    let first = Agent::start_in(Home::of(&a), &relay, origin.port, &["--service", "web", "--name", "shop"]);
    let second =
        Agent::start_in(Home::of(&b), &relay, origin.port, &["--service", "web2", "--name", "shop-2"]);
    assert_eq!((visit(&relay, first.host(), "/of-a"), visit(&relay, second.host(), "/of-b")), (200, 200));
    let [mut of_a, mut of_b, mut operator] = [(); 3].map(|()| Browser::new(&relay));
    assert_eq!((sign_in(&mut of_a, &a), sign_in(&mut of_b, &b), operator.sign_in(KEY)), (200, 200, 200));
    let other = b.address().to_string();
    let label = ShortLabel::new(&b.address()).to_string();
    let marks = [&other, &other.to_lowercase(), &label, "/of-b", "shop-2", "web2"].map(str::to_owned);
    let bearer = format!("Authorization: Bearer {}", token(&relay, &a));
    assert_eq!(told(&logged(&of_a, "", 1), "path"), [&json!("/of-a")]);
    assert_eq!(told(&logged(&of_b, "", 1), "path"), [&json!("/of-b")]);
    let mut answered = 0;
    for (path, content) in everything(&operator, &other, &label) {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let content = if method == "GET" { "" } else { &content };
            let program = Browser::new(&relay);
            let (head, by_token) = program.send(method, &path, &[&bearer], content);
            let (status, by_session) = of_a.ask(method, &format!("/console{path}"), content);
            for (status, said) in [(head.status(), by_token), (status, by_session)] {
                let text = said.to_string();
                answered += u32::from(status == 200);
                assert!(!marks.iter().any(|mark| text.contains(mark)), "{method} {path}: {text}");
                assert!(method == "GET" || status >= 400, "{method} {path} was done: {text}");
            }
        }
    }
    assert!(answered > 10, "what is its own is told");
    for list in ["agents", "sessions", "services", "names"] {
        let count = |browser: &Browser| {
            let (status, said) = browser.ask("GET", &format!("/console/api/v1/{list}"), "");
            assert_eq!(status, 200, "{list}: {said}");
            said[list].as_array().map_or(0, Vec::len)
        };
        assert_eq!((count(&of_a), count(&of_b), count(&operator)), (1, 1, 2), "{list}");
    }
    for (key, path) in [(&a, "/of-a"), (&b, "/of-b")] {
        let log = logged(&operator, &format!("?agent={}", key.address()), 1);
        assert_eq!(told(&log, "path"), [&json!(path)]);
    }
    assert_eq!(operator.ask("GET", "/console/api/v1/requests", "").0, 400, "of whom, it has to say");
    // Whom the operator bans reads nothing any more.
    let ban = json!({ "subject": a.address().to_string() }).to_string();
    assert_eq!(operator.ask("POST", "/console/api/v1/bans", &ban).0, 200);
    assert_eq!(of_a.ask("GET", "/console/api/v1/requests", "").0, 401);
    assert_eq!(sign_in(&mut of_a, &a), 403);
    assert_eq!(Browser::new(&relay).send("GET", "/api/v1/requests", &[&bearer], "").0.status(), 401);
    assert_eq!(told(&logged(&of_b, "", 1), "path"), [&json!("/of-b")]);
}
