//! Yamux without I/O: many streams over one byte stream, as a deterministic state machine.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;

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
mod stream;
mod stream_frames;
mod stream_id;
mod stream_state;
mod stream_table;
mod timers;
mod token_bucket;
mod window;

pub use config::{MuxConfig, MuxConfigError};
pub use error::{ClosedStream, FloodKind, MuxEnd, MuxError, OpenError, ResetReason, StreamError};
pub use event::MuxEvent;
pub use instant::Instant;
pub use role::Role;
pub use session::Mux;
pub use stats::MuxStats;
pub use stream::{Read, Stream};
pub use stream_id::StreamId;
