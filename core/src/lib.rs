//! The tunnel's protocol as deterministic, sans-IO state machines.
//!
//! A person's own machine runs an *agent*, which owns local *services* and dials a *relay* over one WebSocket.
//! A *visitor* comes to the relay's public address, and the relay opens a *stream* to the agent for them. Identity
//! is a Stellar key pair: the address is the public name, and a JWT signed with the key is the only login.
//!
//! This crate is everything above the WebSocket message and below the socket's owner. It reads no clock, draws no
//! randomness, spawns nothing and blocks on nothing: facts come in by `handle_*` with the time as the last
//! argument, and what to do comes out of `poll_*`. The same seed and inputs give the same bytes.
//!
//! ```text
//!  in :  Message -> Login, then DataPlane -> { Signal -> Keepalive | owner, stream data -> Mux } -> Event
//!  out:  command -> Login | DataPlane -> Message
//! ```
//!
//! # The run loop
//!
//! A runner owns a socket and a clock. After each input it repeats these steps until nothing changes, and then sleeps:
//!
//! 1. Take every event by `poll_event`: dial, sign, admit, wake the tasks of streams.
//! 2. While the socket takes more, send what `poll_transmit` gives. This is the back-pressure.
//! 3. Read the socket, even while it takes nothing, and pass each message to `handle_message`, and its end to `handle_close`.
//! 4. If the clock has reached `poll_timeout`, call `handle_timeout`.
//! 5. Sleep until the socket is ready, `poll_timeout` is reached, or somebody gives a command. `poll_timeout` may change
//!    with every input.
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use hvym_tunnel_core::handshake::{RelayLogin, Upgrade};
//! use hvym_tunnel_core::machine::Machine;
//! use hvym_tunnel_core::message::{Message, Transmit};
//! use hvym_tunnel_core::relay::{Session, SessionConfig, SessionEvent};
//! use hvym_tunnel_core::stellar::Address;
//! use hvym_tunnel_core::time::{Instant, UnixTime, Wall};
//!
//! /// Stands for a WebSocket.
//! #[derive(Default)]
//! struct Socket {
//!     received: VecDeque<Message>,
//!     sent: Vec<Transmit>,
//! }
//!
//! /// Steps 1 to 4. Returns when to wake at the latest.
//! fn run<M: Machine>(
//!     machine: &mut M,
//!     socket: &mut Socket,
//!     now: Instant,
//!     mut on_event: impl FnMut(&mut M, M::Event),
//! ) -> Option<Instant> {
//!     loop {
//!         let mut changed = false;
//!         while let Some(event) = machine.poll_event() {
//!             on_event(machine, event);
//!             changed = true;
//!         }
//!         while let Some(transmit) = machine.poll_transmit() {
//!             socket.sent.push(transmit);
//!             changed = true;
//!         }
//!         if let Some(message) = socket.received.pop_front() {
//!             machine.handle_message(message, now);
//!             changed = true;
//!         }
//!         if machine.poll_timeout().is_some_and(|at| now >= at) {
//!             machine.handle_timeout(now);
//!             changed = true;
//!         }
//!         if !changed {
//!             return machine.poll_timeout();
//!         }
//!     }
//! }
//!
//! let login = RelayLogin::new(Address::from_public_key([7; 32]));
//! let wall = Wall { unix: UnixTime::from_secs(1_767_225_600), at: Instant::ZERO };
//! // In a program, the seed is 32 bytes of the operating system's entropy.
//! let upgrade = Upgrade::new("relay.example");
//! let mut session = Session::new(SessionConfig::new(login), upgrade, wall, [1; 32], Instant::ZERO);
//! let (mut socket, mut events) = (Socket::default(), Vec::new());
//!
//! let wake_at = run(&mut session, &mut socket, Instant::ZERO, |_, event| events.push(event)).unwrap();
//! assert!(matches!(socket.sent[..], [Transmit::Send(Message::Text(_))]), "a challenge");
//!
//! // Step 5. Nobody answers the challenge, so the next thing that happens is the time limit of the login.
//! assert_eq!(run(&mut session, &mut socket, wake_at, |_, event| events.push(event)), None);
//! assert!(matches!(events[..], [SessionEvent::Closed(_)]));
//! assert!(matches!(socket.sent.last(), Some(Transmit::Close(close)) if close.code == 4008));
//! ```
//!
//! # Modules
//!
//! | module | what it is | what it refuses to know |
//! |---|---|---|
//! | [`agent`], [`relay`] | a link and reconnection; a link and admission | sockets |
//! | [`link`] | one connection from open to close | reconnection, admission |
//! | [`handshake`], [`keepalive`], [`mux`], [`backoff`] | the lanes of a link; when to dial again | JSON, each other |
//! | [`plane`] | what carries the streams of a link: an object-safe trait, and Yamux | logins |
//! | [`access`] | who may reach a service | where the address comes from |
//! | [`dialect`] | wire language to vocabulary and back | state |
//! | [`stellar`] | addresses and tokens | links |
//! | [`names`] | what may be a name, and what a host name says | who has a name |
//! | [`machine`], [`message`], [`reason`] | the seam to the runner | everything above |
//! | [`time`], [`rng`] | points in time, one seed | clocks, entropy |
//! | [`json`] | the members of one object | messages |
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;

pub mod access;
pub mod agent;
pub mod backoff;
pub mod bundle;
pub mod dialect;
mod event_rate;
pub mod handshake;
pub mod json;
pub mod keepalive;
pub mod link;
pub mod machine;
pub mod message;
pub mod names;
pub mod plane;
pub mod reason;
mod recent_bytes;
pub mod relay;
pub mod rng;
#[cfg(feature = "std")]
mod std_support;
pub mod stellar;
mod text;
pub mod time;

pub use hvym_yamux as mux;
