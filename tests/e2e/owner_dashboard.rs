//! The dashboard of a manager as a private service: for its owner, who may look from afar and do little.
#![cfg(unix)]

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Head, Origin};
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::{Relay, request};
use serde_json::Value;

const OWNER: [u8; 32] = [34; 32];
const STRANGER: [u8; 32] = [35; 32];

fn manager(home: &Home, relay: &Relay, arguments: &[&str]) -> Program {
    let (url, service) = (relay.url(), Origin::saying(b"here").port.to_string());
    let bind = format!("web={service}");
    let own = ["manager", "--json", "--api-port", "0", "--relay", &url, "--bind", &bind];
    let mut program = home.start(&[&own, arguments].concat());
    program.event("api");
    program.event("ready");
    program
}

/// A port of this machine that leads to the dashboard, as `who` reaches it.
fn forward(home: &Home, relay: &Relay) -> (Program, u16) {
    let to = format!("{}/manager", Key::from_seed(OWNER).address());
    let mut program = home.start(&["forward", &to, "--json", "--relay", &relay.url()]);
    let listen = program.event("forwarding")["listen"].as_str().expect("a place").to_owned();
    let port = listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    (program, port)
}

fn ask(port: u16, host: &str, method: &str, path: &str, fields: &[&str]) -> std::io::Result<(Head, Value)> {
    let mut connection = Conversation::dial(port);
    let all = [fields, &["Connection: close", "Content-Length: 2"]].concat();
    connection.send(request(host, method, path, &all) + "{}")?;
    let head = connection.head()?;
    let body = connection.body(&head)?;
    Ok((head, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

#[test]
fn an_owner_sees_the_dashboard_from_afar_and_neither_settings_nor_services_are_changed_there() {
    let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed(OWNER)));
    let _manager = manager(&home, &relay, &["--api-remote"]);
    let elsewhere = Home::of(&Key::from_seed(OWNER));
    let (_forward, port) = forward(&elsewhere, &relay);
    let own = format!("127.0.0.1:{port}");
    let status = |host: &str, method: &str, path: &str, fields: &[&str]| {
        ask(port, host, method, path, fields).expect("an answer").0.status()
    };
    let (head, shown) = ask(port, &own, "GET", "/api/status", &[]).expect("an answer");
    assert_eq!((head.status(), head.field("hvym-tunnel-access")), (200, Some("owner")));
    assert_eq!(shown["services"].as_array().map(Vec::len), Some(2), "{shown}");
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/v1/alerts"),
        ("GET", "/api/v1/history"),
        ("GET", "/api/v1/requests"),
        ("POST", "/api/v1/checks"),
    ] {
        assert_eq!(status(&own, method, path, &[]), 200, "{method} {path}");
    }
    // Whoever runs the relay could say that it is the owner.
    let token = std::fs::read_to_string(home.path(".local/state/hvym-tunnel/api.token")).expect("a token");
    let bearer = format!("Authorization: Bearer {}", token.trim());
    for (method, path) in [
        ("GET", "/api/v1/settings"),
        ("PUT", "/api/v1/settings"),
        ("GET", "/api/v1/settings/export?with_secrets=true"),
        ("POST", "/api/v1/services"),
        ("DELETE", "/api/v1/services/web"),
        ("POST", "/api/v1/join"),
        ("POST", "/api/tunnel/stop"),
        ("POST", "/api/v1/drain"),
        ("POST", "/api/v1/reload"),
    ] {
        for fields in [&[][..], &[bearer.as_str()]] {
            assert_eq!(status(&own, method, path, fields), 403, "{method} {path}");
        }
    }
    // A website in the browser of somebody who has forwarded it.
    assert_eq!(status(&own, "POST", "/api/v1/checks", &["Origin: https://evil.example"]), 403);
    assert_eq!(status("evil.example", "GET", "/api/status", &[]), 403);
}

#[test]
fn the_dashboard_is_there_for_nobody_else_and_only_where_it_is_offered() {
    let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed(OWNER)));
    let stranger = Home::of(&Key::from_seed(STRANGER));
    let (_forward, port) = forward(&stranger, &relay);
    let own = format!("127.0.0.1:{port}");
    {
        let _manager = manager(&home, &relay, &["--api-remote"]);
        assert!(ask(port, &own, "GET", "/api/status", &[]).is_err(), "a stranger is let in");
        let socket = home.path(".local/state/hvym-tunnel/owner.sock");
        let mode = std::fs::metadata(&socket)
            .map(|file| std::os::unix::fs::PermissionsExt::mode(&file.permissions()));
        assert_eq!(mode.expect("a socket") & 0o777, 0o600);
    }
    let _manager = manager(&home, &relay, &[]);
    let elsewhere = Home::of(&Key::from_seed(OWNER));
    let (_forward, port) = forward(&elsewhere, &relay);
    assert!(
        ask(port, &format!("127.0.0.1:{port}"), "GET", "/api/status", &[]).is_err(),
        "it was not offered"
    );
}
