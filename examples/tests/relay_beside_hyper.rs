//! The example of a relay beside a server of hyper: both answer at one port.

#[allow(dead_code, reason = "its main function is for the command line")]
#[path = "../examples/relay_beside_hyper.rs"]
mod relay_beside_hyper;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_agent::{Agent, AgentEvent, Identity, RelayUrl, ServiceSpec};
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_net::timeout::within;

const PATIENCE: Duration = Duration::from_secs(20);

fn visit(at: SocketAddr, host: &str) -> String {
    let mut visitor = TcpStream::connect(at).expect("it listens");
    visitor.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(visitor, "GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("a request");
    let mut response = String::new();
    visitor.read_to_string(&mut response).expect("a response");
    response
}

#[test]
fn the_relay_and_the_program_answer_at_one_port() {
    let (runtime, tokio) =
        (Runtime::new().expect("threads"), tokio::runtime::Runtime::new().expect("threads"));
    let listener = tokio.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let at = listener.local_addr().expect("an address");
    let relay = Arc::new(relay_beside_hyper::start_relay(&runtime, at.port()).expect("a free port"));
    let serving = tokio.spawn(relay_beside_hyper::serve(listener, Arc::clone(&relay)));

    let service = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = service.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut connection in service.incoming().map_while(Result::ok) {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && connection.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let _gone = connection
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ntunnel");
        }
    });
    let path = RelayUrl::DEFAULT_PATH.to_owned();
    let url = RelayUrl { tls: false, host: at.ip().to_string(), port: at.port(), path };
    let agent = Agent::builder(Identity::generate().expect("randomness"))
        .relay(url)
        .service(ServiceSpec::new("web".parse().expect("a name"), target.parse().expect("a target")))
        .start(runtime.handle())
        .expect("it starts");
    let event = runtime.block_on(within(PATIENCE, agent.events().next())).expect("an event");
    let Some(AgentEvent::Online { services }) = event else { panic!("{event:?}") };
    let host = services[0].url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert!(host.ends_with(&format!(":{}", at.port())), "{host}");

    assert!(visit(at, &host).ends_with("\r\n\r\ntunnel"));
    assert!(visit(at, "app.localhost").ends_with("the program's own page /a\n"));
    assert!(visit(at, "nobody.localhost").starts_with("HTTP/1.1 404 "));

    serving.abort();
    assert!(runtime.block_on(within(PATIENCE, agent.shutdown(PATIENCE))).expect("it ends").is_ok());
    relay.stop();
    runtime.block_on(relay.closed());
}
