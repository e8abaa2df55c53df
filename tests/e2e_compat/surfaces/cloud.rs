//! CloudToLocalLLM's web application.

use hvym_tunnel_tests::dialects::{content, conversation, fields, visits};
use hvym_tunnel_tests::guests::{Guest, cloud_relay};
use hvym_tunnel_tests::tokens::{claims, rs256};
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::{Value, json};

use super::asking::{ask, read, recorded};

const NAMES: &str = "[cloud.names]\n\"auth0|user1\" = \"ann\"\n";
const JULY: [&str; 2] = ["c2llm/ws/10_jul_auth.jsonl", "c2llm/ws/12_jul_proxy.jsonl"];
const NOVEMBER: [&str; 2] = ["c2llm/ws/01_nov_auth.jsonl", "c2llm/ws/05_nov_timeout_and_duplicate.jsonl"];

fn token(subject: &str) -> String {
    rs256(&json!({"alg": "RS256", "typ": "JWT", "kid": "first"}), &claims(subject))
}

fn field(subject: &str) -> String {
    format!("Authorization: Bearer {}", token(subject))
}

/// Answers the next request as a desktop does, with the body that it is asked to say.
fn serve(desktop: &mut Guest, status: u16, headers: &Value, body: &str) -> Value {
    let asked = desktop.hears("http_request");
    desktop.tell(&json!({"type": "http_response", "id": asked["id"], "status": status, "headers": headers, "body": body}));
    asked
}

#[test]
fn whoever_has_no_good_token_is_told_nothing_of_desktops() {
    let relay = cloud_relay(NAMES);
    let mut expired = claims("auth0|user1");
    expired["exp"] = json!(1_700_000_000);
    let expired = rs256(&json!({"alg": "RS256", "kid": "first"}), &expired);
    for target in [
        "/api/tunnel/health",
        "/api/tunnel/health/auth0|user1",
        "/api/tunnel/status",
        "/api/tunnel/metrics",
        "/api/tunnel/auth0|user1/hello",
    ] {
        let (status, told) = read(&relay, target, &[]);
        assert_eq!((status, &told["error"]["code"]), (401, &json!("AUTH_TOKEN_MISSING")), "{target}");
        assert!(recorded(&JULY, "GET /api/tunnel/health ", 401).differences(&told).is_empty(), "{told}");
        // November's relay let every one of these in.
        for token in ["garbage", "a.b.c", &expired] {
            let (status, told) = read(&relay, target, &[&format!("Authorization: Bearer {token}")]);
            assert_eq!((status, &told["error"]["code"]), (403, &json!("AUTH_TOKEN_INVALID")), "{target}");
            assert!(recorded(&JULY, "GET /api/tunnel/health ", 403).differences(&told).is_empty(), "{told}");
        }
    }
    let missing = json!({"error": "Access token required", "code": "MISSING_TOKEN"});
    assert_eq!(read(&relay, "/api/ollama/hello", &[]), (401, missing));
    let (status, told) = read(&relay, "/api/ollama/hello", &["Authorization: Bearer garbage"]);
    assert_eq!((status, &told["code"]), (403, &json!("INVALID_TOKEN")));
    // A relay that serves no such agents has no such routes.
    let other = Relay::start(&[]);
    for target in ["/api/tunnel/health", "/api/ollama/hello"] {
        assert_eq!(ask(&other, "GET", target, &[], "").0.status(), 404, "{target}");
    }
}

#[test]
fn the_web_application_reads_what_it_read_at_either_of_its_relays() {
    let mut relay = cloud_relay(NAMES);
    let (_, alive) = read(&relay, "/api/health", &[]);
    assert!(recorded(&NOVEMBER, "GET /api/health", 200).differences(&alive).is_empty(), "{alive}");
    let (_, health) = read(&relay, "/health", &[]);
    // HVYM's tools read these at the same path.
    let known = ["+ .server_address", "+ .service"];
    assert_eq!(recorded(&NOVEMBER, "GET /health", 200).differences(&health), known);
    let own = field("auth0|user1");
    let own = &[own.as_str()][..];
    let july = |start, status| recorded(&JULY, start, status);
    let mut desktop = None;
    for _ in ["absent", "present"] {
        let is_there = desktop.is_some();
        let (status, health) = read(&relay, "/api/tunnel/health", own);
        // July's says 503, for it compares its own "ready" with "healthy".
        assert_eq!((status, &health["status"]), (200, &json!("healthy")));
        assert!(july("GET /api/tunnel/health ", 503).differences(&health).is_empty(), "{health}");
        let more = recorded(&NOVEMBER, "GET /api/tunnel/health ", 200).differences(&health);
        // What July's says beyond November's.
        assert!(more.iter().all(|difference| difference.starts_with("+ ")), "{more:?}");
        for (target, recorded) in [
            ("/api/tunnel/status", "GET /api/tunnel/status"),
            ("/api/tunnel/metrics", "GET /api/tunnel/metrics"),
            ("/api/tunnel/health/auth0|user1", "GET /api/tunnel/health/auth0"),
            ("/api/tunnel/health/auth0%7Cuser1", "GET /api/tunnel/health/auth0"),
        ] {
            let (status, told) = read(&relay, target, own);
            assert_eq!((status, july(recorded, 200).differences(&told)), (200, vec![]), "{target}: {told}");
            let user = if told["user"].is_object() { &told["user"] } else { &told };
            assert_eq!(
                (&user["userId"], &user["connected"]),
                (&json!("auth0|user1"), &json!(is_there)),
                "{told}"
            );
            assert_eq!(user["lastPing"].is_string(), is_there, "{told}");
        }
        desktop = Some(Guest::cloud(&relay, &token("auth0|user1")));
        relay.program.event("agent_joined");
    }
    let (status, denied) = read(&relay, "/api/tunnel/health/other", own);
    assert_eq!((status, july("GET /api/tunnel/health/other", 403).differences(&denied)), (403, vec![]));
    let (head, _) = ask(&relay, "POST", "/api/tunnel/health", own, "");
    assert_eq!(head.status(), 405);
}

#[test]
fn what_the_web_application_asked_a_desktop_it_gets_here_by_the_same_paths() {
    let mut relay = cloud_relay(NAMES);
    let own = field("auth0|user1");
    for (target, file) in
        [("/api/tunnel/auth0|user1/hello", JULY[1]), ("/api/ollama/hello", "c2llm/ws/03_nov_requests.jsonl")]
    {
        let (status, told) = read(&relay, target, &[&own]);
        assert_eq!(
            (status, recorded(&[file], &format!("GET {target}"), 503).differences(&told)),
            (503, vec![])
        );
    }
    let (status, told) = read(&relay, "/api/tunnel/other/hello", &[&own]);
    assert_eq!((status, recorded(&JULY, "GET /api/tunnel/other/", 403).differences(&told)), (403, vec![]));
    let mut desktop = Guest::cloud(&relay, &token("auth0|user1"));
    relay.program.event("agent_joined");
    let mut count = 0;
    for visit in
        [JULY[1], "c2llm/ws/03_nov_requests.jsonl"].iter().flat_map(|file| visits(&conversation(file)))
    {
        let start = visit.request["start"].as_str().unwrap_or_default();
        let [method, target, _] = start.split(' ').collect::<Vec<_>>()[..] else { panic!("{start}") };
        let prefix =
            ["/api/tunnel/auth0|user1", "/api/ollama"].into_iter().find(|prefix| target.starts_with(prefix));
        let said = visit.answered.iter().find_map(|text| serde_json::from_str::<Value>(text).ok());
        let (Some(prefix), Some(said)) = (prefix, said) else { continue };
        if said["type"] != "http_response" || said["headers"].to_string().contains("encoding") {
            continue;
        }
        let (Some(body), Some(text)) = (content(&visit.request), said["body"].as_str()) else { continue };
        // What was destroyed in a desktop before it came here is no body to be compared.
        if text.contains('\u{fffd}') {
            continue;
        }
        let kept: Vec<String> = fields(&visit.request)
            .into_iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            .map(|(name, value)| format!("{name}: {value}"))
            .chain([own.clone()])
            .collect();
        let lines: Vec<&str> = kept.iter().map(String::as_str).collect();
        let body = String::from_utf8(body).expect("text");
        let (asked, (head, answer)) = std::thread::scope(|scope| {
            let visitor = scope.spawn(|| ask(&relay, method, target, &lines, &body));
            let status = u16::try_from(said["status"].as_u64().expect("a status")).expect("a status");
            let asked = serve(&mut desktop, status, &said["headers"], text);
            (asked, visitor.join().expect("a visitor"))
        });
        let label = visit.label();
        assert_eq!(u64::from(head.status()), said["status"].as_u64().unwrap_or_default(), "{label}");
        assert_eq!(String::from_utf8_lossy(&answer), if head.status() == 204 { "" } else { text }, "{label}");
        // With its query, which the real ones lost, and without the token, which they took out too.
        assert_eq!(asked["path"], target[prefix.len()..], "{label}");
        assert_eq!(asked["body"].as_str().unwrap_or_default(), body, "{label}");
        assert!(!asked["headers"].to_string().to_ascii_lowercase().contains("authorization"), "{asked}");
        count += 1;
    }
    assert!(count >= 12, "{count} visits");
}

#[test]
fn requests_are_counted_by_what_became_of_them() {
    let mut relay = cloud_relay(NAMES);
    let own = field("auth0|user1");
    let counts = |relay: &Relay| {
        let (_, health) = read(relay, "/api/tunnel/health", &[&own]);
        ["total", "successful", "failed", "timeout", "pending"].map(|name| health["requests"][name].as_u64())
    };
    let mut desktop = Guest::cloud(&relay, &token("auth0|user1"));
    relay.program.event("agent_joined");
    std::thread::scope(|scope| {
        let visitor = scope.spawn(|| ask(&relay, "GET", "/api/ollama/x", &[&own], ""));
        let asked = desktop.hears("http_request");
        assert_eq!(counts(&relay), [1, 0, 0, 0, 1].map(Some));
        let (_, user) = read(&relay, "/api/tunnel/health/auth0|user1", &[&own]);
        assert_eq!(user["pendingRequests"], 1);
        desktop.tell(
            &json!({"type": "http_response", "id": asked["id"], "status": 500, "headers": {}, "body": ""}),
        );
        assert_eq!(visitor.join().expect("a visitor").0.status(), 500);
    });
    // An answer is an answer, whatever it says.
    assert_eq!(counts(&relay), [1, 1, 0, 0, 0].map(Some));
    std::thread::scope(|scope| {
        let visitor = scope.spawn(|| ask(&relay, "GET", "/api/ollama/x", &[&own], ""));
        desktop.hears("http_request");
        drop(desktop);
        let (head, body) = visitor.join().expect("a visitor");
        let told: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((head.status(), &told["code"]), (503, &json!("DESKTOP_CLIENT_DISCONNECTED")), "{told}");
    });
    assert_eq!(counts(&relay), [2, 1, 1, 0, 0].map(Some));
}

#[test]
fn a_page_of_another_origin_may_ask_with_a_token_of_its_own_and_reads_nothing_without() {
    let relay = cloud_relay(NAMES);
    let page = "Origin: https://app.example";
    let (head, _) = ask(
        &relay,
        "OPTIONS",
        "/api/ollama/api/chat",
        &[page, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"],
        "",
    );
    assert_eq!((head.status(), head.field("access-control-allow-origin")), (204, Some("*")));
    assert!(head.field("access-control-allow-headers").is_some_and(|names| names.contains("authorization")));
    assert!(head.field("access-control-allow-methods").is_some_and(|names| names.contains("POST")));
    let own = field("auth0|user1");
    for (target, status) in [("/api/tunnel/status", 200), ("/api/ollama/x", 503)] {
        let (head, _) = ask(&relay, "GET", target, &[page, &own], "");
        assert_eq!(
            (head.status(), head.field("access-control-allow-origin")),
            (status, Some("*")),
            "{target}"
        );
        assert_eq!(head.field("access-control-allow-credentials"), None);
        let (head, _) = ask(&relay, "GET", target, &[page], "");
        assert_eq!((head.status(), head.field("access-control-allow-origin")), (401, None), "{target}");
    }
    let named = Relay::start(&["--allow-origin", "https://app.example"]);
    for (origin, status, granted) in [
        ("https://app.example", 204, Some("https://app.example")),
        // A relay for one machine alone answers no website that it does not know.
        ("https://evil.example", 403, None),
    ] {
        let lines = [&*format!("Origin: {origin}"), "Access-Control-Request-Method: GET"];
        let (head, _) = ask(&named, "OPTIONS", "/api/tunnels", &lines, "");
        assert_eq!((head.status(), head.field("access-control-allow-origin")), (status, granted), "{origin}");
    }
}
