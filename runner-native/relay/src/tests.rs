//! A relay on a real socket, without agents: its own pages, its limits and its end.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::config::{Policy, TlsFiles};
use hvym_tunnel_net::runtime::Runtime;

fn start(change: impl FnOnce(&mut RelaySettings)) -> (Runtime, Relay) {
    let mut settings = RelaySettings::loopback();
    change(&mut settings);
    start_with(settings, Arc::new(drop))
}

fn start_with(settings: RelaySettings, observer: Observer) -> (Runtime, Relay) {
    let runtime = Runtime::new().expect("threads and descriptors");
    let inside = runtime.handle().enter();
    let relay = Relay::start(Address::from_public_key([7; 32]), settings, observer).expect("a free port");
    drop(inside);
    (runtime, relay)
}

fn ask(at: SocketAddr, request: &str) -> String {
    let mut tcp = TcpStream::connect(at).expect("the relay listens");
    tcp.write_all(request.as_bytes()).expect("the relay reads");
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).expect("the relay answers, then closes");
    answer
}

#[test]
fn a_relay_says_who_it_is_under_any_name_that_is_no_agents() {
    let (_runtime, relay) = start(|_| {});
    for host in ["localhost", "127.0.0.1", "LOCALHOST.:80"] {
        let answer = ask(
            relay.local_addr(),
            &format!("GET /info HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        );
        let address = Address::from_public_key([7; 32]);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains(&format!("\"server_address\":\"{address}\"")), "{answer}");
        let port = relay.local_addr().port();
        assert!(answer.contains(&format!("\"websocket_url\":\"ws://localhost:{port}/connect\"")), "{answer}");
    }
}

#[test]
fn a_connection_above_the_limit_is_turned_away_with_an_answer() {
    let (_runtime, relay) = start(|settings| settings.limits.connections = 1);
    let at = relay.local_addr();
    let first = TcpStream::connect(at).expect("the relay listens");
    let mut answer = String::new();
    // The first is counted before the second is accepted.
    let mut second = TcpStream::connect(at).expect("the kernel accepts");
    second.read_to_string(&mut answer).expect("the relay answers, then closes");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(first);
}

#[test]
fn an_address_without_an_agent_is_a_503_that_says_when_to_come_back() {
    let (_runtime, relay) = start(|settings| settings.options.policy = Policy::Reject);
    let host = format!("{}.localhost", Address::from_public_key([9; 32]).label());
    let answer =
        ask(relay.local_addr(), &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: "), "{answer}");
}

#[test]
fn a_certificate_that_was_written_anew_is_read_without_being_asked() {
    let folder = std::env::temp_dir().join(format!("hvym-tunnel-renewal-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let files = TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    let write = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        // The key first: a look between the two must find a pair that does not fit, and not a stamp that is final.
        std::fs::write(&files.key, made.key_pair.serialize_pem()).expect("a file");
        std::fs::write(&files.certificate, made.cert.pem()).expect("a file");
    };
    write();
    let mut settings = RelaySettings::loopback();
    settings.options.tls = Some(files.clone());
    settings.certificate_poll = Duration::from_millis(5);
    let (told, events) = smol::channel::unbounded();
    let observer: Observer = Arc::new(move |event| drop(told.try_send(event)));
    let (_runtime, relay) = start_with(settings, observer);
    let next = move || {
        let event = events.recv_blocking().expect("the relay lives");
        matches!(event, RelayEvent::Certificate(Ok(())))
    };
    std::fs::write(&files.certificate, "broken").expect("a file");
    assert!(!next(), "a broken certificate was taken");
    write();
    while !next() {}
    drop(relay);
    std::fs::remove_dir_all(&folder).expect("it was ours");
}

#[test]
fn a_relay_that_stops_cuts_idle_visitors_and_listens_no_more() {
    let (runtime, relay) = start(|_| {});
    let at = relay.local_addr();
    let mut idle = TcpStream::connect(at).expect("the relay listens");
    // Being answered, another visitor shows that the first was accepted.
    ask(at, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    runtime.block_on(relay.stop());
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).ok(), Some(0));
    assert!(TcpStream::connect(at).is_err());
}
