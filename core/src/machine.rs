//! The one shape of every machine that owns a socket, and the laws it keeps.
//!
//! 1. **Never an error.** A peer's fault becomes [`Transmit::Close`] and one terminal event.
//! 2. **Any order.** Polls may come in any order, repeated or postponed; `handle_timeout` may come late, early or twice.
//! 3. **Any cut.** Cutting the byte stream into other `Binary` messages gives the same streams and the same terminal events.
//! 4. **Input never waits for output**, and output that input causes is bounded.
//! 5. **`now` comes in, nothing else does.** The same seed, inputs and times give byte-identical output.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;

use crate::message::{Close, Message, Transmit};
use crate::time::Instant;

/// A protocol machine at the WebSocket-message seam, to be driven by a runner that owns a socket and a clock.
///
/// `handle_*` tell the machine facts, `poll_*` drain what it wants. A driver drains `poll_event` until
/// `None` after every `handle_*`, and calls `poll_transmit_to` only while that socket takes more: that is
/// the back-pressure.
pub trait Machine {
    /// What the machine tells its owner.
    type Event;
    /// Tells the sockets of one machine apart; `()` for a machine that has one socket for its whole life.
    type Socket: Copy + PartialEq + Debug + Send;

    /// Whether `socket` is one that the machine waits for or uses. Input of any other is of an earlier attempt.
    fn is_current(&self, socket: Self::Socket) -> bool;

    /// The socket that control messages go over, or that the machine waits for; the only one of a machine with one.
    fn main_socket(&self) -> Option<Self::Socket>;

    /// A message arrived on `socket`. Does nothing if it is of an earlier attempt.
    fn handle_message_from(&mut self, socket: Self::Socket, message: Message, now: Instant);
    /// The transport of `socket` ended, or could not be opened: the peer's close, or [`Close::abnormal`]. Does nothing if it
    /// is of an earlier attempt.
    fn handle_close_from(&mut self, socket: Self::Socket, close: Close, now: Instant);
    /// The next thing for `socket` to do, if any.
    #[must_use]
    fn poll_transmit_to(&mut self, socket: Self::Socket) -> Option<Transmit>;

    /// [`Machine::handle_message_from`] the main socket.
    fn handle_message(&mut self, message: Message, now: Instant) {
        if let Some(socket) = self.main_socket() {
            self.handle_message_from(socket, message, now);
        }
    }

    /// [`Machine::handle_close_from`] the main socket.
    fn handle_close(&mut self, close: Close, now: Instant) {
        if let Some(socket) = self.main_socket() {
            self.handle_close_from(socket, close, now);
        }
    }

    /// [`Machine::poll_transmit_to`] the main socket.
    #[must_use]
    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.main_socket().and_then(|socket| self.poll_transmit_to(socket))
    }

    /// The clock may have passed [`Machine::poll_timeout`].
    fn handle_timeout(&mut self, now: Instant);
    /// The next event for the owner, if any.
    #[must_use]
    fn poll_event(&mut self) -> Option<Self::Event>;
    /// When to call [`Machine::handle_timeout`]; `None` is never.
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant>;
}

/// Which end of a link a machine is. Both ends run the same code; the side is a value.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Side {
    /// Owns local services and dials out. The Yamux client: odd stream ids.
    Agent,
    /// Public, accepts links. The Yamux server: even stream ids.
    Relay,
}

impl From<Side> for hvym_yamux::Role {
    /// The end that dialled the WebSocket is the Yamux client.
    fn from(side: Side) -> Self {
        match side {
            Side::Agent => hvym_yamux::Role::Client,
            Side::Relay => hvym_yamux::Role::Server,
        }
    }
}

/// One row of a machine's transition table, for diagrams and for tests of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TransitionRow {
    /// The phase before the input.
    pub from: String,
    /// The kind of input.
    pub input: String,
    /// The phase after it.
    pub to: String,
    /// What the machine does.
    pub action: String,
}

/// The rows of the table `on`, one for each pair of a phase and an input.
pub(crate) fn transition_rows<P: Copy + Debug, I: Copy + Debug, A: Debug>(
    phases: &[P],
    inputs: &[I],
    on: impl Fn(P, I) -> (P, A),
) -> Vec<TransitionRow> {
    let mut rows = Vec::new();
    for from in phases {
        for input in inputs {
            let (to, action) = on(*from, *input);
            rows.push(TransitionRow {
                from: format!("{from:?}"),
                input: format!("{input:?}"),
                to: format!("{to:?}"),
                action: format!("{action:?}"),
            });
        }
    }
    rows
}
