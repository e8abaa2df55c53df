//! A relay and an agent as two processes of the real program, and visitors who come by the front door.

use std::io;

use hvym_tunnel_core::stellar::Address;
use serde_json::Value;

use crate::http::{Conversation, Head};
use crate::program::{Home, Program};

/// Public ports for relays of tests: below what systems give to outgoing connections. All share them, and each passes
/// over what the others have.
pub const PORTS: &str = "21000-25999";

/// `relay`, running.
#[derive(Debug)]
pub struct Relay {
    /// Its process.
    pub program: Program,
    /// Where it listens, on this machine.
    pub port: u16,
    /// Who it is.
    pub address: Address,
    /// Its folder.
    pub home: Home,
}

impl Relay {
    /// One with an identity of its own, on a free port.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(Home::new(), 0, arguments)
    }

    /// One with the identity of `home`, on this port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_in(home: Home, port: u16, arguments: &[&str]) -> Self {
        let program = home.start(&Self::arguments(&port.to_string(), arguments));
        Self::started(program, home)
    }

    /// One that was started in another way, in `home`.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn started(mut program: Program, home: Home) -> Self {
        let (port, address) = listening(&mut program);
        Relay { program, port, address, home }
    }

    /// One with these public ports.
    pub fn with_ports(ports: &str) -> Self {
        Self::start(&["--tcp-ports", ports])
    }

    /// Ends it as a power cut would, and starts it again: the same identity, the same port.
    pub fn restart(self, arguments: &[&str]) -> Self {
        let Relay { mut program, port, home, .. } = self;
        program.kill();
        Self::start_in(home, port, arguments)
    }

    fn arguments<'a>(port: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["relay", "--json", "--listen", port], more].concat()
    }

    /// What an agent gives as `--relay`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// A visitor at its door.
    pub fn visit(&self) -> Conversation {
        Conversation::dial(self.port)
    }
}

fn listening(program: &mut Program) -> (u16, Address) {
    let event = program.event("listening");
    let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("no {name}: {event}"));
    let port = text("listen").rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    (port, text("address").parse().expect("an address"))
}

/// `expose`, running.
#[derive(Debug)]
pub struct Agent {
    /// Its process.
    pub program: Program,
    /// What its `ready` event said.
    pub ready: Value,
    /// Its folder.
    pub home: Home,
}

impl Agent {
    /// One with an identity of its own that exposes `target` at `relay`, and is ready.
    pub fn start(relay: &Relay, target: u16, arguments: &[&str]) -> Self {
        Self::start_in(Home::new(), relay, target, arguments)
    }

    /// The same, with the identity of `home`; `target` is anything that `expose` takes.
    pub fn start_in(home: Home, relay: &Relay, target: impl ToString, arguments: &[&str]) -> Self {
        Self::exposing(home, relay, &target.to_string(), arguments)
    }

    /// The same, for any kind of target.
    pub fn exposing(home: Home, relay: &Relay, target: &str, arguments: &[&str]) -> Self {
        let url = relay.url();
        let mut program = home.start(&[&["expose", target, "--json", "--relay", &url], arguments].concat());
        let ready = program.event("ready");
        Agent { program, ready, home }
    }

    /// One that carries bytes to this port of this machine, as the service `db`.
    pub fn carrying(relay: &Relay, target: u16, arguments: &[&str]) -> Self {
        let target = format!("tcp://localhost:{target}");
        Self::exposing(Home::new(), relay, &target, &[&["--service", "db"], arguments].concat())
    }

    /// Where visitors reach its first service.
    ///
    /// # Panics
    /// When it never said.
    pub fn url(&self) -> &str {
        self.ready["url"].as_str().expect("a URL")
    }

    /// The public port of its first service.
    ///
    /// # Panics
    /// When it has none.
    pub fn port(&self) -> u16 {
        port_of(self.url())
    }

    /// The host name of that URL, with its port.
    pub fn host(&self) -> &str {
        host_of(self.url())
    }
}

/// The port of a service at `tcp://localhost:port`.
///
/// # Panics
/// When it is no such URL.
pub fn port_of(url: &str) -> u16 {
    let port = url.strip_prefix("tcp://localhost:").and_then(|port| port.parse().ok());
    port.unwrap_or_else(|| panic!("{url} is no public port"))
}

/// What a visitor of `url` writes into `Host`.
///
/// # Panics
/// When it is no such URL.
pub fn host_of(url: &str) -> &str {
    url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("an http URL")
}

/// A relay, an agent, and what the agent exposes.
#[derive(Debug)]
pub struct Tunnel {
    /// The public side.
    pub relay: Relay,
    /// The side that owns the service.
    pub agent: Agent,
}

impl Tunnel {
    /// Exposes this port of this machine.
    pub fn to(target: u16) -> Self {
        Self::with(target, &[], &[])
    }

    /// Exposes anything that `expose` takes.
    pub fn to_target(target: &str) -> Self {
        let relay = Relay::start(&[]);
        let agent = Agent::start_in(Home::new(), &relay, target, &[]);
        Tunnel { relay, agent }
    }

    /// The same, with these arguments for the relay, and these for the agent.
    pub fn with(target: u16, relay: &[&str], agent: &[&str]) -> Self {
        let relay = Relay::start(relay);
        let agent = Agent::start(&relay, target, agent);
        Tunnel { relay, agent }
    }

    /// A visitor at the relay's door.
    pub fn visit(&self) -> Conversation {
        self.relay.visit()
    }

    /// So many visitors who ask for `target`, read the head of the answer, and nothing of the rest.
    ///
    /// # Panics
    /// When one is not answered with 200.
    pub fn visit_silently(&self, visitors: usize, target: &str) -> Vec<Conversation> {
        let visit = |_| {
            let mut visitor = self.visit();
            visitor.send(self.request("GET", target, &[])).expect("the relay reads");
            assert_eq!(visitor.head().expect("an answer").status(), 200);
            visitor
        };
        (0..visitors).map(visit).collect()
    }

    /// The head of a request to the agent's first service; `lines` are whole field lines.
    pub fn request(&self, method: &str, target: &str, lines: &[&str]) -> String {
        request(self.agent.host(), method, target, lines)
    }

    /// What a visitor gets who asks for `target`.
    ///
    /// # Errors
    /// The answer did not come whole.
    pub fn get(&self, target: &str) -> io::Result<(Head, Vec<u8>)> {
        let mut visitor = self.visit();
        visitor.send(self.request("GET", target, &[]))?;
        let head = visitor.head()?;
        let body = visitor.body(&head)?;
        Ok((head, body))
    }

    /// What a visitor gets who sends `body` to `target`.
    ///
    /// # Errors
    /// The answer did not come whole.
    pub fn post(&self, target: &str, body: &[u8]) -> io::Result<(Head, Vec<u8>)> {
        let mut visitor = self.visit();
        visitor.send(self.request("POST", target, &[&format!("Content-Length: {}", body.len())]))?;
        visitor.send(body)?;
        let head = visitor.head()?;
        let body = visitor.body(&head)?;
        Ok((head, body))
    }
}

/// The head of a request; `lines` are whole field lines.
pub fn request(host: &str, method: &str, target: &str, lines: &[&str]) -> String {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}
