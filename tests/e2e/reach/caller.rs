//! A caller made of the core and one socket, so that a test sees the very bytes that a real relay sends back.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant as Started};

use bytes::Bytes;
use hvym_tunnel_core::agent::{Agent, AgentConfig, AgentEvent};
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Message, Transmit};
use hvym_tunnel_core::mux::{Read, StreamError, StreamId};
use hvym_tunnel_core::time::{Instant, UnixTime, Wall};
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::agent_config;
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::Relay;
use tungstenite::WebSocket;
use tungstenite::client::client;

/// How long the socket is listened to before the clock is looked at.
const TICK: Duration = Duration::from_millis(20);

/// An agent that offers nothing.
pub(super) struct Caller {
    agent: Agent,
    socket: WebSocket<TcpStream>,
    started: Started,
    key: Key,
}

impl Caller {
    /// Logged in at `relay` as `key`.
    pub(super) fn new(relay: &Relay, key: &Key) -> Self {
        let relay_url = format!("{}/connect", relay.url());
        let mut config = AgentConfig { relay: relay_url, services: Vec::new(), ..agent_config() };
        config.login.identity = key.address();
        config.login.relay_address = Some(relay.address);
        let (started, seed) = (Started::now(), [5; 32]);
        let mut agent = Agent::new(config, wall(), seed, Instant::ZERO);
        let Some(AgentEvent::Dial(target)) = agent.poll_event() else { panic!("an agent dials at once") };
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("a relay listens");
        let (socket, _) = client(&target.relay, tcp).expect("a relay takes agents");
        socket.get_ref().set_read_timeout(Some(TICK)).expect("a fresh connection can be tuned");
        let mut caller = Caller { agent, socket, started, key: key.clone() };
        assert!(caller.agent.handle_open(target.attempt, wall(), Instant::ZERO), "the only dial");
        caller.until(|agent| agent.is_up().then_some(()));
        caller
    }

    /// Opens a stream, and says nothing.
    pub(super) fn idle(&mut self, opening: &StreamHeader) -> StreamId {
        let now = self.now();
        self.agent.open(opening, now).expect("a link that is up")
    }

    /// Opens a stream, says `words` at once, and ends its half.
    pub(super) fn open(&mut self, opening: &StreamHeader, words: &[u8]) -> StreamId {
        let now = self.now();
        let id = self.agent.open(opening, now).expect("a link that is up");
        let mut words = Bytes::copy_from_slice(words);
        self.agent.stream(id).expect("live").write(&mut words, now).expect("open");
        self.agent.stream(id).expect("live").finish(now).expect("open");
        id
    }

    /// The first bytes that come back; `None` if the other side tears the stream down, or ends its half without any.
    pub(super) fn begins(&mut self, id: StreamId) -> Option<Vec<u8>> {
        let started = self.started;
        self.until(|agent| {
            let now =
                Instant::from_micros(u64::try_from(started.elapsed().as_micros()).expect("a short test"));
            match agent.stream(id).map(|mut stream| stream.read(usize::MAX, now)) {
                Ok(Ok(Read::Data(data))) => Some(Some(data.to_vec())),
                Ok(Ok(Read::Empty)) => None,
                Ok(Ok(Read::Finished) | Err(_)) | Err(_) => Some(None),
            }
        })
    }

    /// Everything that comes back until the other side ends its half; `None` if it tears the stream down.
    pub(super) fn rest(&mut self, id: StreamId) -> Option<Vec<u8>> {
        let (mut all, now) = (Vec::new(), self.started);
        self.until(|agent| {
            let now = Instant::from_micros(u64::try_from(now.elapsed().as_micros()).expect("a short test"));
            loop {
                let read = match agent.stream(id) {
                    Ok(mut stream) => stream.read(usize::MAX, now),
                    Err(closed) => Err(StreamError::Closed(closed)),
                };
                match read {
                    Ok(Read::Data(data)) => all.extend_from_slice(&data),
                    Ok(Read::Empty) => return None,
                    Ok(Read::Finished) => return Some(Some(std::mem::take(&mut all))),
                    Err(_) => return Some(None),
                }
            }
        })
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).expect("a short test"))
    }

    fn until<T>(&mut self, mut done: impl FnMut(&mut Agent) -> Option<T>) -> T {
        let deadline = Started::now() + PATIENCE;
        while Started::now() < deadline {
            while let Some(event) = self.agent.poll_event() {
                if let AgentEvent::Sign(input) = event {
                    let signature = self.key.sign(&input);
                    self.agent.handle_signature(&input, Some(signature), self.now());
                }
            }
            while let Some(transmit) = self.agent.poll_transmit() {
                let message = match transmit {
                    Transmit::Send(Message::Text(text)) => {
                        let text = String::from_utf8(text.to_vec()).expect("control messages are text");
                        tungstenite::Message::text(text)
                    }
                    Transmit::Send(Message::Binary(data)) => tungstenite::Message::binary(data),
                    Transmit::Close(close) => panic!("the caller gives up: {close:?}"),
                };
                self.socket.send(message).expect("the relay reads");
            }
            if let Some(result) = done(&mut self.agent) {
                return result;
            }
            self.hear();
        }
        panic!("nothing came in {PATIENCE:?}");
    }

    fn hear(&mut self) {
        let now = self.now();
        match self.socket.read() {
            Ok(tungstenite::Message::Text(text)) => {
                self.agent.handle_message(Message::Text(Bytes::copy_from_slice(text.as_bytes())), now);
            }
            Ok(tungstenite::Message::Binary(data)) => {
                self.agent.handle_message(Message::Binary(data), now);
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                self.agent.handle_timeout(now);
            }
            Err(error) => panic!("the relay hung up: {error}"),
        }
    }
}

fn wall() -> Wall {
    let unix = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    Wall { unix: UnixTime::from_secs(unix), at: Instant::ZERO }
}
