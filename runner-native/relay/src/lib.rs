//! The relay: the public side of tunnels, which agents connect to and visitors reach services through.
//!
//! ```text
//!  visitor -- HTTP --> listener -- host name --> proxy -- stream of a session --> agent
//!                         |
//!                         +-- the relay's domain --> api -- /connect --> agent_conn (one session each)
//! ```
//!
//! It runs as a program of its own, and inside `expose` without a relay. The rules of a session are in the core.

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
