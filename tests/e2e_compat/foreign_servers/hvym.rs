//! Our agent at a server that speaks as the existing HVYM relay does: it finds that out by itself.

use std::sync::mpsc::channel;

use hvym_tunnel_tests::apps::pattern;
use hvym_tunnel_tests::http::{Head, Origin, answer, nobody, ok};
use hvym_tunnel_tests::older::{Link, Port, hvym_ask, hvym_login, hvym_seal};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::{Door, Key};
use rustix::process::Signal;
use serde_json::{Value, json};

const AGENT: [u8; 32] = [0x21; 32];
const RELAY: [u8; 32] = [0x22; 32];

/// `expose` with an identity that the test knows.
fn expose(port: &Port, target: &str, more: &[&str]) -> (Program, Home) {
    let home = Home::of(&Key::from_seed(AGENT));
    let relay = port.url();
    let start = ["expose", target, "--json", "--service", "pintheon", "--relay", &relay];
    (home.start(&[&start, more].concat()), home)
}

/// Lets the agent in, and takes its service.
fn let_in(port: &Port, seal: bool) -> Link {
    let (mut link, upgrade) = port.accept();
    assert_eq!(upgrade.uri().path(), "/connect");
    let relay = Key::from_seed(RELAY);
    let agent = hvym_login(&mut link, &relay, "hvym.test", seal);
    let bind = link.hear_of("bind");
    assert_eq!(bind["service"], "pintheon");
    link.say(&json!({"type": "bind_ok", "service": "pintheon", "local_port": bind["local_port"]}));
    if seal {
        hvym_seal(&mut link, &relay, agent);
    }
    link
}

/// A service that answers with what it was asked.
fn service() -> Origin {
    Origin::answering(|head: &Head, body| {
        let text = ("Content-Type", "text/plain; charset=utf-8");
        match head.target() {
            "/large" => answer("200 OK", &[text], &large(3)),
            "/huge" => answer("200 OK", &[text], &large(17)),
            "/binary" => answer("200 OK", &[], &pattern(3, 1000)),
            "/page?x=1" => answer("201 Created", &[text, ("X-Seen", head.method())], &body),
            _ => answer("404 Not Found", &[text], &body),
        }
    })
}

/// Some MiB of text that does not repeat soon.
fn large(mib: usize) -> Vec<u8> {
    pattern(7, mib * 1024 * 1024).into_iter().map(|byte| b'a' + byte % 26).collect()
}

fn request(method: &str, path: &str, query: &str, body: &str) -> Value {
    json!({"method": method, "path": path, "query_string": query, "body": body,
           "headers": {"host": "hvym.test", "x-forwarded-for": "203.0.113.7"}})
}

#[test]
fn an_existing_server_is_known_by_what_it_says_and_its_visitors_are_served() {
    for seal in [false, true] {
        let port = Port::default();
        let (mut program, _home) = expose(&port, &service().port.to_string(), &[]);
        let mut link = let_in(&port, seal);
        let ready = program.event("ready");
        let address = Key::from_seed(AGENT).address();
        assert_eq!(ready["url"], format!("https://{address}.hvym.test"), "as the server says it");
        link.say(&json!({"type": "ping"}));
        link.hear_of("pong");
        let answer = hvym_ask(&mut link, 1, &request("POST", "/page", "x=1", "caf\u{e9}"));
        assert_eq!((&answer["status_code"], &answer["body"]), (&json!(201), &json!("caf\u{e9}")), "{answer}");
        assert_eq!(answer["headers"]["x-seen"], "POST", "{answer}");
        let told = program.event("request");
        assert_eq!((&told["method"], &told["status"]), (&json!("POST"), &json!(201)));
        // Both ways, messages are larger than any of ours.
        let body = String::from_utf8(large(2)).expect("text");
        let answer = hvym_ask(&mut link, 2, &request("POST", "/page", "x=1", &body));
        assert!(answer["body"] == body.as_str(), "seal {seal}: {} bytes", answer["body"].to_string().len());
        let answer = hvym_ask(&mut link, 3, &request("GET", "/large", "", ""));
        assert!(answer["body"].as_str().is_some_and(|body| body.as_bytes() == large(3)), "seal {seal}");
        // What its relay could not take costs that answer alone, and never the link.
        let answer = hvym_ask(&mut link, 4, &request("GET", "/huge", "", ""));
        assert_eq!(answer["status_code"], 502, "{answer}");
        let answer = hvym_ask(&mut link, 5, &request("GET", "/binary", "", ""));
        assert_eq!(answer["status_code"], 502, "{answer}");
        assert!(!program.transcript().contains(&Key::from_seed(AGENT).secret()));
    }
}

#[test]
fn a_visitor_who_sends_more_than_a_message_holds_is_refused_and_the_link_goes_on() {
    for seal in [false, true] {
        let port = Port::default();
        let (mut program, _home) = expose(&port, &service().port.to_string(), &[]);
        let mut link = let_in(&port, seal);
        program.event("ready");
        let body = String::from_utf8(large(17)).expect("text");
        let answer = hvym_ask(&mut link, 1, &request("POST", "/page", "x=1", &body));
        assert_eq!(answer["status_code"], 413, "{answer}");
        assert!(answer["body"].as_str().is_some_and(|text| text.contains("16 MiB")), "{answer}");
        let answer = hvym_ask(&mut link, 2, &request("POST", "/page", "x=1", "small"));
        assert_eq!((&answer["status_code"], &answer["body"]), (&json!(201), &json!("small")));
    }
}

#[test]
fn a_service_that_is_not_there_is_said_to_the_visitor_at_once() {
    let port = Port::default();
    let target = nobody().to_string();
    let (mut program, _home) = expose(&port, &target, &[]);
    let mut link = let_in(&port, false);
    program.event("ready");
    let answer = hvym_ask(&mut link, 1, &request("GET", "/", "", ""));
    assert_eq!(answer["status_code"], 502);
    assert!(
        answer["body"]
            .as_str()
            .is_some_and(|page| page.contains("HT-502-refused") && !page.contains(&target)),
        "{answer}"
    );
}

#[test]
fn an_agent_comes_back_to_a_server_that_restarts_and_not_to_one_that_replaced_it() {
    let port = Port::default();
    let (mut program, _home) = expose(&port, &service().port.to_string(), &[]);
    let link = let_in(&port, false);
    program.event("ready");
    link.close(1012, "");
    program.event("disconnected");
    let mut link = let_in(&port, true);
    program.event("reconnected");
    let answer = hvym_ask(&mut link, 1, &request("POST", "/page", "x=1", "again"));
    assert_eq!(answer["body"], "again");
    link.close(4003, "New connection from same address");
    assert_eq!(program.code(), 5, "{program:?}");
}

#[test]
fn an_agent_that_the_server_has_lost_after_it_came_back_logs_in_once_more() {
    let port = Port::default();
    let (mut program, _home) = expose(&port, &service().port.to_string(), &[]);
    let link = let_in(&port, false);
    program.event("ready");
    // Without a close: the server may not have missed it yet, and takes the next link for the one to clean up.
    drop(link);
    program.event("disconnected");
    let mut forgotten = let_in(&port, false);
    program.event("reconnected");
    port.refuse("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").expect("the agent asked");
    assert_eq!(forgotten.hear(), Value::Null, "it leaves in good order");
    let mut link = let_in(&port, false);
    program.event("reconnected");
    // This time it is there, and stays.
    port.refuse("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").expect("the agent asked");
    let answer = hvym_ask(&mut link, 1, &request("POST", "/page", "x=1", "again"));
    assert_eq!(answer["body"], "again");
}

#[test]
fn what_is_under_way_is_answered_before_an_agent_that_is_stopped_leaves() {
    let (door, port) = (Door::default(), Port::default());
    let (held, (tell, asked)) = (door.clone(), channel());
    let service = Origin::answering(move |_, _| {
        let _nobody = tell.send(());
        held.pass();
        ok(b"at last")
    });
    let (mut program, _home) = expose(&port, &service.port.to_string(), &[]);
    let mut link = let_in(&port, false);
    program.event("ready");
    link.say(&json!({"type": "tunnel_request", "stream_id": 1, "request": request("GET", "/", "", "")}));
    asked.recv_timeout(PATIENCE).expect("the service is asked");
    program.signal(Signal::INT);
    program.event("draining");
    door.open();
    let answer = link.hear_of("tunnel_response");
    assert_eq!(answer["response"]["body"], "at last", "{answer}");
    assert_eq!(link.hear(), Value::Null);
    assert_eq!(program.code(), 0, "{program:?}");
}

#[test]
fn a_service_that_the_server_does_not_allow_is_the_end() {
    let port = Port::default();
    let (mut program, _home) = expose(&port, "3000", &[]);
    let (mut link, _) = port.accept();
    let own = Key::from_seed(RELAY).address().to_string();
    link.say(&json!({"type": "auth_challenge", "challenge_id": "id", "challenge": "prove it", "server_address": own}));
    link.hear_of("auth_response");
    link.say(&json!({"type": "auth_failed", "error": "Service not allowed: pintheon"}));
    link.close(4003, "Service not allowed");
    assert_eq!(program.code(), 4, "{program:?}");
    assert!(program.transcript().contains("Service not allowed: pintheon"), "{program:?}");
}

/// Refuses the next agent's service, and answers what it asks then.
fn refuse_service(port: &Port, service: &str, info: &str) {
    let (mut link, _) = port.accept();
    let own = Key::from_seed(RELAY).address().to_string();
    link.say(&json!({"type": "auth_challenge", "challenge_id": "id", "challenge": "prove it", "server_address": own}));
    link.hear_of("auth_response");
    link.say(&json!({"type": "auth_failed", "error": format!("Service not allowed: {service}")}));
    link.close(4003, "Service not allowed");
    if !info.is_empty() {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{info}", info.len());
        port.refuse(&answer).expect("the agent asked");
    }
}

#[test]
fn a_service_that_nobody_named_is_called_as_the_server_lists_it_first() {
    let port = Port::default();
    let home = Home::of(&Key::from_seed(AGENT));
    let target = service().port.to_string();
    let mut program = home.start(&["expose", &target, "--json", "--relay", &port.url()]);
    refuse_service(&port, "web", r#"{"server_address": "G", "services": ["pintheon", "ipfs"]}"#);
    let told = program.event("service_chosen");
    assert_eq!((&told["service"], &told["refused"]), (&json!("pintheon"), &json!("web")));
    let mut link = let_in(&port, false);
    assert_eq!(program.event("ready")["service"], "pintheon");
    let answer = hvym_ask(&mut link, 1, &request("POST", "/page", "x=1", "hello"));
    assert_eq!(answer["body"], "hello");
}

#[test]
fn a_server_that_lists_no_service_or_refuses_its_own_list_is_the_end() {
    for info in ["{}", r#"{"services": []}"#, "no JSON", r#"{"services": ["pintheon"]}"#] {
        let port = Port::default();
        let home = Home::of(&Key::from_seed(AGENT));
        let mut program = home.start(&["expose", "3000", "--json", "--relay", &port.url()]);
        refuse_service(&port, "web", info);
        if info.contains("pintheon") {
            program.event("service_chosen");
            refuse_service(&port, "pintheon", "");
        }
        assert_eq!(program.code(), 4, "{info}: {program:?}");
        assert!(program.transcript().contains("Service not allowed"), "{info}: {program:?}");
    }
}

#[test]
fn what_an_existing_server_does_not_have_is_refused_when_it_is_known_to_be_one() {
    let friend = Key::from_seed([9; 32]).address().to_string();
    let cases: [(&str, &[&str], &str); 4] = [
        ("3000", &["--private", "--allow", &friend], "--private"),
        ("3000", &["--allow-cidr", "203.0.113.0/24"], "--allow-cidr"),
        ("3000", &["--bind", "api=3001"], "a second service"),
        ("tcp://localhost:5432", &[], "tcp://"),
    ];
    for (target, more, named) in cases {
        let port = Port::default();
        let (mut program, _home) = expose(&port, target, more);
        let (mut link, _) = port.accept();
        hvym_login(&mut link, &Key::from_seed(RELAY), "hvym.test", false);
        assert_eq!(program.code(), 3, "{named}: {program:?}");
        let said = program.transcript();
        assert!(said.contains("existing HVYM server") && said.contains(named), "{named}: {said}");
    }
}
