//! What strangers do to the streams that a relay opens for them, as many and as fast as they can.

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::mux::{Mux, MuxConfig, MuxError, MuxEvent, OpenError, Read, Role, StreamId};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::ends::{agent_config, opening, pair_with, read, session_config, write};
use hvym_tunnel_tests::wire::WireConfig;

use super::raw::{Raw, framed, raw_agent};

const SECOND: Duration = Duration::from_secs(1);
/// The time between two turns of the relay.
const TURN: Duration = Duration::from_millis(20);
/// Openings of each turn: 5000 a second.
const EACH_TURN: usize = 100;

/// An agent whose relay opens more streams than the agent takes.
fn crowded() -> Raw {
    let mut raw = raw_agent();
    let config = MuxConfig::opener().with(|config| {
        config.max_outbound_streams = 4096;
        config.ack_backlog = 4096;
    });
    raw.mux = Mux::new(Role::Server, config, 1, [3; 32], raw.now);
    raw
}

impl Raw {
    /// The relay opens a stream, whose header is not sent before the next turn of the driver.
    fn begin(&mut self) -> Result<StreamId, OpenError> {
        let id = self.mux.open(self.now)?;
        self.write(id, &framed(br#"{"service":"web"}"#));
        Ok(id)
    }

    /// What the relay has to say arrives, and the agent has no time to look at it yet.
    fn deliver(&mut self) {
        while let Some(data) = self.mux.poll_transmit() {
            self.agent.machine.handle_message(Message::Binary(data), self.now);
        }
    }

    /// Time passes, and both ends look at the clock.
    fn turn(&mut self) {
        self.now = self.now + TURN;
        assert_eq!(self.mux.handle_timeout(self.now), Ok(()));
        self.settle();
        assert!(self.agent.machine.is_up() && self.close.is_none(), "{:?}", self.close);
        self.told.clear();
        self.texts.clear();
        self.agent.events.clear();
    }

    fn reset(&mut self, id: StreamId) {
        if let Ok(mut stream) = self.mux.stream(id) {
            stream.reset(0, self.now);
        }
    }

    /// A question on the honest stream is answered within the turn.
    fn assert_served(&mut self, ours: StreamId, theirs: StreamId) {
        self.write(ours, b"question");
        self.settle();
        let mut stream = self.agent.machine.stream(theirs).expect("live");
        assert_eq!(stream.read(usize::MAX, self.now), Ok(Read::Data(Bytes::from_static(b"question"))));
        assert_eq!(stream.write(&mut Bytes::from_static(b"answer"), self.now), Ok(6));
        self.settle();
        let read = self.mux.stream(ours).expect("live").read(usize::MAX, self.now);
        assert_eq!(read, Ok(Read::Data(Bytes::from_static(b"answer"))));
    }
}

#[test]
fn five_thousand_streams_a_second_that_are_reset_for_a_minute_cost_an_agent_neither_its_link_nor_its_streams()
{
    let mut raw = crowded();
    let ours = raw.open(&framed(br#"{"service":"web"}"#));
    let (theirs, _) = raw.agent.opened().pop().expect("announced");
    let mut last = Vec::new();
    for turn in 0..3000 {
        // Half of them are reset before the agent has heard of them, half after it has announced them.
        let later = std::mem::take(&mut last);
        later.into_iter().for_each(|id| raw.reset(id));
        for n in 0..EACH_TURN {
            let id = raw.begin().expect("room");
            if n % 2 == 0 {
                raw.deliver();
                raw.reset(id);
            } else {
                last.push(id);
            }
        }
        raw.turn();
        if turn % 50 == 0 {
            raw.assert_served(ours, theirs);
        }
    }
    raw.assert_served(ours, theirs);
}

#[test]
fn streams_beyond_what_an_agent_takes_are_refused_for_ever_and_its_link_stays() {
    let mut raw = crowded();
    let ours = raw.open(&framed(br#"{"service":"web"}"#));
    let (theirs, _) = raw.agent.opened().pop().expect("announced");
    let mut held = Vec::new();
    while held.len() < 1023 {
        held.push(raw.begin().expect("room"));
        if held.len() % EACH_TURN == 0 {
            raw.turn();
        }
    }
    raw.turn();
    for turn in 0..500 {
        let refused: Vec<StreamId> = (0..EACH_TURN).map(|_| raw.begin().expect("room")).collect();
        raw.turn();
        for id in refused {
            assert!(!raw.mux.contains(id), "it was refused, and the relay knows");
        }
        if turn % 50 == 0 {
            raw.assert_served(ours, theirs);
        }
    }
    // One that leaves makes room for one that comes.
    raw.reset(held[0]);
    raw.turn();
    raw.open(&framed(br#"{"service":"web"}"#));
    assert_eq!(raw.agent.opened().len(), 1);
    assert_eq!(raw.mux.stats().outbound, 1024);
}

#[test]
fn resets_by_an_agent_of_what_its_relay_opened_never_end_the_link() {
    let now = Instant::from_millis(1);
    let mut relay = Mux::new(Role::Server, MuxConfig::opener(), 1, [3; 32], now);
    let mut agent = Mux::new(Role::Client, MuxConfig::acceptor(), 1, [4; 32], now);
    for _ in 0..20_000 {
        let ours = relay.open(now).expect("room");
        relay.stream(ours).expect("live").write(&mut Bytes::from_static(b"GET"), now).expect("open");
        exchange(&mut relay, &mut agent, now).expect("both live");
        while let Some(event) = agent.poll_event() {
            if let MuxEvent::Incoming(theirs) = event {
                agent.accept(theirs, now).expect("live");
                agent.stream(theirs).expect("live").reset(0, now);
            }
        }
        exchange(&mut relay, &mut agent, now).expect("both live");
        while relay.poll_event().is_some() {}
        assert!(!relay.contains(ours));
    }
}

#[test]
fn a_hundred_visitors_who_read_nothing_take_nothing_from_one_who_reads() {
    const PIECE: usize = 64 * 1024;
    let mut agent = agent_config();
    // Room for sixteen full queues.
    agent.link.mux.max_unsent = 16 * PIECE;
    let mut pair = pair_with(agent, session_config(), WireConfig::default(), [7; 32]);
    pair.up();
    let now = pair.now;
    let ours: Vec<StreamId> =
        (0..101).map(|_| pair.relay.session().open(&opening("web"), now).expect("room")).collect();
    pair.run(SECOND);
    let theirs: Vec<StreamId> = pair.agent.opened().into_iter().map(|(id, _)| id).collect();
    for _ in 0..8 {
        for id in &theirs[..100] {
            write(&mut pair.agent.machine, *id, &[0; PIECE], pair.now);
        }
        pair.run(SECOND);
    }
    let mut arrived = 0;
    for _ in 0..64 {
        assert_eq!(write(&mut pair.agent.machine, theirs[100], &[1; PIECE], pair.now), PIECE);
        pair.run(SECOND);
        let now = pair.now;
        arrived += read(pair.relay.session(), ours[100], now).0.len();
    }
    assert_eq!(arrived, 64 * PIECE);
}

fn exchange(a: &mut Mux, b: &mut Mux, now: Instant) -> Result<(), MuxError> {
    while a.has_output() || b.has_output() {
        if let Some(bytes) = a.poll_transmit() {
            b.handle_data(bytes, now)?;
        }
        if let Some(bytes) = b.poll_transmit() {
            a.handle_data(bytes, now)?;
        }
    }
    Ok(())
}
