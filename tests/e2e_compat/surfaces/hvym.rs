//! HVYM's tools.

use hvym_tunnel_core::stellar::{Claims, Scope};
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::dialects::{Visit, content, conversation, fields, local_answer, visits};
use hvym_tunnel_tests::guests::relay_with;
use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::shapes::Shape;
use hvym_tunnel_tests::tunnel::{Agent, Relay};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::asking::{ask, now, read, recorded, signed, token};

const FILES: [&str; 3] = [
    "hvym/ws/01_handshake_bind_get_post.jsonl",
    "hvym/ws/13_two_accounts.jsonl",
    "hvym/ws/22_redis_trace.jsonl",
];

fn keys() -> [Key; 2] {
    [[41; 32], [42; 32]].map(Key::from_seed)
}

fn agent(relay: &Relay, key: &Key, words: &'static [u8]) -> Agent {
    Agent::start_in(Home::of(key), relay, Origin::saying(words).port, &["--service", "pintheon"])
}

#[test]
fn a_relay_says_who_it_is_in_the_words_of_hvyms_relay() {
    let relay = Relay::start(&[]);
    let address = relay.address.to_string();
    let (status, health) = read(&relay, "/health", &[]);
    assert_eq!(
        (status, &health["status"], &health["server_address"]),
        (200, &json!("healthy"), &json!(address))
    );
    // CloudToLocalLLM's tools read these at the same path.
    assert_eq!(
        recorded(&FILES, "GET /health", 200).differences(&health),
        ["+ .timestamp", "+ .tunnelSystem"]
    );
    let (_, info) = read(&relay, "/info", &[]);
    // Which data planes there are: an existing program passes over it.
    assert_eq!(recorded(&FILES, "GET /info", 200).differences(&info), ["+ .mux"]);
    assert_eq!(info["services"], json!(["pintheon", "ipfs"]), "as theirs, when the operator says nothing");
    let told = read(&Relay::start(&["--service-allow", "web"]), "/info", &[]).1;
    assert_eq!(told["services"], json!(["web"]));
    assert_eq!(info["websocket_url"], format!("ws://localhost:{}/connect", relay.port));
    let (status, identity) = read(&relay, "/server-identity", &[]);
    let documented = json!({"server_address": "G", "domain": "d", "websocket_url": "u", "api_url": "u",
        "generated_at": "t", "qr_code_path": "/server-identity/qr"});
    assert_eq!((status, Shape::of([&documented]).differences(&identity)), (200, vec![]));
    assert_eq!(read(&relay, "/server-identity/address", &[]), (200, json!({ "address": address })));
    let (status, none) = read(&relay, "/server-identity/qr", &[]);
    assert_eq!((status, &none["detail"]["code"]), (503, &json!("QR_NOT_GENERATED")));
    assert!(recorded(&FILES, "GET /server-identity/qr", 503).differences(&none).is_empty());
    for target in ["/server-identityx", "/server-identity/other", "/api/nothing", "/api/tunnel/a/b"] {
        assert_eq!(ask(&relay, "GET", target, &[], "").0.status(), 404, "{target}");
    }
    for target in ["/server-identity", "/api/tunnel/x", "/api/stats"] {
        let (head, _) = ask(&relay, "DELETE", target, &[], "");
        assert_eq!((head.status(), head.field("allow")), (405, Some("GET, HEAD")), "{target}");
    }
}

#[test]
fn a_stranger_is_told_no_address_and_no_number() {
    let relay = Relay::start(&[]);
    let [key, absent] = keys();
    let _agent = agent(&relay, &key, b"here");
    for target in ["/api/tunnels", "/api/stats"] {
        assert_eq!(read(&relay, target, &[]), (401, json!({"detail": "Not authenticated"})), "{target}");
        let (head, _) = ask(&relay, "GET", target, &["X-Api-Key: guessed"], "");
        assert_eq!(head.status(), 401, "{target}");
    }
    // Whoever knows the address can visit it, and see that it is there.
    let address = key.address();
    let (status, tunnel) = read(&relay, &format!("/api/tunnel/{address}"), &[]);
    assert_eq!((status, &tunnel["stellar_address"]), (200, &json!(address.to_string())));
    // Since when, its owner is told.
    let known = ["~ .connected_at: null", "~ .expires_at: null"];
    assert_eq!(recorded(&FILES, "GET /api/tunnel/G", 200).differences(&tunnel), known);
    assert_eq!(tunnel["services"], json!([]));
    // Hosts have no case, so a browser's spelling is as good.
    assert_eq!(read(&relay, &format!("/api/tunnel/{}", address.label()), &[]).0, 200);
    for text in [absent.address().to_string(), "nobody".to_owned()] {
        let told = json!({ "detail": format!("Tunnel not found for {text}") });
        assert_eq!(read(&relay, &format!("/api/tunnel/{text}"), &[]), (404, told));
    }
}

#[test]
fn the_operator_is_told_everything_and_everybody_is_if_the_operator_says_so() {
    let key = "[tunely]\nadmin_key = \"the-operators-own-key\"\n";
    let own: &[&str] = &["Authorization: Bearer the-operators-own-key"];
    for (config, lines) in [(key, own), ("[hvym]\npublic_tunnels = true\n", &[])] {
        let relay = relay_with(config, &[]);
        let agents = keys().map(|key| agent(&relay, &key, b"here"));
        let (status, list) = read(&relay, "/api/tunnels", lines);
        assert_eq!((status, &list["count"]), (200, &json!(2)), "{config}");
        assert!(recorded(&FILES, "GET /api/tunnels", 200).differences(&list).is_empty(), "{list}");
        let (_, tunnel) = read(&relay, &format!("/api/tunnel/{}", keys()[0].address()), lines);
        assert!(recorded(&FILES, "GET /api/tunnel/G", 200).differences(&tunnel).is_empty(), "{tunnel}");
        let (status, stats) = read(&relay, "/api/stats", lines);
        assert_eq!((status, recorded(&FILES, "GET /api/stats", 200).differences(&stats)), (200, vec![]));
        assert_eq!(
            (&stats["active_connections"], &stats["security"]["used_challenges"]),
            (&json!(2), &json!(2))
        );
        drop(agents);
    }
}

#[test]
fn an_owner_is_told_of_its_own_tunnel_alone() {
    let relay = Relay::start(&[]);
    let agents = keys().map(|key| (agent(&relay, &key, b"here"), key));
    for (_, key) in &agents {
        let field = format!("Authorization: Bearer {}", token(key, &relay));
        let (status, list) = read(&relay, "/api/tunnels", &[&field]);
        assert_eq!((status, &list["count"]), (200, &json!(1)));
        assert!(recorded(&FILES, "GET /api/tunnels", 200).differences(&list).is_empty(), "{list}");
        let own = &list["tunnels"][0];
        assert_eq!(own["stellar_address"], key.address().to_string());
        let (port, long) = (relay.port, key.address().label());
        assert_eq!(
            own["endpoint"],
            format!("http://{long}.localhost:{port}"),
            "the form that its tools know"
        );
        assert_eq!(own["services"], json!(["pintheon"]));
        let (_, tunnel) = read(&relay, &format!("/api/tunnel/{}", key.address()), &[&field]);
        assert!(recorded(&FILES, "GET /api/tunnel/G", 200).differences(&tunnel).is_empty(), "{tunnel}");
        assert_eq!((&tunnel["is_expired"], &tunnel["connected_at"]), (&json!(false), &own["connected_at"]));
        assert!(tunnel["expires_at"].as_u64() > Some(now().as_secs()), "{tunnel}");
        assert_eq!(read(&relay, "/api/stats", &[&field]).0, 401, "numbers are the operator's");
    }
    let other = format!("Authorization: Bearer {}", token(&agents[0].1, &relay));
    let (_, tunnel) = read(&relay, &format!("/api/tunnel/{}", agents[1].1.address()), &[&other]);
    assert_eq!(tunnel["connected_at"], Value::Null, "another owner is a stranger here");
}

#[test]
fn an_owner_shows_the_token_that_the_program_prints() {
    let relay = Relay::start(&[]);
    let [key, _] = keys();
    let agent = agent(&relay, &key, b"here");
    let printed = agent.home.command(&["token", "--audience", &relay.address.to_string()]).output();
    let token = String::from_utf8(printed.expect("it starts").stdout).expect("text");
    let (status, list) = read(&relay, "/api/tunnels", &[&format!("Authorization: Bearer {}", token.trim())]);
    assert_eq!((status, &list["count"]), (200, &json!(1)), "{list}");
}

#[test]
fn a_token_that_proves_nothing_is_refused_and_nobody_becomes_a_stranger_by_it() {
    let relay = Relay::start(&[]);
    let [key, other] = keys();
    let _agent = agent(&relay, &key, b"here");
    let unscoped = || Claims::new(key.address(), relay.address.to_string(), now());
    let claims = || unscoped().with_scope(Scope::Api);
    let forged = {
        let mut token = token(&key, &relay).into_bytes();
        let at = token.len() - 20;
        token[at] = if token[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(token).expect("ASCII")
    };
    let elsewhere = signed(&key, &Claims::new(key.address(), other.address().to_string(), now()));
    let answer = signed(&key, &claims().with_challenge("a challenge"));
    let endless = signed(&key, &claims().with_lifetime(None));
    let [day, longer] = [0, 1].map(|more| claims().with_lifetime(Some(Duration::from_secs(86_400 + more))));
    assert_eq!(
        read(&relay, "/api/tunnels", &[&format!("Authorization: Bearer {}", signed(&key, &day))]).0,
        200
    );
    let patient = Relay::start(&["--max-token-lifetime", "86401"]);
    let there = Claims::new(key.address(), patient.address.to_string(), now()).with_scope(Scope::Api);
    for (more, status) in [(1, 200), (2, 401)] {
        let token = signed(&key, &there.clone().with_lifetime(Some(Duration::from_secs(86_400 + more))));
        assert_eq!(read(&patient, "/api/tunnels", &[&format!("Authorization: Bearer {token}")]).0, status);
    }
    let foreign = claims().with_host("other.example");
    let [login, call] = [Scope::Agent, Scope::Call].map(|scope| signed(&key, &unscoped().with_scope(scope)));
    for (token, why) in [
        ("nope", "Invalid JWT format: expected 3 parts"),
        (&*forged, "Signature verification failed"),
        (&*elsewhere, "Audience mismatch"),
        (&*answer, "challenge"),
        (&*endless, "must expire"),
        (&*signed(&key, &longer), "too long"),
        (&*signed(&key, &foreign), "another host"),
        // What logs an agent in opens nothing here, and no program of older systems shows its token here.
        (&*login, "scope must be api"),
        (&*call, "scope must be api"),
        (&*signed(&key, &unscoped()), "scope must be api"),
    ] {
        for target in
            ["/api/tunnels".to_owned(), "/api/stats".to_owned(), format!("/api/tunnel/{}", key.address())]
        {
            let (status, told) = read(&relay, &target, &[&format!("Authorization: Bearer {token}")]);
            let detail = told["detail"].as_str().expect("a text");
            assert_eq!(status, 401, "{target}: {token}");
            assert!(detail.starts_with("Invalid token: ") && detail.contains(why), "{detail}");
        }
    }
}

/// The visits of these conversations by way of `/proxy` that reached a service.
fn proxied(files: &[&str]) -> Vec<Visit> {
    let all = files.iter().flat_map(|file| visits(&conversation(file)));
    all.filter(|visit| visit.local_response.is_some())
        .filter(|visit| content(visit.local_response.as_ref().expect("just seen")).is_some())
        .filter(|visit| content(&visit.request).is_some())
        .filter(|visit| visit.request["start"].as_str().is_some_and(|start| start.contains(" /proxy/")))
        // Its service broke off in the middle, which is nothing to be compared.
        .filter(|visit| !visit.label().contains("/proxy/abort"))
        .collect()
}

#[test]
fn what_visitors_asked_hvyms_relay_by_path_they_get_here_as_the_service_said_it() {
    let files = [
        "hvym/ws/01_handshake_bind_get_post.jsonl",
        "hvym/ws/02_http_quirks.jsonl",
        "hvym/ws/12_duplicate_connection.jsonl",
        "hvym/ws/13_two_accounts.jsonl",
        "hvym/ws/23_websocket_upgrade_refused.jsonl",
    ];
    let visits = proxied(&files);
    assert!(visits.len() > 25, "{} visits", visits.len());
    let next: Arc<Mutex<Vec<u8>>> = Arc::default();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (answer, asked) = (Arc::clone(&next), Arc::clone(&seen));
    let service = Origin::answering(move |head, body| {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        *asked = vec![head.first.clone(), String::from_utf8_lossy(&body).into_owned()];
        answer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    });
    // Websites may ask it, other than one for a single machine.
    let relay = relay_with("[hvym]\npublic_tunnels = true\n", &[]);
    let [key, _] = keys();
    let _agent = Agent::start_in(Home::of(&key), &relay, service.port, &[]);
    for visit in visits {
        let local = visit.local_response.as_ref().expect("it was asked for");
        *next.lock().unwrap_or_else(PoisonError::into_inner) = local_answer(local);
        let start = visit.request["start"].as_str().expect("a request line");
        let (method, rest) = start.split_once(' ').expect("a method");
        let target = rest.trim_end_matches(" HTTP/1.1");
        let mut lines: Vec<String> = fields(&visit.request)
            .into_iter()
            .filter(|(name, _)| !["host", "x-stellar-address"].contains(&name.to_ascii_lowercase().as_str()))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        lines.retain(|line| line.is_ascii() && !line.starts_with("Expect"));
        lines.push(format!("X-Stellar-Address: {}", key.address()));
        lines.push(format!("Host: localhost:{}", relay.port));
        let mut bytes = format!("{start}\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes();
        bytes.extend(content(&visit.request).unwrap_or_default());
        let mut visitor = Conversation::dial(relay.port);
        visitor.send(bytes).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        let body = if method == "HEAD" { Vec::new() } else { visitor.body(&head).expect("a whole answer") };
        let label = visit.label();
        assert_eq!(
            Some(head.status().to_string().as_str()),
            local["status"].as_str().map(|s| &s[..3]),
            "{label}"
        );
        let said = if method == "HEAD" { Vec::new() } else { content(local).expect("short") };
        assert_eq!(body, said, "{label}");
        for (name, value) in fields(local).into_iter().filter(|(name, _)| name != "Transfer-Encoding") {
            assert!(head.all(&name).contains(&value.as_str()), "{label}: {name}: {value} is not in {head:?}");
        }
        // What was written after the prefix, to the byte; the real relay decoded it and wrote it anew.
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = target.strip_prefix("/proxy").expect("its prefix");
        assert_eq!(seen[0], format!("{method} {kept} HTTP/1.1"), "{label}");
    }
}

#[test]
fn what_follows_the_prefix_is_neither_decoded_nor_resolved() {
    let relay = Relay::start(&[]);
    let [key, _] = keys();
    let mirror = Origin::answering(|head, _| ok(format!("{head:?}").as_bytes()));
    let agent = Agent::start_in(Home::of(&key), &relay, mirror.port, &[]);
    let own = format!("x-stellar-address: {}", key.address());
    for target in ["/", "/?", "/a%2Fb/../c/./?d=%2F&e=@x", "//evil.example/x", "/..%2f..%2fetc", "/proxy/x"] {
        let (head, body) =
            ask(&relay, "GET", &format!("/proxy{target}"), &[&own, "X-Forwarded-Host: evil"], "");
        let seen = String::from_utf8(body).expect("text");
        assert_eq!(head.status(), 200, "{target}");
        assert!(seen.contains(&format!("\"GET {target} HTTP/1.1\"")), "{target}: {seen}");
        // As if the visitor had come by the agent's own name; what named the agent goes no further.
        assert!(seen.contains(&format!("(\"host\", \"{}\")", agent.host())), "{seen}");
        assert!(!seen.contains("x-stellar-address") && !seen.contains("\"evil\""), "{seen}");
    }
}

#[test]
fn a_visitor_by_path_needs_an_address_that_is_one() {
    let relay = Relay::start(&[]);
    let [key, absent] = keys();
    let _agent = agent(&relay, &key, b"hello");
    let by = |lines: &[&str]| {
        let (head, body) = ask(&relay, "GET", "/proxy/hello", lines, "");
        (head.status(), String::from_utf8(body).expect("text"))
    };
    let (status, told) = by(&[]);
    assert_eq!((status, &*told), (400, r#"{"detail":"Missing X-Stellar-Address header"}"#));
    let own = format!("X-Stellar-Address: {}", key.address());
    assert_eq!(by(&[&own]), (200, "hello".to_owned()));
    assert_eq!(by(&[&format!("X-Stellar-Address: {}", key.address().label())]).0, 200);
    assert_eq!(by(&[&own, &format!("X-Stellar-Address: {}", absent.address())]).0, 400, "two are none");
    assert_eq!(by(&["X-Stellar-Address: G"]).0, 400);
    let (head, body) =
        ask(&relay, "GET", "/proxy/", &[&format!("X-Stellar-Address: {}", absent.address())], "");
    // 502 there; 503 says that it may come back.
    assert_eq!((head.status(), head.field("retry-after")), (503, Some("5")));
    let told = json!({ "detail": format!("Tunnel not available for {}", absent.address()) });
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), told);
    let (head, _) = ask(&relay, "TRACE", "/proxy/hello", &[&own], "");
    assert_eq!(head.status(), 405);
    assert_eq!(ask(&relay, "GET", "/proxyhello", &[&own], "").0.status(), 404);
}

#[test]
fn after_a_takeover_the_newer_agent_serves_and_is_listed_once() {
    let relay = relay_with("[hvym]\npublic_tunnels = true\n", &[]);
    let [key, _] = keys();
    let own = format!("X-Stellar-Address: {}", key.address());
    let mut older = agent(&relay, &key, b"older");
    assert_eq!(ask(&relay, "GET", "/proxy/hello", &[&own], "").1, b"older");
    let _newer = agent(&relay, &key, b"newer");
    // The older one is gone, its clean-up too: this is where HVYM's relay loses the newer one.
    assert_ne!(older.program.code(), 0);
    let (head, body) = ask(&relay, "GET", "/proxy/hello", &[&own], "");
    assert_eq!((head.status(), &*body), (200, &b"newer"[..]));
    let (_, list) = read(&relay, "/api/tunnels", &[]);
    assert_eq!(
        (&list["count"], &list["tunnels"][0]["stellar_address"]),
        (&json!(1), &json!(key.address().to_string()))
    );
    let (_, stats) = read(&relay, "/api/stats", &[]);
    assert_eq!((&stats["active_connections"], &stats["security"]["used_challenges"]), (&json!(1), &json!(2)));
}

#[test]
fn a_visitors_websocket_passes_where_hvyms_relay_refused_it() {
    // It takes the upgrade and sends back what comes.
    let service = Origin::start(|mut connection| {
        let head = connection.head()?;
        assert_eq!(head.field("upgrade"), Some("websocket"), "{head:?}");
        connection
            .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
        let bytes = connection.take(4)?;
        connection.send(bytes)
    });
    let relay = Relay::start(&[]);
    let [key, _] = keys();
    let _agent = Agent::start_in(Home::of(&key), &relay, service.port, &[]);
    let visit = visits(&conversation("hvym/ws/23_websocket_upgrade_refused.jsonl")).remove(0);
    assert!(visit.label().contains("WebSocket upgrade to /proxy"), "{}", visit.label());
    let mut visitor = relay.visit();
    let lines = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    .join("\r\n");
    let address = key.address();
    visitor
        .send(format!(
            "GET /proxy/ws HTTP/1.1\r\nHost: localhost\r\n{lines}\r\nX-Stellar-Address: {address}\r\n\r\n"
        ))
        .expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 101);
    visitor.send("ping").expect("the relay reads");
    assert_eq!(visitor.take(4).expect("an echo"), b"ping");
}
