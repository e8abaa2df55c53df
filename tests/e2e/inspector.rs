//! The inspector beside an agent: what it keeps, whom it shows it, and what it sends again.
#![cfg(unix)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::channel;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin, answer, nobody, ok};
use hvym_tunnel_tests::inspected::{Inspected, InspectorAt, inspector_port};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::{Agent, Relay, host_of, request};
use serde_json::{Value, json};

/// A service that hands out each request as it came, once it ends with `end`, and answers it.
fn recording(end: &'static [u8]) -> (Origin, std::sync::mpsc::Receiver<Vec<u8>>) {
    let (sender, requests) = channel();
    let service = Origin::start(move |connection| {
        let mut wire = connection.writer();
        loop {
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(end) {
                wire.read_exact(&mut byte)?;
                request.push(byte[0]);
            }
            // The test may have ended.
            let _gone = sender.send(request);
            wire.write_all(&ok(b"fine"))?;
        }
    });
    (service, requests)
}

#[test]
fn a_request_is_kept_with_its_response_and_secrets_are_masked_until_asked_for() {
    let service = Origin::answering(|_, _| {
        answer(
            "201 Created",
            &[("Content-Type", "application/json"), ("Set-Cookie", "s=hidden-reply")],
            b"{\"a\":1}",
        )
    });
    let inspected = Inspected::exposing(service.port, &[]);
    let lines = ["Content-Type: text/plain", "Authorization: Bearer hidden-key", "Cookie: a=hidden-cookie"];
    inspected.alone.ask("POST", "/hook?x=1", &lines, b"hello").expect("an answer");
    let [listed] = &inspected.requests(1)[..] else { panic!("one request") };
    let expected = json!([1, "web", "POST", "/hook?x=1", 201, "http", "complete", 5, 7, "application/json"]);
    let names = [
        "id",
        "service",
        "method",
        "target",
        "status",
        "kind",
        "progress",
        "request_bytes",
        "response_bytes",
        "media_type",
    ];
    assert_eq!(names.map(|name| listed[name].clone()).as_slice(), expected.as_array().expect("a list"));
    let (_, masked) = inspected.own("GET", "/api/requests/1", &[], "");
    let masked = String::from_utf8(masked).expect("text");
    assert!(!masked.contains("hidden") && masked.contains("••••"), "{masked}");
    let detail: Value = serde_json::from_str(&masked).expect("JSON");
    let url = detail["url"].as_str().expect("a URL");
    assert!(url.starts_with("http://") && url.ends_with("/hook?x=1"), "{url}");
    assert!(detail["timing"]["end_ms"].as_f64() >= detail["timing"]["response_ms"].as_f64(), "{detail}");
    for path in ["/api/requests/1/curl", "/api/har"] {
        let (head, body) = inspected.own("GET", path, &[], "");
        let body = String::from_utf8(body).expect("text");
        assert!(head.status() == 200 && !body.contains("hidden") && body.contains("hello"), "{path}: {body}");
        assert_eq!(inspected.own("GET", &format!("{path}?reveal"), &[], "").0.status(), 401);
    }
    assert_eq!(inspected.own("GET", "/api/requests/1?reveal", &[], "").0.status(), 401);
    let (_, shown) = inspected.own("GET", "/api/requests/1?reveal", &[&inspected.token_line()], "");
    let shown = String::from_utf8(shown).expect("text");
    for secret in ["hidden-key", "hidden-cookie", "hidden-reply"] {
        assert!(shown.contains(secret), "{shown}");
    }
    let (head, body) = inspected.own("GET", "/api/requests/1/response/body", &[], "");
    assert_eq!((head.status(), body.as_slice()), (200, &b"{\"a\":1}"[..]));
    // Whatever strangers wrote, a browser that opens it runs nothing.
    assert!(
        head.field("content-security-policy").is_some_and(|policy| policy.contains("sandbox")),
        "{head:?}"
    );
    assert_eq!(inspected.own("GET", "/api/requests/1/request/body", &[], "").1, b"hello");
}

#[test]
fn a_request_is_sent_again_byte_for_byte() {
    let (service, requests) = recording(b"0\r\nX-Sum: 1\r\n\r\n");
    let inspected = Inspected::exposing(service.port, &[]);
    let mut visitor = inspected.alone.visit();
    let lines =
        ["X-ODD-name:   spaces", "Authorization: Bearer key", "Transfer-Encoding: chunked", "Trailer: X-Sum"];
    visitor.send(request(inspected.alone.host(), "PUT", "/%7Ea//b?c", &lines)).expect("it is taken");
    visitor.send("3\r\nabc\r\n0004\r\n\0\r\nz\r\n0\r\nX-Sum: 1\r\n\r\n").expect("it is taken");
    let head = visitor.head().expect("an answer");
    assert_eq!(visitor.body(&head).expect("an answer"), b"fine");
    let first = requests.recv_timeout(PATIENCE).expect("the request came");
    inspected.requests(1);
    let (head, body) = inspected.own("POST", "/api/requests/1/replay", &[&inspected.token_line()], "");
    assert_eq!((head.status(), body.as_slice()), (202, &b"{\"id\":2}"[..]));
    let again = requests.recv_timeout(PATIENCE).expect("it came again");
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&first));
    let [_, second] = &inspected.requests(2)[..] else { panic!("two requests") };
    assert_eq!((&second["replay_of"], &second["status"]), (&json!(1), &json!(200)), "{second}");
}

#[test]
fn an_edited_request_is_sent_with_its_own_length_and_the_secrets_that_were_not_shown() {
    let (service, requests) = recording(b"hello");
    let inspected = Inspected::exposing(service.port, &[]);
    inspected.alone.ask("POST", "/", &["Cookie: a=secret"], b"hello").expect("an answer");
    requests.recv_timeout(PATIENCE).expect("the request came");
    inspected.requests(1);
    let edit = json!({
        "method": "PATCH", "target": "/new", "body": "much longer hello",
        "headers": [["Host", "x"], ["Cookie", "••••••••"], ["Content-Length", "1"]],
    });
    let token = inspected.token_line();
    let (head, body) = inspected.own("POST", "/api/requests/1/replay", &[&token], &edit.to_string());
    assert_eq!(head.status(), 202, "{}", String::from_utf8_lossy(&body));
    let again = requests.recv_timeout(PATIENCE).expect("it came again");
    let expected =
        "PATCH /new HTTP/1.1\r\nHost: x\r\nCookie: a=secret\r\nContent-Length: 17\r\n\r\nmuch longer hello";
    assert_eq!(String::from_utf8_lossy(&again), expected);
    for (edit, status) in [("{\"method\":\"A B\"}", 400), ("{\"other\":1}", 400), ("{", 400)] {
        assert_eq!(
            inspected.own("POST", "/api/requests/1/replay", &[&token], edit).0.status(),
            status,
            "{edit}"
        );
    }
    assert_eq!(inspected.own("POST", "/api/requests/99/replay", &[&token], "").0.status(), 404);
}

#[test]
fn requests_of_a_manager_are_shown_and_sent_again_whichever_agent_it_has() {
    let (service, home, relay) =
        (Origin::saying(b"here"), Home::of(&Key::from_seed([100; 32])), Relay::start(&[]));
    let (bind, url) = (format!("web={}", service.port), relay.url());
    let arguments = ["--api-port", "0", "--relay", &url, "--bind", &bind, "--inspect=127.0.0.1:0"];
    let mut manager = home.start(&[&["manager", "--json"], &arguments[..]].concat());
    let ready = manager.event("ready");
    let inspector = InspectorAt::of(&manager);
    let visit = |path: &str| {
        let mut visitor = relay.visit();
        visitor
            .send(request(host_of(ready["url"].as_str().expect("a URL")), "GET", path, &[]))
            .expect("it is taken");
        assert_eq!(visitor.head().expect("an answer").status(), 200);
    };
    visit("/before");
    inspector.requests(1);
    assert_eq!(home.start(&["restart"]).code(), 0);
    manager.event("ready");
    visit("/after");
    let paths: Vec<_> = inspector.requests(2).iter().map(|request| request["target"].clone()).collect();
    assert_eq!(paths, ["/before", "/after"]);
    let (head, _) = inspector.own("POST", "/api/requests/1/replay", &[&inspector.token_line()], "");
    assert_eq!(head.status(), 202);
    assert_eq!(inspector.requests(3)[2]["replay_of"], 1);
    assert_eq!(inspector.own("GET", "/", &[], "").0.status(), 200);
    assert_eq!(home.start(&["stop"]).code(), 0);
    assert_eq!(inspector.own("GET", "/", &[], "").0.status(), 503);
}

#[test]
fn the_page_is_200_exactly_while_visitors_can_come() {
    let service = Origin::saying(b"here");
    let relay = Relay::start(&[]);
    let mut agent = Agent::start(&relay, service.port, &["--inspect=127.0.0.1:0"]);
    let port = inspector_port(&agent.program);
    let get = |path: &str| {
        let mut connection = Conversation::dial(port);
        connection
            .send(format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"))
            .expect("it is taken");
        let head = connection.head().expect("an answer");
        (head.status(), connection.body(&head).expect("an answer"))
    };
    let urls = |urls: Value| json!({ "urls": urls }).to_string().into_bytes();
    assert_eq!(get("/").0, 200);
    assert_eq!(get("/urls"), (200, urls(json!([agent.url()]))));
    let Relay { mut program, port: relay_port, home, .. } = relay;
    program.kill();
    agent.program.event("disconnected");
    assert_eq!(get("/").0, 503);
    assert_eq!(get("/urls"), (200, urls(json!([]))));
    let _relay = Relay::start_in(home, relay_port, &[]);
    agent.program.event("reconnected");
    assert_eq!(get("/").0, 200);
}

#[test]
fn other_hosts_other_origins_and_strangers_without_the_token_neither_read_nor_change_anything() {
    let service = Origin::saying(b"here");
    let inspected = Inspected::exposing(service.port, &[]);
    inspected.alone.get("/").expect("an answer");
    inspected.requests(1);
    let (own, port, token) =
        (format!("Host: 127.0.0.1:{}", inspected.port), inspected.port, inspected.token_line());
    let status = |method: &str, path: &str, lines: &[&str]| {
        inspected.ask(method, path, lines, "").map(|(head, _)| head.status()).expect("an answer")
    };
    for path in ["/", "/urls", "/api/session", "/api/requests", "/api/requests/1", "/api/events", "/api/har"]
    {
        for host in ["Host: website.example", "Host: 127.0.0.1.website.example", "Host: 0.0.0.0"] {
            assert_eq!(status("GET", path, &[host, &token]), 403, "{host} {path}");
        }
        let foreign = ["Origin: https://website.example", "Origin: http://localhost:1", "Origin: null"];
        for line in [&foreign[..], &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"]].concat() {
            assert_eq!(status("GET", path, &[&own, line, &token]), 403, "{line} {path}");
        }
    }
    for (method, path) in [("POST", "/api/requests/1/replay"), ("DELETE", "/api/requests")] {
        assert_eq!(status(method, path, &[&own]), 401);
        assert_eq!(status(method, path, &[&own, "Authorization: Bearer 0000"]), 401);
        assert_eq!(status(method, path, &[&own, &token, "Origin: https://website.example"]), 403);
        assert_eq!(status(method, path, &["Host: website.example", &token]), 403);
    }
    let (head, _) = inspected.own("GET", "/api/requests/1/replay", &[&token], "");
    assert_eq!((head.status(), head.field("allow")), (405, Some("POST")));
    assert_eq!(inspected.requests(1).len(), 1);
    let same = format!("Origin: http://127.0.0.1:{port}");
    assert_eq!(status("DELETE", "/api/requests", &[&own, &token, &same]), 204);
    inspected.requests(0);
}

#[test]
fn events_and_messages_are_listed_as_they_come() {
    let service = Origin::start(|mut connection| {
        let head = connection.head()?;
        if head.target() == "/events" {
            connection.send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            )?;
            connection.send("19\r\nevent: tick\ndata: first\n\n\r\n0\r\n\r\n")?;
            return connection.rest().map(drop);
        }
        connection
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")?;
        connection.send("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\u{1}\u{2}")?;
        Ok(())
    });
    let inspected = Inspected::exposing(service.port, &[]);
    inspected.alone.get("/events").expect("an answer");
    inspected.requests(1);
    let said = inspected.json("/api/requests/1/messages");
    assert_eq!(said["total"], 1, "{said}");
    let event = &said["messages"][0];
    assert_eq!(
        (&event["sender"], &event["name"], &event["text"]),
        (&json!("service"), &json!("tick"), &json!("first"))
    );
    let mut visitor = inspected.alone.visit();
    let lines = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    visitor.send(request(inspected.alone.host(), "GET", "/socket", &lines)).expect("it is taken");
    assert_eq!(visitor.head().expect("an answer").status(), 101);
    visitor.rest().expect("it ends");
    drop(visitor);
    assert_eq!(inspected.requests(2)[1]["kind"], "websocket");
    let token = inspected.token_line();
    assert_eq!(inspected.own("POST", "/api/requests/2/replay", &[&token], "").0.status(), 409);
}

#[test]
fn a_request_that_no_service_took_is_listed_with_the_page_that_its_visitor_got() {
    let inspected = Inspected::exposing(nobody(), &[]);
    assert_eq!(inspected.alone.get("/missing").expect("a page").0.status(), 502);
    let [listed] = &inspected.requests(1)[..] else { panic!("one request") };
    assert_eq!((&listed["target"], &listed["status"]), (&json!("/missing"), &json!(502)), "{listed}");
    let (head, _) = inspected.own("POST", "/api/requests/1/replay", &[&inspected.token_line()], "");
    assert_eq!(head.status(), 502);
}

#[test]
fn requests_of_identities_to_a_private_service_are_kept_only_if_asked_for() {
    let service = Origin::saying(b"private");
    let (owner, friend) = (Key::from_seed([61; 32]), Key::from_seed([62; 32]));
    let to = format!("{}/db", owner.address());
    let allowed = friend.address().to_string();
    for asked_for in [false, true] {
        let relay = Relay::start(&[]);
        let arguments = ["--service", "db", "--private", "--allow", &allowed, "--inspect=127.0.0.1:0"];
        let private = if asked_for { &["--inspect-private"][..] } else { &[] };
        let home = Home::of(&owner);
        let agent = Agent::exposing(home, &relay, &service.port.to_string(), &[&arguments, private].concat());
        let inspector = InspectorAt::of(&agent.program);
        let callers = Home::of(&friend);
        let mut forward = callers.start(&["forward", &to, "--json", "--relay", &relay.url()]);
        let listen = forward.event("forwarding")["listen"].as_str().expect("a place").to_owned();
        let listen = listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
        let mut caller = Conversation::dial(listen);
        caller
            .send("GET /inner HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")
            .expect("it is taken");
        let head = caller.head().unwrap_or_else(|error| panic!("{error}: {forward:?} {agent:?}"));
        assert_eq!(head.status(), 200);
        let requests = inspector.requests(usize::from(asked_for));
        let from = requests.first().map(|request| (request["from"].clone(), request["target"].clone()));
        assert_eq!(from, asked_for.then(|| (json!(allowed), json!("/inner"))));
    }
}

#[test]
fn a_port_that_was_named_is_that_one_and_no_inspector_is_there_unless_it_is_asked_for() {
    let service = Origin::saying(b"here");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port();
    let home = Home::new();
    let named = format!("--inspect={port}");
    let mut agent = home.start(&["expose", &service.port.to_string(), "--json", &named]);
    assert_eq!(agent.code(), 3, "{agent:?}");
    assert!(agent.transcript().contains("name another port"), "{agent:?}");
    drop(taken);
    let mut agent = home.start(&["expose", &service.port.to_string(), "--json", &named]);
    agent.event("ready");
    assert_eq!(inspector_port(&agent), port);
    let mut quiet = home.start(&["expose", &service.port.to_string(), "--json"]);
    quiet.event("ready");
    assert!(!quiet.transcript().contains("inspecting"), "{quiet:?}");
    let mut open = home.start(&["expose", "1", "--inspect=0.0.0.0:4300"]);
    open.says("no address of this machine alone");
    assert_eq!(open.code(), 2);
}

#[test]
fn requests_are_listed_shown_and_sent_again_without_a_browser() {
    let (service, requests) = recording(b"hello");
    let inspected = Inspected::exposing(service.port, &[]);
    inspected.alone.ask("POST", "/hook", &["Cookie: a=secret"], b"hello").expect("an answer");
    requests.recv_timeout(PATIENCE).expect("the request came");
    inspected.requests(1);
    let port = inspected.port.to_string();
    let home = Home::new();
    let command = |arguments: &[&str]| home.start(&[&["requests", "--inspector", &port], arguments].concat());
    let line = command(&[]).line();
    assert!(["    1  POST", "/hook", "200", "[web]"].iter().all(|part| line.contains(part)), "{line}");
    let mut show = command(&["show", "1"]);
    assert_eq!(show.code(), 0);
    let shown = show.transcript();
    assert!(
        ["POST /hook HTTP/1.1", "hello", "HTTP/1.1 200 OK", "fine"].iter().all(|part| shown.contains(part)),
        "{shown}"
    );
    assert!(!shown.contains("secret"), "{shown}");
    let mut show = command(&["show", "1", "--reveal"]);
    assert_eq!(show.code(), 0);
    assert!(show.transcript().contains("a=secret"), "{show:?}");
    let mut follow = command(&["--follow", "--json"]);
    let followed: Value = serde_json::from_str(&follow.line()).expect("JSON");
    assert_eq!(followed["id"], 1);
    assert_eq!(command(&["replay", "1"]).line(), "sent again as 2");
    requests.recv_timeout(PATIENCE).expect("it came again");
    let followed: Value = serde_json::from_str(&follow.line()).expect("JSON");
    assert_eq!((&followed["id"], &followed["replay_of"]), (&json!(2), &json!(1)));
    let mut clear = command(&["clear"]);
    assert_eq!(clear.code(), 0);
    inspected.requests(0);
    let mut missing = command(&["show", "1"]);
    assert_eq!(missing.code(), 3);
    let mut absent = home.start(&["requests", "--inspector", &nobody().to_string()]);
    absent.says("expose with --inspect");
    assert_eq!(absent.code(), 3);
}
