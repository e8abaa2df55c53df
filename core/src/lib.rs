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
//! | module | what it is | what it refuses to know |
//! |---|---|---|
//! | [`agent`], [`relay`] | a link and reconnection; a link and admission | sockets |
//! | [`link`] | one connection from open to close | reconnection, admission |
//! | [`handshake`], [`keepalive`], [`mux`], [`backoff`] | the lanes of a link; when to dial again | JSON, each other |
//! | [`plane`] | what carries the streams of a link: an object-safe trait, and Yamux | logins |
//! | [`access`] | who may reach a service | where the address comes from |
//! | [`dialect`] | wire language to vocabulary and back | state |
//! | [`stellar`] | addresses and tokens | links |
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
pub mod dialect;
pub mod handshake;
pub mod json;
pub mod keepalive;
pub mod link;
pub mod machine;
pub mod message;
pub mod plane;
pub mod reason;
pub mod relay;
pub mod rng;
pub mod stellar;
pub mod time;

pub use hvym_yamux as mux;
