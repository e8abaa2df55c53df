//! Three older tunnel systems, each as a login and a data plane of a link of `hvym-tunnel-core`.
//!
//! | system | login | data plane |
//! |---|---|---|
//! | HVYM | the native one, without a data plane ([`HvymFallback`]) | a message for each request and each response |
//! | tunely | a token in the first message ([`TokenHandshake`]) | messages, and raw connections |
//! | CloudToLocalLLM | a token in the upgrade request ([`TokenHandshake`]) | a message for each request and each response |
//!
//! | module | what it is | what it does not know |
//! |---|---|---|
//! | [`dialect`] | wire languages to one vocabulary and back | state |
//! | [`bridge`] | whole requests and responses, shown as byte streams | logins, JSON |
//! | [`plane`] | the bridge as a data plane | sockets |
//! | [`token_auth`] | logins by shared token | which tokens exist |
//! | [`sealed_box`] | encrypted messages of HVYM programs | links |
//!
//! Programs of the native protocol do not need it: an agent or relay without this crate refuses such peers.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;

/// The examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod bridge;
pub mod dialect;
pub mod plane;
pub mod sealed_box;
pub mod token_auth;
mod uuid;

use alloc::boxed::Box;

use hvym_tunnel_core::agent::{Agent, AgentConfig};
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_core::rng::Seed;
use hvym_tunnel_core::time::{Instant, Wall};

pub use plane::{HvymFallback, MAX_MESSAGE_BYTES};
pub use token_auth::{CompatAgent, TokenHandshake, TokenLogin};

/// A session over a WebSocket that was just accepted from an agent that logs in by token.
pub fn session(config: LinkConfig, agent: CompatAgent, seed: Seed, now: Instant) -> Session {
    Session::with_login(config, Box::new(TokenHandshake::relay(agent, now)), seed, now)
}

/// An agent of a relay that knows agents by tokens. It offers the first service, and its identity is not used.
pub fn agent(config: AgentConfig, login: TokenLogin, wall: Wall, seed: Seed, now: Instant) -> Agent {
    Agent::with_logins(config, Box::new(login), wall, seed, now)
}
