//! Tunely's tools.

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_tests::dialects::{conversation, visits};
use hvym_tunnel_tests::guests::{Guest, relay_with, write_config};
use hvym_tunnel_tests::http::{Origin, answer, ok};
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::{Agent, Relay};
use hvym_tunnel_tests::{Door, Key};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::asking::{ask, read, recorded};

const CONFIG: &str = "
[tunely]
admin_key = \"the-operators-own-key\"
[[tunely.tunnels]]
name = \"app\"
token = \"tun_one-token-that-is-long-enough\"
[[tunely.tunnels]]
name = \"off\"
token = \"tun_two-token-that-is-long-enough\"
enabled = false
";
const TOKEN: &str = "tun_one-token-that-is-long-enough";
const KEY: &str = "X-Api-Key: the-operators-own-key";
const FILES: [&str; 2] = ["tunely/ws/50_rest_s012.jsonl", "tunely/ws/51_rest_s021.jsonl"];
const FORWARDS: [&str; 2] = ["tunely/ws/10_http_s012_py012.jsonl", "tunely/ws/11_http_s012_npm021.jsonl"];

fn told(relay: &Relay, method: &str, target: &str, body: &str) -> (u16, Value) {
    let (head, answer) = ask(relay, method, target, &[KEY, "Content-Type: application/json"], body);
    (head.status(), serde_json::from_slice(&answer).expect("JSON"))
}

fn forward(relay: &Relay, domain: &str, asked: &Value) -> (u16, Value) {
    told(relay, "POST", &format!("/api/tunnels/{domain}/forward"), &asked.to_string())
}

/// An agent of ours, by the name that Tunely's tools call it, and whatever its service is.
fn agent(relay: &Relay, service: Origin) -> (Agent, String) {
    let key = Key::from_seed([43; 32]);
    (Agent::start_in(Home::of(&key), relay, service.port, &[]), key.address().label())
}

#[test]
fn without_the_operators_key_nothing_of_tunelys_is_told_or_done() {
    for (method, target) in [
        ("POST", "/api/tunnels"),
        ("GET", "/api/tunnels/check-availability?name=app"),
        ("GET", "/api/tunnels/app"),
        ("GET", "/api/tunnels/nobody"),
        ("PUT", "/api/tunnels/app"),
        ("DELETE", "/api/tunnels/app"),
        ("POST", "/api/tunnels/app/forward"),
        ("POST", "/api/tunnels/app/regenerate-token"),
        ("GET", "/api/tunnels/app/logs"),
    ] {
        // A relay without a key is closed, where Tunely's stands open. Each is asked few times, since guesses are slowed.
        for relay in [relay_with(CONFIG, &[]), Relay::start(&[])] {
            for field in
                ["X-Other: 1", "X-Api-Key: the-operators-own-kez", "X-Api-Key;", "Authorization: Bearer x"]
            {
                let lines: &[&str] = if field == "X-Api-Key;" { &["X-Api-Key: "] } else { &[field] };
                let (head, body) = ask(&relay, method, target, lines, "");
                let body: Value = serde_json::from_slice(&body).expect("JSON");
                assert_eq!(
                    (head.status(), body),
                    (401, json!({"detail": "Invalid API key"})),
                    "{method} {target}"
                );
            }
            let (status, list) = read(&relay, "/api/tunnels", &["X-Api-Key: guessed-at-random"]);
            assert_eq!((status, list), (401, json!({"detail": "Invalid API key"})));
        }
    }
    assert!(recorded(&FILES, "GET /api/tunnels", 401).differences(&json!({"detail": ""})).is_empty());
}

#[test]
fn tunelys_tools_find_the_relay_and_its_tunnels_in_the_shapes_they_know() {
    let relay = relay_with(CONFIG, &[]);
    let (status, info) = read(&relay, "/api/info", &[]);
    assert_eq!((status, recorded(&FILES[..1], "GET /api/info", 200).differences(&info)), (200, vec![]));
    assert_eq!(info["websocket"]["url"], format!("ws://localhost:{}/ws/tunnel", relay.port));
    assert_eq!(info["domain"]["suffix"], ".localhost");
    let (_, list) = told(&relay, "GET", "/api/tunnels", "");
    let names: Vec<&Value> =
        list.as_array().expect("a list").iter().map(|tunnel| &tunnel["domain"]).collect();
    assert_eq!(names, ["app", "off"]);
    assert_eq!((&list[0]["enabled"], &list[1]["enabled"]), (&json!(true), &json!(false)));
    let known = recorded(&[FILES[0], FORWARDS[0]], "GET /api/tunnels/agent ", 200);
    let (status, tunnel) = told(&relay, "GET", "/api/tunnels/app", "");
    // Tunely's relay says it only of the agents of its own.
    assert_eq!((status, known.differences(&tunnel)), (200, vec!["+ .last_seen".to_owned()]));
    assert_eq!(tunnel, list[0]);
    assert_eq!(tunnel["token"], Value::Null, "a token is never told");
    for (name, available, reason) in [
        ("app", false, json!("Domain already exists")),
        ("APP", false, json!("Domain already exists")),
        ("free", true, Value::Null),
        (
            "%21",
            false,
            json!(
                "Invalid domain format. Use letters, numbers, and hyphens only (1-63 chars, start with letter/number)"
            ),
        ),
        (
            "app%0A",
            false,
            json!(
                "Invalid domain format. Use letters, numbers, and hyphens only (1-63 chars, start with letter/number)"
            ),
        ),
    ] {
        let (status, told) = told(&relay, "GET", &format!("/api/tunnels/check-availability?name={name}"), "");
        assert_eq!(
            (status, &told["available"], &told["reason"]),
            (200, &json!(available), &reason),
            "{name}"
        );
        assert!(recorded(&FILES, "GET /api/tunnels/check", 200).differences(&told).is_empty(), "{told}");
    }
    assert_eq!(told(&relay, "GET", "/api/tunnels/nobody", ""), (404, json!({"detail": "Tunnel not found"})));
    assert_eq!(told(&relay, "GET", "/api/tunnels/app/logs", ""), (200, json!({"total": 0, "logs": []})));
}

#[test]
fn a_tunnel_shows_its_agent_while_it_is_there() {
    let mut relay = relay_with(CONFIG, &["--path-names"]);
    let mut guest = Guest::tunely(&relay, TOKEN, false);
    let (_, before) = told(&relay, "GET", "/api/tunnels/App", "");
    assert_eq!((&before["connected"], &before["client_version"]), (&json!(true), &json!("0.1.0")));
    assert_eq!((&before["total_requests"], &before["bytes_out"]), (&json!(0), &json!(0)));
    assert!(before["last_connected_at"].is_string() && before["last_seen"].is_string(), "{before}");
    let visitor = std::thread::scope(|scope| {
        let visitor = scope.spawn(|| ask(&relay, "GET", "/t/app/hello", &[], ""));
        let asked = guest.hears("request");
        guest.tell(
            &json!({"type": "response", "id": asked["id"], "status": 200, "headers": {}, "body": "hello"}),
        );
        visitor.join().expect("a visitor")
    });
    assert_eq!((visitor.0.status(), &*visitor.1), (200, &b"hello"[..]));
    let (_, after) = told(&relay, "GET", "/api/tunnels/app", "");
    assert_eq!(after["total_requests"], 1);
    assert!(after["bytes_in"].as_u64() > Some(10) && after["bytes_out"].as_u64() > Some(5), "{after}");
    drop(guest);
    relay.program.event("agent_left");
    let (_, gone) = told(&relay, "GET", "/api/tunnels/app", "");
    assert_eq!((&gone["connected"], &gone["last_seen"]), (&json!(false), &Value::Null));
}

#[test]
fn what_was_forwarded_by_tunelys_relay_is_forwarded_here_with_the_same_answers() {
    let relay = relay_with(CONFIG, &[]);
    let service = Origin::answering(|head, body| match head.target() {
        "/hello" => answer(
            "200 OK",
            &[("Content-Type", "text/plain; charset=utf-8"), ("X-Origin", "interop")],
            b"hello from origin\n",
        ),
        "/json" => answer(
            "200 OK",
            &[("Content-Type", "application/json")],
            "{\"a\":1,\"b\":[1,2],\"u\":\"é\"}".as_bytes(),
        ),
        "/echo" => answer("200 OK", &[("Content-Type", head.field("content-type").unwrap_or("?"))], &body),
        "/404" => answer(
            "404 Not Found",
            &[("Content-Type", "text/plain; charset=utf-8"), ("X-Origin", "interop")],
            b"no such page\n",
        ),
        other => panic!("{other} was asked for"),
    });
    let (_agent, label) = agent(&relay, service);
    let mut count = 0;
    for visit in FORWARDS.iter().flat_map(|file| visits(&conversation(file))) {
        let start = visit.request["start"].as_str().unwrap_or_default();
        // The service of these cannot be had here: it is slow, or speaks for ever.
        let is_here = visit.request["label"].as_str().is_none_or(|label| label == "path without slash");
        if !start.contains("/forward ") || !is_here {
            continue;
        }
        let domain = if start.contains("/nobody/") { "nobody" } else { &*label };
        let asked: Value =
            serde_json::from_str(visit.request["text"].as_str().expect("a body")).expect("JSON");
        let known: Value =
            serde_json::from_str(visit.response["text"].as_str().expect("a body")).expect("JSON");
        let (status, told) = forward(&relay, domain, &asked);
        let label = format!("{start}: {asked}");
        assert!(
            visit.response["start"].as_str().is_some_and(|s| s.contains(&status.to_string())),
            "{label}: {told}"
        );
        for key in ["status", "body", "error", "detail"] {
            assert_eq!(told[key], known[key], "{label}: {key}");
        }
        for name in ["content-type", "x-origin"] {
            assert_eq!(told["headers"][name], known["headers"][name], "{label}: {name}");
        }
        if status == 200 {
            let keys =
                |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&told), keys(&known), "{label}");
            assert!(told["duration_ms"].is_u64(), "{told}");
        }
        count += 1;
    }
    assert_eq!(count, 14, "seven of each recording");
}

#[test]
fn a_forwarded_request_cannot_leave_its_tunnel_nor_bring_a_second_one() {
    let relay = relay_with(CONFIG, &[]);
    let service = Origin::answering(|head, _| ok(json!([head.first, head.fields]).to_string().as_bytes()));
    let (_agent, label) = agent(&relay, service);
    for asked in [
        json!({"path": "@evil/"}),
        json!({"path": "//evil.example/"}),
        json!({"path": "http://evil.example/"}),
        json!({"path": ""}),
        json!({"path": "/a b"}),
        json!({"path": "/a\r\nX: y"}),
        json!({"path": "/\u{e9}"}),
        json!({"headers": {"X": "a\r\nY: b"}}),
        json!({"headers": {"X\r\nY": "b"}}),
        json!({"headers": {"X Y": "b"}}),
    ] {
        let (status, told) = forward(&relay, &label, &asked);
        assert!(status == 400 && told["detail"].is_string(), "{asked}: {told}");
    }
    for asked in [
        json!([]),
        json!({"path": 1}),
        json!({"timeout": 0}),
        json!({"timeout": "1"}),
        json!({"method": "A B"}),
        json!({"method": "CONNECT"}),
        json!({"headers": {"X": 1}}),
    ] {
        let (status, told) = forward(&relay, &label, &asked);
        assert!(status == 422 && told["detail"][0]["msg"].is_string(), "{asked}: {told}");
        assert!(
            recorded(&FILES[..1], "POST /api/tunnels ", 422)
                .differences(&told)
                .iter()
                .all(|d| d == "- .detail[].input"),
            "{told}"
        );
    }
    let headers = json!({"Host": "evil", "Transfer-Encoding": "chunked", "Content-Length": "99", "Connection": "upgrade",
        "Upgrade": "websocket", "X-Forwarded-For": "6.6.6.6", "X-Kept": "1"});
    let asked = json!({"method": "post", "path": "/..%2fx?a=@b", "headers": headers, "body": {"b": 1.0, "a": [true]}});
    let (status, told) = forward(&relay, &label, &asked);
    assert_eq!((status, &told["status"]), (200, &json!(200)), "{told}");
    let seen = serde_json::from_value(told["body"].clone());
    let (first, mut fields): (String, Vec<(String, String)>) = seen.expect("a line and fields");
    assert_eq!(first, "POST /..%2fx?a=@b HTTP/1.1");
    fields.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    fields.sort();
    let host = fields.iter().find(|(name, _)| name == "host").map_or("", |(_, host)| host);
    let short = ShortLabel::new(&Address::from_label(&label).expect("an address"));
    assert!(host.starts_with(&format!("{short}.localhost:")), "{host}");
    let (_, port) = host.rsplit_once(':').expect("a port");
    let body = json!({"b": 1.0, "a": [true]}).to_string();
    let expected = [
        ("accept-encoding", "identity"),
        ("content-length", &body.len().to_string()),
        ("content-type", "application/json"),
        // A port would have to be quoted, which some services do not understand: the host is told in the other fields.
        ("forwarded", "for=127.0.0.1;proto=http"),
        ("host", host),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", host),
        ("x-forwarded-port", port),
        ("x-forwarded-proto", "http"),
        ("x-kept", "1"),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(fields, expected);
}

#[test]
fn a_forwarded_request_ends_at_its_timeout_and_an_answer_that_is_no_text_is_refused() {
    let door = Door::default();
    let held = door.clone();
    let relay = relay_with(CONFIG, &[]);
    let (_agent, label) = agent(
        &relay,
        Origin::answering(move |head, _| match head.target() {
            "/slow" => {
                held.pass();
                ok(b"late")
            }
            "/binary" => ok(&[0xff, 0xfe, 0]),
            "/gzip" => answer("200 OK", &[("Content-Encoding", "gzip")], b"pressed"),
            "/cookies" => {
                answer("200 OK", &[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Expires=Wed, 09 Jun")], b"")
            }
            other => panic!("{other} was asked for"),
        }),
    );
    let (status, told) = forward(&relay, &label, &json!({"path": "/slow", "timeout": 0.2}));
    assert_eq!((status, &told["status"], &told["error"]), (200, &json!(504), &json!("Request timeout")));
    door.open();
    for path in ["/binary", "/gzip"] {
        let (_, told) = forward(&relay, &label, &json!({"path": path}));
        let error = told["error"].as_str().expect("a sentence");
        assert!(told["body"].is_null() && error.contains("no text"), "{told}");
    }
    let (_, told) = forward(&relay, &label, &json!({"path": "/cookies"}));
    assert_eq!(
        (&told["headers"]["set-cookie"], &told["body"]),
        (&json!("a=1\nb=2; Expires=Wed, 09 Jun"), &json!(""))
    );
    assert_eq!(of_operator(&relay, &format!("/api/tunnels/{label}"))["total_requests"], 4);
    assert_eq!(of_operator(&relay, "/api/stats")["active_connections"], 1);
}

fn of_operator(relay: &Relay, target: &str) -> Value {
    told(relay, "GET", target, "").1
}

#[test]
fn the_operators_key_and_what_is_forwarded_are_in_no_log() {
    let home = Home::new();
    let path = write_config(&home, CONFIG);
    let mut command = home.command(&["relay", "--json", "-vvv", "--listen", "0", "--config", &path]);
    command.env("RUST_LOG", "trace");
    let mut relay = Relay::started(Program::start(command), home);
    let (_agent, label) = agent(&relay, Origin::saying(b"an answer nobody logs"));
    let asked =
        json!({"path": "/p?password=hunter2", "headers": {"Cookie": "crumbs"}, "body": "typed-secret"});
    assert_eq!(forward(&relay, &label, &asked).0, 200);
    ask(&relay, "GET", "/api/tunnels", &["X-Api-Key: a-key-that-was-mistyped"], "");
    relay.program.signal(Signal::INT);
    assert_eq!(relay.program.code(), 0);
    let said = relay.program.transcript();
    assert!(said.contains("TRACE") || said.contains("DEBUG"), "nothing was logged: {said}");
    for hidden in
        ["the-operators-own-key", "a-key-that", "hunter2", "crumbs", "typed-secret", "nobody logs", TOKEN]
    {
        let shown = said.lines().find(|line| line.contains(hidden));
        assert_eq!(shown, None, "{hidden} was shown");
    }
}
