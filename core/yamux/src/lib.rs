//! Yamux stream multiplexing without I/O: many streams over one byte stream, as a deterministic state machine.
//!
//! A [`Mux`] is one end of one session. It owns no socket, reads no clock, draws no randomness, spawns nothing and never
//! blocks: bytes and the time come in by calls, bytes and events are polled. So it runs on any runtime, in a browser,
//! and in tests that are exact and instant. It is `no_std` (with `alloc`) and contains no `unsafe` code.
//!
//! It speaks `/yamux/1.0.0` as hashicorp/yamux, libp2p and the crate `yamux` do, and is tested against them.
//!
//! # The run loop
//!
//! 1. Create a session: [`Mux::new`] with the [`Role`], a [`MuxConfig`], a random seed and the time.
//! 2. When bytes arrive, call [`Mux::handle_data`]. Cut them as you like. An error is the end of the session: go on with
//!    step 4 until nothing is left to send, then close the transport.
//! 3. Poll [`Mux::poll_event`] until `None`: [`accept`](Mux::accept) streams, [`read`](Stream::read) and
//!    [`write`](Stream::write) those that are ready. Data is never in an event: a stream that is not read is not granted
//!    a new window, which is the back-pressure toward the peer.
//! 4. While the transport takes more, send what [`Mux::poll_transmit`] gives. What is not polled stays state and costs
//!    no memory, so poll only what the transport takes at once, and never stop reading because it takes nothing.
//! 5. At [`Mux::poll_timeout`], call [`Mux::handle_timeout`]. Late, early and repeated calls are harmless.
//! 6. When the transport ends, call [`Mux::abort`] with [`MuxError::Lost`].
//!
//! Two sessions, with a function call as their transport:
//!
//! ```
//! use bytes::Bytes;
//! use hvym_yamux::{Instant, Mux, MuxConfig, MuxError, MuxEvent, Read, Role};
//!
//! /// Steps 2 and 4 for both ends.
//! fn exchange(a: &mut Mux, b: &mut Mux, now: Instant) -> Result<(), MuxError> {
//!     while a.has_output() || b.has_output() {
//!         if let Some(bytes) = a.poll_transmit() {
//!             b.handle_data(bytes, now)?;
//!         }
//!         if let Some(bytes) = b.poll_transmit() {
//!             a.handle_data(bytes, now)?;
//!         }
//!     }
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // 1: take the seeds from the operating system.
//! let now = Instant::from_millis(0);
//! let mut client = Mux::new(Role::Client, MuxConfig::default(), 1, [1; 32], now);
//! let mut server = Mux::new(Role::Server, MuxConfig::default(), 2, [2; 32], now);
//!
//! let id = client.open(now)?;
//! let mut request = Bytes::from_static(b"hello");
//! client.stream(id)?.write(&mut request, now)?;
//! client.stream(id)?.finish(now)?;
//! exchange(&mut client, &mut server, now)?;
//!
//! // 3: the server takes the stream and reads it to its end.
//! let mut received = Vec::new();
//! while let Some(event) = server.poll_event() {
//!     match event {
//!         MuxEvent::Incoming(id) => server.accept(id, now)?,
//!         MuxEvent::Readable(id) => {
//!             while let Read::Data(data) = server.stream(id)?.read(usize::MAX, now)? {
//!                 received.extend_from_slice(&data);
//!             }
//!             server.stream(id)?.finish(now)?;
//!         }
//!         _ => {}
//!     }
//! }
//! assert_eq!(received, b"hello");
//! exchange(&mut client, &mut server, now)?;
//! assert_eq!(client.stream(id)?.read(usize::MAX, now)?, Read::Finished);
//! assert_eq!(client.stats().outbound, 0);
//!
//! // 5
//! if let Some(deadline) = server.poll_timeout() {
//!     server.handle_timeout(deadline)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! Whatever the peer does, a session holds at most [`MuxConfig::memory_bound`] bytes, answers with no more bytes than it
//! was sent, and ends a peer that floods it ([`MuxError::Flood`]), except with what the config lets it do without a limit,
//! for peers that carry the streams of many strangers. Every limit is a field of [`MuxConfig`].
//!
//! # Determinism
//!
//! The same seed, calls and times give the same bytes and events. Polls may come in any order, repeated or late, and a
//! clock that goes back is taken as standing still. Cutting the incoming bytes elsewhere changes no stream.
//!
//! # Features
//!
//! `std` (off by default) adds `Epoch`, which converts `std::time::Instant`. Errors implement
//! `core::error::Error` with and without it.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod bit_set;
mod byte_queue;
mod commands;
mod config;
mod control_frames;
mod error;
mod event;
mod events;
mod expiry;
mod frame;
mod groups;
mod id_map;
mod input;
mod instant;
mod invariants;
mod lifecycle;
mod local_ids;
mod output;
mod parser;
mod random;
mod recv;
mod role;
mod rtt;
mod send;
mod session;
mod session_frames;
mod stats;
#[cfg(feature = "std")]
mod std_support;
mod stream;
mod stream_frames;
mod stream_id;
mod stream_state;
mod stream_table;
mod timers;
mod token_bucket;
mod unread;
mod window;

pub use config::{MuxConfig, MuxConfigError, RateLimit};
pub use error::{ClosedStream, FloodKind, MuxEnd, MuxError, OpenError, ResetReason, StreamError};
pub use event::MuxEvent;
pub use instant::Instant;
pub use role::Role;
pub use session::Mux;
pub use stats::MuxStats;
#[cfg(feature = "std")]
pub use std_support::Epoch;
pub use stream::{Read, Stream};
pub use stream_id::StreamId;
