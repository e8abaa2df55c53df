//! The login at real tunely servers: who is let in, who is not, and who comes back.

use std::time::Instant;

use hvym_tunnel_tests::half_open::HalfOpen;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunely::{Mode, NEW, OLD, Server};

use super::Exposed;

/// A server with a tunnel, its token, and a service.
fn server(version: &'static str) -> Option<(Server, String, String)> {
    let server = Server::start(version)?;
    let token = server.tunnel(Mode::Http);
    Some((server, token, Origin::saying(b"hello").port.to_string()))
}

fn greets(server: &Server) {
    let (head, body) = server.ask(Mode::Http, "GET", "/", &[], b"").expect("an answer");
    assert_eq!((head.status(), &body[..]), (200, &b"hello"[..]));
}

#[test]
fn a_wrong_token_is_the_end_and_is_never_shown() {
    for version in [NEW, OLD] {
        let Some((server, _, target)) = server(version) else { return };
        let token = "tun_this-is-nobodys-token";
        let mut exposed = Exposed::start(&target, &server.url(), "tunely", token, &["-vvv"]);
        assert_eq!(exposed.program.code(), 4, "{version}: {exposed:?}");
        let said = exposed.program.transcript();
        assert!(said.contains("check the token"), "{version}: {said}");
        assert!(!said.contains(token), "{version}: {said}");
    }
}

#[test]
fn the_second_of_two_agents_is_refused_and_the_first_one_serves_on() {
    let Some((server, token, target)) = server(NEW) else { return };
    let mut first = Exposed::start(&target, &server.url(), "tunely", &token, &[]);
    first.ready();
    let mut second = Exposed::start(&target, &server.url(), "tunely", &token, &[]);
    // This version has one answer for this and for a wrong token.
    assert_eq!(second.program.code(), 4, "{second:?}");
    assert!(second.program.transcript().contains("--force takes its place"), "{second:?}");
    greets(&server);
    assert!(first.program.runs());
}

#[test]
fn the_older_server_says_that_the_token_is_in_use() {
    let Some((server, token, target)) = server(OLD) else { return };
    let mut first = Exposed::start(&target, &server.url(), "tunely", &token, &[]);
    first.ready();
    let mut second = Exposed::start(&target, &server.url(), "tunely", &token, &[]);
    assert_eq!(second.program.code(), 5, "{second:?}");
    let said = second.program.transcript();
    assert!(
        said.contains("another agent is connected with this token") && said.contains("--force"),
        "{said}"
    );
}

#[test]
fn who_comes_with_force_takes_the_place_and_who_had_it_does_not_fight_for_it() {
    for version in [NEW, OLD] {
        let Some((server, token, target)) = server(version) else { return };
        let mut first = Exposed::start(&target, &server.url(), "tunely", &token, &["--force"]);
        first.ready();
        let mut second = Exposed::start(&target, &server.url(), "tunely", &token, &["--force"]);
        second.ready();
        assert_eq!(first.program.code(), 5, "{version}: {first:?}");
        if version == OLD {
            // It cleans up by token when the first is gone, and forgets the second with it.
            until_forgotten(&server);
        } else {
            greets(&server);
        }
        assert!(second.program.runs());
    }
}

fn until_forgotten(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    while server.tunnel_info()["connected"] == true {
        assert!(Instant::now() < deadline, "the server remembers who came with force: let it greet");
    }
}

#[test]
fn an_agent_is_back_when_its_server_is_and_serves() {
    for version in [NEW, OLD] {
        let Some((server, token, target)) = server(version) else { return };
        let mut exposed = Exposed::start(&target, &server.url(), "tunely", &token, &[]);
        exposed.ready();
        greets(&server);
        let server = server.restart();
        exposed.program.event("disconnected");
        exposed.program.event("reconnected");
        greets(&server);
    }
}

#[test]
fn an_agent_that_a_server_has_not_missed_yet_asks_again_every_few_seconds_until_it_has() {
    const NOTICED: u64 = 5000;
    let Some(server) = Server::start_impatient(NEW) else { return };
    let (network, token) = (HalfOpen::start(server.port), server.tunnel(Mode::Http));
    let target = Origin::saying(b"hello").port.to_string();
    let relay = format!("ws://127.0.0.1:{}", network.port);
    let mut exposed = Exposed::start(&target, &relay, "tunely", &token, &[]);
    exposed.ready();
    network.cut();
    exposed.program.event("reconnected");
    greets(&server);
    let told = exposed.program.transcript();
    let events = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let lost: Vec<_> = events.filter(|event| event["event"] == "disconnected").collect();
    // The server takes it for a second agent as long as it does not know of the loss.
    assert!(lost.len() > 1, "{told}");
    for event in lost {
        let wait = event["retry_in_ms"].as_u64().unwrap_or_else(|| panic!("it gave up: {told}"));
        assert!(wait <= NOTICED, "{told}");
    }
}

#[test]
fn an_agent_without_a_token_is_told_that_the_server_may_be_one_of_tunely() {
    for version in [NEW, OLD] {
        let Some(server) = Server::start(version) else { return };
        let home = Home::new();
        let mut program = home.start(&["expose", "3000", "--json", "--no-retry", "--relay", &server.url()]);
        assert_ne!(program.code(), 0, "{version}: {program:?}");
        let told = program.transcript();
        assert!(told.contains("--dialect tunely"), "{version}: {told}");
    }
}
