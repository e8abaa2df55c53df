//! A relay and an agent in one process, started and stopped many times: nothing is left behind.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use hvym_tunnel_agent::event::AgentEvent;
use hvym_tunnel_agent::{Agent, Identity, RelayUrl, ServiceSpec};
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_relay::Relay;

const ROUNDS: usize = 100;
const LIMIT: Duration = Duration::from_secs(20);

/// Threads and descriptors of this process.
fn held() -> (usize, usize) {
    let count = |folder: &str| fs::read_dir(folder).expect("procfs").count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// Starts everything, has one visitor served, and stops everything; returns what is held then.
fn round(listener: &TcpListener) -> (usize, usize) {
    let runtime = Runtime::new().expect("threads");
    let [relay, agent] = [(); 2].map(|()| Identity::generate().expect("randomness"));
    let relay = Relay::builder(relay).start(runtime.handle()).expect("a free port");
    let (at, path) = (relay.local_addr(), RelayUrl::DEFAULT_PATH.to_owned());
    let url = RelayUrl { tls: false, host: at.ip().to_string(), port: at.port(), path };
    let target = listener.local_addr().expect("its address").to_string().parse().expect("a target");
    let service = ServiceSpec::new("web".parse().expect("a name"), target);
    let agent = Agent::builder(agent).relay(url).service(service).start(runtime.handle()).expect("it starts");
    let events = agent.events();
    let url = loop {
        let event = runtime.block_on(within(LIMIT, events.next())).expect("an event");
        if let AgentEvent::Online { services } = event.expect("the agent runs") {
            break services[0].url.clone();
        }
    };
    let host = url.split("://").nth(1).expect("a URL").trim_end_matches('/').to_owned();
    let mut visitor = TcpStream::connect(at).expect("the relay listens");
    visitor.set_read_timeout(Some(LIMIT)).expect("a timeout");
    write!(visitor, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("the relay reads");
    let mut response = String::new();
    visitor.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("ok"), "{response}");
    assert!(runtime.block_on(within(LIMIT, agent.shutdown(LIMIT))).expect("it ends").is_ok());
    runtime.block_on(relay.shutdown(LIMIT));
    assert!(runtime.shutdown(LIMIT), "a thread is left behind");
    drop((events, visitor));
    held()
}

#[test]
fn a_relay_and_an_agent_are_started_and_stopped_many_times_and_leave_nothing_behind() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let serving = listener.try_clone().expect("a descriptor");
    thread::spawn(move || {
        for connection in serving.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && connection.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let _gone =
                connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    let first = round(&listener);
    for n in 2..=ROUNDS {
        let (mut now, ended) = (round(&listener), Instant::now());
        // The kernel lists a thread for a moment after it was joined.
        while now.0 > first.0 && ended.elapsed() < LIMIT {
            thread::yield_now();
            now = held();
        }
        // The service may still hold the last connection for a moment.
        assert!(now.0 <= first.0 && now.1 <= first.1 + 1, "round {n}: {now:?} instead of {first:?}");
    }
    println!("{ROUNDS} rounds: {first:?} threads and descriptors");
}
