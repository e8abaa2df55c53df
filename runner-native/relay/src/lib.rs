//! The relay: the public side of tunnels, which agents connect to and visitors reach services through.
//!
//! ```text
//!  visitor -- HTTP --> listener -- host name --> proxy -- stream of a session --> agent
//!                         |
//!                         +-- the relay's domain --> api -- /connect --> agent_conn (one session each)
//! ```
//!
//! It runs as a program of its own, and inside `expose` without a relay. The rules of a session are in the core.
//!
//! [`Relay::builder`] starts one; its [`RelayHandle`] tells events and counters, takes other options while it runs, and ends it. What decides is
//! a trait with one implementation here, and may be a program's own:
//!
//! | trait | decides | without it |
//! |---|---|---|
//! | [`Registry`] | who may be an agent, and what each may have | the lists of the options |
//! | [`Router`] | where a host name leads | host names as they are |
//! | [`CertSource`] | which certificate is shown | files, or ACME |
//! | [`DnsLookup`] | which records prove a host name | the resolvers of the options |
//!
//! ```
//! use std::time::Duration;
//!
//! use hvym_tunnel_core::stellar::Address;
//! use hvym_tunnel_net::key::Identity;
//! use hvym_tunnel_net::runtime::Runtime;
//! use hvym_tunnel_relay::{Admission, Decision, Refusal, Registry, Relay};
//!
//! /// Knows one agent.
//! struct OneAgent(Address);
//!
//! impl Registry for OneAgent {
//!     fn admit(&self, agent: Address) -> Decision<'_, Admission> {
//!         Box::pin(async move {
//!             let is_known = agent == self.0;
//!             is_known.then(Admission::default).ok_or_else(|| Refusal("open an account first".to_owned()))
//!         })
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::new()?;
//! let customer = Identity::generate()?.address();
//! let relay = Relay::builder(Identity::generate()?)
//!     .listen("127.0.0.1:0".parse()?)
//!     .registry(OneAgent(customer))
//!     .start(runtime.handle())?;
//! println!("agents dial {}", relay.urls().1);
//! runtime.block_on(relay.shutdown(Duration::from_secs(1)));
//! # Ok(())
//! # }
//! ```
//!
//! # Inside another server
//!
//! A relay has a listener of its own. [`RelayHandle::serve_connection`] takes connections that another listener has accepted, so that one port
//! serves a program's own pages and the relay.
//!
//! # Examples
//!
//! In the package `hvym-tunnel-examples`: `custom_registry` lets customers in as far as their plans go, `relay_beside_hyper` is a server of
//! hyper on tokio with a relay at the same port. `axum_embedded` of `hvym-tunnel-agent` has a relay and an agent beside an axum server.
//!
//! # What is stable
//!
//! Until version 1.0 a release that raises the second number may change anything here, one that raises the third only adds. Enums and
//! structs that may grow are `#[non_exhaustive]`; a method that is added to a trait has an implementation. The options of `config` may get
//! fields: begin with their `default()`. Texts of errors and of pages may change at any time. What agents and relays of different versions say to
//! each other changes by docs/PROTOCOL.md alone.

mod access;
mod access_log;
mod acme;
mod agent_conn;
mod api;
mod apply_options;
mod audit;
mod audit_log;
mod builder;
mod cluster;
mod compat_agents;
pub mod config;
mod console_challenges;
mod console_sessions;
mod error;
mod event;
mod handle;
mod handover;
mod http1;
mod http2;
mod latency;
mod lifecycle;
mod limits;
mod listener;
mod live_options;
mod log_entry;
mod management;
mod metrics;
mod names;
mod notices;
mod owner_logs;
mod pages;
mod peers;
mod prometheus;
mod proxy;
mod registry;
mod relay_state;
mod reload;
mod revocations;
mod router;
mod self_probe;
mod sessions;
mod settings;
mod shutdown;
mod sign_in;
mod tcp_ports;
mod tls;
mod totals;
mod traffic_history;
mod tunnels;
mod unread;
mod upstream;
mod visitor;
mod webhook;

#[cfg(test)]
mod tests;

pub use access_log::{AccessLog, AccessLogFormat};
pub use audit::{AuditKind, AuditRecord};
pub use builder::{Relay, RelayBuilder};
pub use compat_agents::KeysError;
pub use config::Limits;
pub use error::RelayError;
pub use event::{RelayEvent, RelayEvents};
pub use handle::{RelayHandle, RelayStatus};
pub use handover::{InheritedListener, ListenerRole, ListenerRoleError};
pub use hvym_tunnel_acme::{AcmeError, AcmeEvent, OrderError};
pub use hvym_tunnel_registry::{RegistryError, TunnelRegistry};
pub use names::{DnsLookup, LookupError, Lookups};
pub use registry::{
    Admission, AgentListFileError, Decision, OpenRegistry, REGISTRY_TIMEOUT, Refusal, Registry,
};
pub use router::{LocalRouter, Route, Router};
pub use settings::RelaySettings;
pub use tls::{CertSource, FileCertificate, Preparation, TlsError};

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExample;
