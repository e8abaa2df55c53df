//! Our agent at a server that keeps 64 messages for each visitor, whatever their size, and then cuts the visitor off.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::agent::Agent;
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Message, Transmit};
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_tests::dialects::Owner;
use serde_json::json;

use super::agent_up;

const CONNECTION: &str = "00010203-0405-4607-8809-0a0b0c0d0e0f";
/// The bytes in front of those of the connection, in a binary message.
const HEADER: usize = 18;
/// What the server keeps for one visitor (`_TCP_WRITE_QUEUE_MAXSIZE`).
const QUEUE: usize = 64;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The time of one step of the simulation, and how many there are in a second.
const STEP: Duration = Duration::from_millis(1);
const STEPS: usize = 1000;

/// The queue of one visitor, and how much of it he reads in each step.
struct Visitor {
    queue: VecDeque<usize>,
    reads: usize,
    /// Bytes of the message in front that he has read.
    read: usize,
    got: usize,
}

impl Visitor {
    fn reading(bytes_a_second: usize) -> Self {
        Self { queue: VecDeque::new(), reads: bytes_a_second / STEPS, read: 0, got: 0 }
    }

    /// The server takes a message for the visitor; how many bytes of the connection it has.
    fn receive(&mut self, data: &Bytes) -> usize {
        assert!(self.queue.len() < QUEUE, "cut off after {} bytes", self.got);
        self.queue.push_back(data.len() - HEADER);
        data.len() - HEADER
    }

    fn step(&mut self) {
        self.read += self.reads;
        while let Some(front) = self.queue.front().copied()
            && front <= self.read
        {
            self.queue.pop_front();
            (self.read, self.got) = (self.read - front, self.got + front);
        }
        if self.queue.is_empty() {
            self.read = 0;
        }
    }
}

/// An agent with a visitor's connection.
fn connected() -> (Owner<Agent>, StreamId) {
    let mut agent = agent_up(Some(&["binary_frames"]));
    agent.hear(&json!({"type": "tcp_connect", "conn_id": CONNECTION}));
    let (id, _) = agent.opened.pop().expect("opened");
    (agent, id)
}

fn step(agent: &mut Owner<Agent>) {
    agent.now = agent.now + STEP;
    if agent.machine.poll_timeout().is_some_and(|at| at <= agent.now) {
        agent.machine.handle_timeout(agent.now);
    }
    agent.listen();
}

/// Sends `size` bytes of a service that is as fast as its link, which carries `link` bytes a second. The largest message,
/// and the seconds it took.
fn download(size: usize, link: usize, visitor: &mut Visitor) -> (usize, usize) {
    let (mut agent, id) = connected();
    let (read, mut left) = (Bytes::from(vec![7; 64 * KIB]), size);
    let (mut budget, mut largest, mut steps, mut sent) = (0, 0, 0, 0);
    while sent < size {
        while left > 0 {
            let mut piece = read.slice(..left.min(read.len()));
            let mut stream = agent.machine.stream(id).expect("it lives");
            let taken = stream.write(&mut piece, agent.now).expect("it lives");
            left -= taken;
            if taken == 0 {
                break;
            }
        }
        budget = (budget + link / STEPS).min(link / STEPS);
        while budget > 0
            && let Some(Transmit::Send(message)) = agent.machine.poll_transmit()
        {
            // What is larger than the budget blocks the link for as long as it takes.
            let length = message.payload().len();
            for _ in 0..length / (link / STEPS) {
                visitor.step();
                step(&mut agent);
                steps += 1;
            }
            budget = budget.saturating_sub(length);
            match message {
                Message::Binary(data) => sent += visitor.receive(&data),
                Message::Text(_) => agent.hear(&json!({"type": "pong"})),
            }
            largest = largest.max(length);
        }
        visitor.step();
        step(&mut agent);
        steps += 1;
    }
    (largest, steps / STEPS)
}

#[test]
fn a_hundred_mebibytes_reach_a_visitor_who_reads_nothing_until_all_are_sent() {
    for link in [20 * MIB, 100 * MIB, 1000 * MIB] {
        let mut visitor = Visitor::reading(0);
        let (largest, seconds) = download(100 * MIB, link, &mut visitor);
        assert!(largest <= 4 * MIB + HEADER, "{largest}");
        assert!(seconds <= 100 * MIB / link + 3, "{link}: {seconds} s");
    }
}

#[test]
fn a_gibibyte_reaches_a_visitor_who_is_slower_than_the_link() {
    let mut visitor = Visitor::reading(18 * MIB);
    let (_, seconds) = download(1024 * MIB, 200 * MIB, &mut visitor);
    assert!((40..80).contains(&seconds), "{seconds} s");
}

#[test]
fn on_a_slow_link_no_message_takes_longer_than_half_a_second() {
    for link in [MIB, 2 * MIB] {
        let mut visitor = Visitor::reading(link * 3 / 4);
        let (largest, _) = download(60 * MIB, link, &mut visitor);
        assert!(largest <= link * 6 / 10, "{largest} of {link}");
    }
}

#[test]
fn what_comes_slowly_is_sent_at_once() {
    let (mut agent, id) = connected();
    // Not so long that a ping is among it.
    for _ in 0..20 * STEPS / 8 {
        agent.write(id, &[1; 2 * KIB]);
        assert_eq!(agent.sent().len(), 1);
        (0..8).for_each(|_| step(&mut agent));
    }
}

#[test]
fn the_end_of_a_long_transfer_follows_its_last_bytes() {
    let (mut agent, id) = connected();
    let mut sent = Vec::new();
    for _ in 0..40 {
        agent.write(id, &[1; 10 * KIB]);
        sent.extend(agent.sent());
    }
    assert!(sent.len() < 40, "the last ones wait for more");
    agent.machine.stream(id).expect("it lives").finish(agent.now).expect("it lives");
    sent.extend(agent.sent());
    let close = sent.pop().expect("the close");
    assert!(matches!(&close, Message::Text(text) if text.windows(9).any(|w| w == b"tcp_close")), "{close:?}");
    assert_eq!(sent.iter().map(|message| message.payload().len() - HEADER).sum::<usize>(), 400 * KIB);
}

#[test]
fn many_transfers_share_what_may_be_held() {
    let mut agent = agent_up(Some(&["binary_frames"]));
    let mut ids = Vec::new();
    for number in 0..200 {
        agent.hear(
            &json!({"type": "tcp_connect", "conn_id": format!("{number:08}-0405-4607-8809-0a0b0c0d0e0f")}),
        );
        ids.push(agent.opened.pop().expect("opened").0);
    }
    let mut taken = 0;
    for _ in 0..40 {
        for id in &ids {
            let mut data = Bytes::from(vec![1; 2 * MIB]);
            let mut stream = agent.machine.stream(*id).expect("it lives");
            let took = stream.write(&mut data, agent.now).expect("it lives");
            taken += took;
        }
        taken -= agent.sent().iter().map(|message| message.payload().len() - HEADER).sum::<usize>();
        assert!(taken <= 64 * MIB, "{taken} bytes are held");
        step(&mut agent);
    }
    assert!(taken > 32 * MIB, "{taken}");
    for id in &ids {
        assert!(agent.machine.stream(*id).expect("it lives").writable() <= 4 * MIB);
    }
}
