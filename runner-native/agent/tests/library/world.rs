//! A relay, local services and visitors for the tests of the library, all in this process.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use hvym_tunnel_agent::event::{AgentEvent, BoundService};
use hvym_tunnel_agent::{Agent, AgentBuilder, AgentEvents, Identity, RelayUrl, ServiceSpec};
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_relay::{Relay, RelayHandle};

/// Long enough for any machine; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A relay on a free port of this machine.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    relay: RelayHandle,
    url: RelayUrl,
}

impl World {
    /// A runtime of its own with a relay.
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().expect("threads");
        let relay = Relay::builder(identity()).start(runtime.handle()).expect("a free port");
        let at = relay.local_addr();
        let path = RelayUrl::DEFAULT_PATH.to_owned();
        let url = RelayUrl { tls: false, host: at.ip().to_string(), port: at.port(), path };
        Self { runtime, relay, url }
    }

    /// Where agents dial it.
    pub(crate) fn url(&self) -> RelayUrl {
        self.url.clone()
    }

    /// An agent of a new identity that dials this relay.
    pub(crate) fn agent(&self) -> AgentBuilder {
        Agent::builder(identity()).relay(self.url())
    }

    /// Ends the relay and the runtime.
    pub(crate) fn end(self) {
        self.relay.stop();
        self.runtime.block_on(self.relay.closed());
        assert!(self.runtime.shutdown(PATIENCE), "every task yields");
    }

    /// Waits for the next event that `wanted` picks.
    pub(crate) fn next<T>(&self, events: &AgentEvents, mut wanted: impl FnMut(AgentEvent) -> Option<T>) -> T {
        let next = async {
            loop {
                let event = events.next().await.expect("the agent runs");
                if let Some(wanted) = wanted(event) {
                    return wanted;
                }
            }
        };
        let next = hvym_tunnel_net::timeout::within(PATIENCE, next);
        self.runtime.block_on(next).expect("the event comes")
    }

    /// The services of an agent that comes online.
    pub(crate) fn online(&self, events: &AgentEvents) -> Vec<BoundService> {
        self.next(events, |event| match event {
            AgentEvent::Online { services } => Some(services),
            _ => None,
        })
    }

    /// A connection of a visitor to the relay, and the host to ask for.
    pub(crate) fn connect(&self, service_url: &str) -> (TcpStream, String) {
        let host = service_url.split("://").nth(1).expect("a URL").trim_end_matches('/').to_owned();
        let tcp = TcpStream::connect(self.relay.local_addr()).expect("the relay listens");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        (tcp, host)
    }

    /// What a visitor gets at `path` of a service: status and body.
    pub(crate) fn visit(&self, service_url: &str, path: &str) -> (u16, String) {
        let (mut tcp, host) = self.connect(service_url);
        write!(tcp, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("a request");
        let mut response = String::new();
        tcp.read_to_string(&mut response).expect("a response");
        let status = response.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, response.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
    }
}

/// An identity that nobody has.
pub(crate) fn identity() -> Identity {
    Identity::generate().expect("randomness")
}

/// A service under `name` at a local port.
pub(crate) fn spec(name: &str, at: SocketAddr) -> ServiceSpec {
    ServiceSpec::new(name.parse().expect("a name"), at.to_string().parse().expect("a target"))
}

/// An HTTP service that answers every request with `text`, on one connection after the other.
pub(crate) fn service(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let _visitor_gone = tcp.and_then(|tcp| answer(tcp, text));
        }
    });
    at
}

fn answer(mut tcp: TcpStream, text: &str) -> io::Result<()> {
    read_head(&mut tcp)?;
    write!(tcp, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
}

/// Reads up to the empty line that ends a head.
pub(crate) fn read_head(tcp: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        tcp.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}
