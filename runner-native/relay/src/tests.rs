//! A relay on a real socket, without agents: its own pages, its limits and its end.

use std::io::{Read, Write};
use std::net::TcpStream;

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::config::{Policy, TlsFiles};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::files::{FileAccess, replace};
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::runtime::Runtime;

fn identity() -> Identity {
    Identity::generate().expect("randomness")
}

fn start(change: impl FnOnce(&mut RelaySettings)) -> (Runtime, RelayHandle) {
    let runtime = Runtime::new().expect("threads and descriptors");
    let relay = Relay::builder(identity()).with_settings(change);
    let relay = relay.start(runtime.handle()).expect("a free port");
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
        let address = relay.address();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains(&format!("\"server_address\":\"{address}\"")), "{answer}");
        let port = relay.local_addr().port();
        assert!(answer.contains(&format!("\"websocket_url\":\"ws://localhost:{port}/connect\"")), "{answer}");
    }
}

#[test]
fn a_connection_above_the_limit_is_turned_away_with_an_answer() {
    let (_runtime, relay) = start(|settings| settings.options.limits.connections = 1);
    let at = relay.local_addr();
    let first = TcpStream::connect(at).expect("the relay listens");
    // The first is counted before the second is accepted, which then may be an agent and nothing else.
    for path in ["/", "/health", "/connected"] {
        let answer = ask(at, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("The relay is full"), "{answer}");
    }
    let answer = ask(at, "GET /connect?a=b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    drop(first);
}

#[test]
fn an_address_without_an_agent_is_a_503_that_says_when_to_come_back() {
    let (_runtime, relay) = start(|settings| settings.options.admission.policy = Policy::Reject);
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
        replace(&files.key, made.key_pair.serialize_pem().as_bytes(), FileAccess::Private).expect("a file");
        std::fs::write(&files.certificate, made.cert.pem()).expect("a file");
    };
    write();
    let (_runtime, relay) = start(|settings| {
        settings.options.public.tls_cert = Some(files.certificate.clone());
        settings.options.public.tls_key = Some(files.key.clone());
        settings.certificate_poll = Duration::from_millis(5);
    });
    let events = relay.events();
    let next = move || {
        let event = smol::block_on(events.next()).expect("the relay lives");
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
    relay.stop();
    runtime.block_on(relay.closed());
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).ok(), Some(0));
    assert!(TcpStream::connect(at).is_err());
}

#[test]
fn a_handle_is_awaited_and_dropped_outside_the_runtime() {
    let (_runtime, relay) = start(|_| {});
    let at = relay.local_addr();
    smol::block_on(relay.shutdown(Duration::from_secs(10)));
    assert!(TcpStream::connect(at).is_err());
}

#[test]
fn a_dropped_relay_listens_no_more_and_its_events_end() {
    let (runtime, relay) = start(|_| {});
    let (at, events) = (relay.local_addr(), relay.events());
    drop(relay);
    assert_eq!(smol::block_on(events.next()), None);
    assert!(TcpStream::connect(at).is_err());
    assert!(runtime.shutdown(Duration::from_secs(10)));
}

#[test]
fn a_host_of_another_relay_is_redirected_and_a_custom_domain_leads_here() {
    struct Table;
    impl Router for Table {
        fn route<'a>(&self, host: &'a str) -> Route<'a> {
            match host {
                "far.example" => Route::Elsewhere("https://eu.example".to_owned()),
                "status.example" => Route::Here("localhost".into()),
                host => Route::Here(host.into()),
            }
        }
    }
    let runtime = Runtime::new().expect("threads and descriptors");
    let relay = Relay::builder(identity()).router(Table);
    let relay = relay.start(runtime.handle()).expect("a free port");
    let get = |host: &str| {
        ask(
            relay.local_addr(),
            &format!("GET /info?x=1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        )
    };
    let answer = get("far.example").to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 307 "), "{answer}");
    assert!(answer.contains("\r\nlocation: https://eu.example/info?x=1\r\n"), "{answer}");
    let answer = get("status.example");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("server_address"), "{answer}");
}

#[test]
fn settings_that_contradict_each_other_do_not_start() {
    let runtime = Runtime::new().expect("threads and descriptors");
    let relay = Relay::builder(identity()).domain("-bad");
    let refused = relay.start(runtime.handle()).map(drop);
    assert_eq!(refused, Err(RelayError::Config(crate::config::ConfigError::Domain("-bad".to_owned()))));
}
