//! The agent on tokio is visited through a relay on the native runtime.

#[allow(dead_code, reason = "its main function is for the command line")]
#[path = "../examples/tokio_agent.rs"]
mod tokio_agent;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_relay::Relay;

const PATIENCE: Duration = Duration::from_secs(20);
const BODY_BYTES: usize = 1024 * 1024;

#[test]
fn a_service_of_an_agent_on_tokio_can_be_visited() {
    let runtime = Runtime::new().expect("threads");
    let identity = Identity::generate().expect("randomness");
    let relay = Relay::builder(identity).start(runtime.handle()).expect("a free port");
    let service = TcpListener::bind("localhost:0").expect("a free port");
    let port = service.local_addr().expect("an address").port();
    let (sender, urls) = mpsc::channel();
    let url = format!("ws://{}/connect", relay.local_addr());
    let tokio = tokio::runtime::Runtime::new().expect("threads");
    let agent = tokio.spawn(tokio_agent::run(url, port, [7; 32], move |url| {
        let _test_over = sender.send(url);
    }));
    let url = urls.recv_timeout(PATIENCE).expect("the agent comes online");
    let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();

    let mut visitor = TcpStream::connect(relay.local_addr()).expect("the relay listens");
    visitor.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(visitor, "GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("a request");
    let (mut local, _) = service.accept().expect("the agent connects");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        local.read_exact(&mut byte).expect("a request");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"GET /a HTTP/1.1\r\n"));
    let body = vec![b'x'; BODY_BYTES];
    write!(local, "HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\nConnection: close\r\n\r\n")
        .expect("read");
    local.write_all(&body).expect("the agent reads");
    drop(local);
    let mut response = Vec::new();
    visitor.read_to_end(&mut response).expect("a response");
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n") && response.ends_with(&body));

    agent.abort();
    relay.stop();
    runtime.block_on(relay.closed());
}
