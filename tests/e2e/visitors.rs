//! What a visitor may say and what it may not, at the relay's public door.
#![cfg(unix)]

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Head, Origin, answer, ok};
use hvym_tunnel_tests::tunnel::{Relay, Tunnel, request};
use serde_json::Value;

/// A service that keeps what it is asked.
fn listener() -> (Origin, Arc<Mutex<Vec<Head>>>) {
    let heard = Arc::<Mutex<Vec<Head>>>::default();
    let kept = Arc::clone(&heard);
    let origin = Origin::answering(move |head, _| {
        kept.lock().expect("nobody panics here").push(head.clone());
        ok(b"heard")
    });
    (origin, heard)
}

/// What the relay answers to these bytes of a visitor.
fn ask(relay: &Relay, bytes: impl AsRef<[u8]>) -> (Head, Vec<u8>) {
    let mut visitor = relay.visit();
    visitor.send(bytes).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a whole answer");
    (head, body)
}

#[test]
fn what_visitors_claim_about_themselves_is_replaced_by_what_the_relay_sees() {
    let (origin, heard) = listener();
    let tunnel = Tunnel::to(origin.port);
    let lies = [
        "X-Forwarded-For: 6.6.6.6",
        "x-forwarded-for: 7.7.7.7",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: gopher",
        "X-Forwarded-Port: 666",
        "X-Forwarded-Anything: 1",
        "Forwarded: for=6.6.6.6;host=evil.example",
        "X_Forwarded_For: 6.6.6.6",
        "CF-Connecting-IP: 6.6.6.6",
        "X-Stellar-Address: GEVIL",
        "X-Custom-Domain: evil.example",
        "Connection: keep-alive, X-Private",
        "X-Private: 1",
        "Keep-Alive: timeout=9",
        "Proxy-Authorization: Basic x",
        "Proxy-Connection: keep-alive",
        "TE: gzip",
        "Upgrade: h2c",
        "Authorization: Bearer kept",
        "Cookie: kept=1",
        "X-Kept: 1",
    ];
    let (head, _) = ask(&tunnel.relay, tunnel.request("GET", "/", &lies));
    assert_eq!(head.status(), 200);
    let heard = heard.lock().expect("nobody panics here").pop().expect("the service was asked");
    let host = tunnel.agent.host();
    assert_eq!(heard.field("host"), Some(host));
    assert_eq!(heard.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(heard.field("x-forwarded-host"), Some(host));
    assert_eq!(heard.field("x-forwarded-proto"), Some("http"));
    assert_eq!(heard.field("x-forwarded-port"), Some(tunnel.relay.port.to_string().as_str()));
    // A host with a port would need quotes, which some services cannot read.
    assert_eq!(heard.field("forwarded"), Some("for=127.0.0.1;proto=http"));
    let mut names: Vec<String> = heard.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    let kept = ["authorization", "cookie", "forwarded", "host"];
    let ours = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-kept"];
    assert_eq!(names, [&kept[..], &ours[..]].concat());
}

#[test]
fn what_ends_at_the_hop_ends_there_on_the_way_back_too() {
    let origin = Origin::answering(|_, _| {
        let fields = [("Connection", "keep-alive, X-Inner"), ("X-Inner", "1"), ("Keep-Alive", "timeout=5")];
        let more = [("Server", "mine"), ("X-Powered-By", "tests"), ("Date", "Sat, 01 Jan 2000 00:00:00 GMT")];
        answer("299 Fine", &[&fields[..], &more[..]].concat(), b"")
    });
    let tunnel = Tunnel::to(origin.port);
    let (head, _) = tunnel.get("/").expect("an answer");
    assert_eq!(head.status(), 299);
    for gone in ["connection", "keep-alive", "x-inner", "via", "x-forwarded-for"] {
        assert_eq!(head.field(gone), None, "{head:?}");
    }
    assert_eq!(head.field("server"), Some("mine"));
    assert_eq!(head.field("date"), Some("Sat, 01 Jan 2000 00:00:00 GMT"));
}

#[test]
fn a_field_cannot_choose_another_tunnel() {
    let tunnel = Tunnel::to(Origin::saying(b"private").port);
    let address = tunnel.agent.ready["address"].as_str().expect("an address");
    let host = tunnel.agent.host();
    let relay_host = format!("localhost:{}", tunnel.relay.port);
    let lies = [
        format!("X-Stellar-Address: {address}"),
        format!("X-Forwarded-Host: {host}"),
        format!("X-Custom-Domain: {host}"),
    ];
    let lies: Vec<&str> = lies.iter().map(String::as_str).collect();
    let (head, body) = ask(&tunnel.relay, request(&relay_host, "GET", "/", &lies));
    assert_eq!(head.status(), 200);
    assert!(String::from_utf8(body).expect("text").contains("A tunnel relay"));
    // The target names the host where it names one (RFC 9112 section 3.2.2).
    let absolute = format!("GET http://{host}/ HTTP/1.1\r\nHost: {relay_host}\r\n\r\n");
    assert_eq!(ask(&tunnel.relay, absolute).1, b"private");
}

#[test]
fn hosts_that_lead_nowhere_are_told_so() {
    // It goes by a name that other machines know: one for this machine alone refuses other domains, see `foreign_pages`.
    let tunnel = Tunnel::with(Origin::saying(b"here").port, &["--also-name", "relay.example"], &[]);
    let (port, host) = (tunnel.relay.port, tunnel.agent.host());
    let absent = Key::from_seed([51; 32]).address().to_string().to_ascii_lowercase();
    let absent = format!("{absent}.localhost:{port}");
    let mistyped = format!(
        "{}.localhost",
        absent[..55].to_owned() + if absent[55..].starts_with('a') { "b" } else { "a" }
    );
    let nobody = ShortLabel::new(&Key::from_seed([51; 32]).address());
    let get = |host: &str| request(host, "GET", "/", &[]);
    let cases = [
        (get("other.example"), 404, "This name is not served here"),
        (get("nonsense.localhost"), 404, "This is not the name of a tunnel"),
        (get(&mistyped), 404, "This is not the name of a tunnel"),
        (get(&format!("api--{host}")), 404, "There is no such service"),
        (get(&absent), 503, "The tunnel is not connected"),
        (get(&format!("{nobody}.localhost")), 503, "The tunnel is not connected"),
        (get(&format!("api--{nobody}.localhost")), 503, "The tunnel is not connected"),
        (get("cool-app.localhost"), 404, "This is not the name of a tunnel"),
        (get(""), 400, "The request names no valid host"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "The request names no valid host"),
        (request(host, "GET", "/", &["Host: other.example"]), 400, "The request names no valid host"),
        (
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n".to_owned(),
            405,
            "This is not a proxy",
        ),
    ];
    for (bytes, status, title) in cases {
        let (head, body) = ask(&tunnel.relay, &bytes);
        let body = String::from_utf8(body).expect("text");
        assert_eq!(head.status(), status, "{bytes:?}: {body}");
        assert!(body.contains(title), "{bytes:?}: {body}");
        assert_eq!(head.field("retry-after").is_some(), status == 503, "{bytes:?}: {head:?}");
    }
    let (head, body) = ask(&tunnel.relay, request(&absent, "GET", "/", &["Accept: application/json"]));
    assert_eq!(head.field("content-type"), Some("application/json"));
    let page: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(page["status"], 503);
    // Host names have no case, and may carry a port or a final dot.
    for spelling in [host.to_ascii_uppercase(), host.split(':').next().expect("a name").to_owned() + "."] {
        assert_eq!(ask(&tunnel.relay, get(&spelling)).1, b"here", "{spelling}");
    }
}

#[test]
fn a_head_without_end_is_cut_off() {
    let tunnel = Tunnel::to(Origin::saying(b"here").port);
    let mut visitor = tunnel.visit();
    let long = format!("X-Long: {}", "x".repeat(100_000));
    visitor.send(tunnel.request("GET", "/", &[&long])).expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 431);
    let many: Vec<String> = (0..2000).map(|number| format!("X-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("GET", "/", &many)).expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 431);
    assert_eq!(tunnel.get("/").expect("an answer").1, b"here");
}

#[test]
fn an_old_visitor_is_served_in_its_own_way() {
    let tunnel = Tunnel::to(
        Origin::answering(|_, _| {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nold\r\n0\r\n\r\n".to_vec()
        })
        .port,
    );
    let mut visitor = tunnel.visit();
    visitor
        .send(format!("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", tunnel.agent.host()))
        .expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!((head.status(), head.field("transfer-encoding")), (200, None));
    assert_eq!(visitor.rest().expect("an end"), b"old");
}

#[test]
fn a_service_that_speaks_no_http_is_told_apart_from_one_that_is_away() {
    let (asked, asking) = channel();
    let asked = Mutex::new(asked);
    let origin = Origin::start(move |mut connection| {
        connection.head()?;
        asked.lock().expect("nobody panics here").send(()).expect("the test waits");
        connection.send("220 mail.example ESMTP\r\n")
    });
    let tunnel = Tunnel::to(origin.port);
    let (head, body) = tunnel.get("/").expect("an answer");
    asking.recv().expect("the service was asked");
    assert_eq!(head.status(), 502);
    assert!(String::from_utf8(body).expect("text").contains("no proper answer"));
}
