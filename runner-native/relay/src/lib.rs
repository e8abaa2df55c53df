//! The relay: the public side, where agents connect and visitors come.
//!
//! ```text
//!  visitor -- HTTP --> listener -- host name --> session table -- stream --> ingress --> agent
//!                         |                        ^
//!                         +-- /connect --> agent_ws + (one Session each)
//! ```
//!
//! It runs by itself, and inside `expose` for somebody who has no relay. What a session may do is the core's.

mod agent_session;
mod agent_ws;
mod api;
mod builder;
mod client_conn;
mod compat_agents;
mod concurrency_limit;
pub mod config;
mod connection_pool;
mod error;
mod event;
mod forwarded;
mod h1_upstream;
mod h2_upstream;
mod handle;
mod head_rewrite;
mod head_validation;
mod in_flight;
mod ingress;
mod ip_limit;
mod listener;
mod metrics;
mod pages;
mod path_route;
mod peer_access;
mod registration;
mod registry;
mod relay_state;
mod request_body;
mod request_guard;
mod request_upload;
mod response_body;
mod rlimit;
mod router;
mod session_table;
mod settings;
mod tcp_ports;
mod tls;
mod upgrade;
mod upstream_conn;
mod write_timeout;

#[cfg(test)]
mod tests;

pub use builder::{Relay, RelayBuilder};
pub use compat_agents::KeysError;
pub use error::RelayError;
pub use event::{RelayEvent, RelayEvents};
pub use handle::{RelayHandle, RelayStatus};
pub use registry::{Admission, Decision, OpenRegistry, REGISTRY_TIMEOUT, Refusal, Registry};
pub use router::{LocalRouter, Route, Router};
pub use settings::{Limits, RelaySettings};
pub use tls::{CertSource, FileCertificate, TlsError};

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExample;
