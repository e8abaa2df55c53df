//! A logged-in machine whose peer is made of bytes: for peers that no machine of ours would be.

use bytes::Bytes;
use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::link::{StreamEvent, Streams};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Message, Transmit};
use hvym_tunnel_core::mux::{Mux, MuxConfig, MuxEvent, Read, Role, StreamId};
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::ends::{AgentEnd, pair};

/// An agent that is up, and a bare multiplexer in the place of its relay.
pub(super) struct Raw {
    pub(super) agent: AgentEnd,
    pub(super) mux: Mux,
    pub(super) now: Instant,
    /// What the multiplexer told.
    pub(super) told: Vec<MuxEvent>,
    /// The control messages the agent sent, and its close.
    pub(super) texts: Vec<Bytes>,
    pub(super) close: Option<Close>,
}

pub(super) fn raw_agent() -> Raw {
    let mut pair = pair();
    pair.up();
    let mux = Mux::new(Role::Server, MuxConfig::opener(), 1, [3; 32], pair.now);
    let mut agent = pair.agent;
    agent.events.clear();
    Raw { agent, mux, now: pair.now, told: Vec::new(), texts: Vec::new(), close: None }
}

/// A session that is up, with nobody behind it.
pub(super) fn raw_session() -> (Session, Instant) {
    let mut pair = pair();
    pair.up();
    (pair.relay.machine.expect("up"), pair.now)
}

impl Raw {
    /// Moves everything both ways until nothing is left at this moment.
    pub(super) fn settle(&mut self) {
        loop {
            let mut moved = false;
            while let Some(data) = self.mux.poll_transmit() {
                moved = true;
                self.agent.machine.handle_message(Message::Binary(data), self.now);
            }
            self.agent.machine.handle_timeout(self.now);
            while let Some(event) = self.agent.machine.poll_event() {
                self.agent.events.push(event);
            }
            while let Some(transmit) = self.agent.machine.poll_transmit() {
                moved = true;
                match transmit {
                    Transmit::Send(Message::Binary(data)) => drop(self.mux.handle_data(data, self.now)),
                    Transmit::Send(Message::Text(text)) => self.texts.push(text),
                    Transmit::Close(close) => self.close = Some(close),
                }
            }
            while let Some(event) = self.mux.poll_event() {
                self.told.push(event);
            }
            if !moved {
                return;
            }
        }
    }

    /// Opens a stream that starts with `bytes`.
    pub(super) fn open(&mut self, bytes: &[u8]) -> StreamId {
        let id = self.mux.open(self.now).expect("room");
        self.write(id, bytes);
        self.settle();
        id
    }

    pub(super) fn write(&mut self, id: StreamId, bytes: &[u8]) {
        let mut bytes = Bytes::copy_from_slice(bytes);
        self.mux.stream(id).expect("live").write(&mut bytes, self.now).expect("open");
        assert!(bytes.is_empty());
    }

    pub(super) fn was_reset(&self, id: StreamId) -> bool {
        self.told.iter().any(|event| matches!(event, MuxEvent::Reset(reset, _) if *reset == id))
    }

    /// What the agent's owner was told about streams.
    pub(super) fn stream_events(&self) -> Vec<&StreamEvent> {
        fn stream(event: &AgentEvent) -> Option<&StreamEvent> {
            match event {
                AgentEvent::Stream(event) => Some(event),
                _ => None,
            }
        }
        self.agent.events.iter().filter_map(stream).collect()
    }

    /// Everything the agent's owner can read of the stream that was opened last.
    pub(super) fn read_last(&mut self) -> Vec<u8> {
        let (id, _) = self.agent.opened().pop().expect("announced");
        let mut all = Vec::new();
        let mut stream = self.agent.machine.stream(id).expect("live");
        while let Ok(Read::Data(data)) = stream.read(usize::MAX, self.now) {
            all.extend_from_slice(&data);
        }
        all
    }
}

/// `json` with its length ahead, as an opening starts a stream.
pub(super) fn framed(json: &[u8]) -> Vec<u8> {
    let length = u16::try_from(json.len()).expect("short");
    [&length.to_be_bytes(), json].concat()
}
