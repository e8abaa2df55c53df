//! What websites in a browser of this machine get from a relay that is for this machine alone: nothing. And what one agent's
//! answers can do to the others of the same relay.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::alone::Alone;
use hvym_tunnel_tests::http::{Conversation, Head, Origin, answer};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel, request};
use smol::net::TcpStream;

use super::h2_visitor::H2;

const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OUFCQ0RFRg==",
];

/// What the relay of this port says to a request for `target` at `host` with these lines.
fn ask(port: u16, host: &str, target: &str, lines: &[&str]) -> (Head, String) {
    let mut visitor = Conversation::dial(port);
    visitor.send(request(host, "GET", target, lines)).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    // After 101 there is no body.
    let body = if head.status() == 101 { Vec::new() } else { visitor.body(&head).expect("a body") };
    (head, String::from_utf8(body).expect("text"))
}

fn upgrade<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&UPGRADE, more].concat()
}

#[test]
fn a_website_gets_nothing_from_the_relay_of_an_agent_that_named_none() {
    let alone = Alone::exposing(&Origin::saying(b"private").port.to_string(), &[]);
    let port = alone.host().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let own = format!("127.0.0.1:{port}");
    for target in
        ["/info", "/health", "/", "/server-identity", "/api/tunnels", "/api/info", "/proxy/x", "/connect"]
    {
        for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
            let origin = format!("Origin: {origin}");
            let (head, page) = ask(port, &own, target, &upgrade(&[&origin]));
            assert_eq!(head.status(), 403, "{target} {origin}");
            assert_eq!(head.field("access-control-allow-origin"), None, "{target} {origin}");
            assert!(page.contains("for programs and pages of this machine alone"), "{page}");
        }
        for host in ["evil.example", "evil.example:80", "192.0.2.1", "localhost.evil.example"] {
            let (head, page) = ask(port, host, target, &upgrade(&[]));
            assert_eq!(head.status(), 421, "{target} {host}");
            assert!(
                page.contains("for this machine alone") && page.contains("421 Misdirected Request"),
                "{page}"
            );
        }
    }
    // What is of this machine: programs, which name no origin, pages of local programs, and of tunnels.
    for origin in [
        "",
        "Origin: http://localhost:5173",
        "Origin: http://127.0.0.1:1",
        "Origin: http://web--x.localhost:2",
    ] {
        let lines: Vec<&str> = upgrade(&[origin]).into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(ask(port, &own, "/connect", &lines).0.status(), 101, "{origin}");
        assert_eq!(ask(port, "localhost", "/info", &lines[4..]).0.status(), 200, "{origin}");
    }
    // The service itself is the visitor's as before, whoever leads there.
    let (head, body) = ask(port, alone.host(), "/", &["Origin: https://evil.example"]);
    assert_eq!((head.status(), &*body), (200, "private"));
}

#[test]
fn a_website_that_the_operator_names_may_use_a_relay_of_this_machine() {
    let relay = Relay::start(&["--allow-origin", "https://app.example"]);
    let host = format!("localhost:{}", relay.port);
    assert_eq!(ask(relay.port, &host, "/info", &["Origin: https://app.example"]).0.status(), 200);
    assert_eq!(ask(relay.port, &host, "/info", &["Origin: https://evil.example"]).0.status(), 403);
}

#[test]
fn a_relay_with_a_domain_takes_websites_though_it_listens_for_a_proxy_of_this_machine() {
    let relay = Relay::start(&["--domain", "tunnel.example", "--public-scheme", "https"]);
    assert_eq!(ask(relay.port, "tunnel.example", "/info", &["Origin: https://app.example"]).0.status(), 200);
    assert_eq!(ask(relay.port, "127.0.0.1", "/health", &[]).0.status(), 200, "a health check of the proxy");
}

#[test]
fn what_is_exposed_at_an_agents_own_relay_is_reached_by_no_other_agent() {
    let owner = Home::of(&Key::from_seed([71; 32]));
    let alone = Alone::exposing_in(owner, &Origin::saying(b"private").port.to_string(), &[], |_| ());
    let url = format!(
        "ws://{}",
        alone.host().replacen(alone.host().split(':').next().unwrap_or_default(), "127.0.0.1", 1)
    );
    let caller = Home::new();
    let service = format!("{}/web", Key::from_seed([71; 32]).address());
    let mut forward = caller.start(&["forward", &service, "--json", "--relay", &url]);
    let event = forward.event("forwarding");
    let listen = event["listen"].as_str().and_then(|listen| listen.rsplit_once(':')).expect("a place");
    let mut visitor = Conversation::dial(listen.1.parse().expect("a port"));
    visitor.send(request("localhost", "GET", "/", &[])).expect("sent");
    let told = forward.event("not_reached");
    assert_eq!(told["code"], "not_reachable", "{told}");
    assert!(visitor.head().is_err(), "nobody answers");
}

/// A service that answers with these cookies.
fn baker() -> Origin {
    Origin::answering(|_, _| {
        let cookies = [
            ("Set-Cookie", "a=1; Domain=localhost"),
            ("Set-Cookie", "b=2; Path=/; domain=.LOCALHOST; Secure"),
            ("Set-Cookie", "c=3; Domain=web--x.localhost"),
        ];
        answer("200 OK", &cookies, b"baked")
    })
}

#[test]
fn no_cookie_is_for_all_tunnels_of_a_domain_whatever_the_visitor_speaks() {
    let tunnel = Tunnel::to(baker().port);
    let expected = ["a=1", "b=2; Path=/; Secure", "c=3; Domain=web--x.localhost"];
    let (head, _) = tunnel.get("/").expect("an answer");
    assert_eq!(head.all("set-cookie"), expected);
    smol::block_on(async {
        let wire = TcpStream::connect(("127.0.0.1", tunnel.relay.port)).await.expect("the relay listens");
        let visitor = H2::over(wire).await;
        let request = Request::get(format!("http://{}/", tunnel.agent.host())).body(Full::<Bytes>::default());
        let answer = visitor.ask(request.expect("a request")).await.expect("an answer");
        let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, expected);
    });
}

#[test]
fn two_lengths_over_http2_reach_a_service_as_one_or_not_at_all() {
    let echo = Origin::answering(|head, body| {
        let lengths = head.all("content-length").join("+");
        answer("200 OK", &[("X-Lengths", &lengths)], &body)
    });
    let relay = Relay::start(&[]);
    let agent = Agent::start(&relay, echo.port, &[]);
    let ask = |lengths: [&'static str; 2]| {
        let url = format!("http://{}/", agent.host());
        let request =
            Request::post(url).header("content-length", lengths[0]).header("content-length", lengths[1]);
        let request = request.body(Full::from("abc")).expect("a request");
        smol::block_on(async {
            let wire = TcpStream::connect(("127.0.0.1", relay.port)).await.expect("the relay listens");
            H2::over(wire).await.ask(request).await
        })
    };
    match ask(["3", "3"]) {
        Ok(answer) if answer.status() == 200 => assert_eq!(answer.headers()["x-lengths"], "3"),
        Ok(answer) => assert_eq!(answer.status(), 400),
        // A protocol error of the stream (RFC 9113 section 8.1.1).
        Err(error) => assert!(error.to_string().contains("http2"), "{error}"),
    }
    match ask(["3", "4"]) {
        Ok(answer) => assert_eq!(answer.status(), 400),
        Err(error) => assert!(error.to_string().contains("http2"), "{error}"),
    }
}
