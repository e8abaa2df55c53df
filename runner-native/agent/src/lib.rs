//! The agent of a tunnel as a library: it gives local services a public address by way of a relay, and reaches the private
//! services of other identities.
//!
//! The protocol, the login and the reconnection are the core's; here are sockets and local services. Nothing here prints,
//! reads a command line, handles a process signal or ends the process.
//!
//! - [`Agent::builder`] starts an agent; its [`AgentHandle`] changes services while it runs, tells events, and ends it.
//! - [`ServiceSpec`] is one service: its local [`Target`], who may reach it, and what is changed in its requests.
//! - [`Forward::builder`] takes connections at a local port and leads them to the service of another identity.
//! - [`AgentEvent`] is what happens. A reader that falls behind loses the newest events, and their number is counted; an
//!   [`Observer`](hvym_tunnel_net::observer::Observer) sees every one, on the thread where it happens.
//!
//! ```
//! use std::time::Duration;
//!
//! use hvym_tunnel_agent::{Agent, Identity, ServiceSpec};
//! use hvym_tunnel_net::runtime::Runtime;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::new()?;
//! let agent = Agent::builder(Identity::generate()?)
//!     .relay("ws://localhost:4896".parse()?)
//!     .service(ServiceSpec::new("web".parse()?, "3000".parse()?))
//!     .start(runtime.handle())?;
//! agent.add_service(ServiceSpec::new("api".parse()?, "3001".parse()?))?;
//! assert_eq!(agent.status().services.len(), 2);
//! runtime.block_on(agent.shutdown(Duration::from_secs(1)))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Examples
//!
//! `examples/minimal.rs` is an agent that prints its URL and its requests, `examples/axum_embedded.rs` an axum server that has a relay and
//! an agent in its own process.
//!
//! # What is stable
//!
//! Until version 1.0 a release that raises the second number may change anything here, one that raises the third only adds. Enums and
//! structs that may grow are `#[non_exhaustive]`: match with a wildcard, and construct by `new`. Texts of errors may change at any time;
//! match on variants. Types of `hvym_tunnel_net` and `hvym_tunnel_core` in signatures are a part of this interface, and all crates of
//! the workspace are to be of one version. Crates of others are not in it, but for `bytes` and `http`.

mod builder;
mod compat;
pub mod credentials;
mod delegation;
mod error;
pub mod event;
mod event_sink;
mod forward;
mod handle;
mod link_status;
mod network_monitor;
mod offered_services;
mod password_hash;
pub mod probe;
mod public_urls;
mod registration_check;
mod relay_memory;
mod revoke;
mod runner;
mod service;
pub mod settings;
mod shutdown;
mod signatures;
mod spec;
pub mod token;
mod view;

pub use builder::{Agent, AgentBuilder};
pub use delegation::DelegationFileError;
pub use error::{AgentError, AuthorityRole, FolderError};
pub use event::AgentEvent;
pub use event_sink::{AgentEvents, Inspection};
pub use forward::{Forward, ForwardBuilder, ForwardHandle, SharedForward, can_reach};
pub use handle::AgentHandle;
pub use hvym_tunnel_core::dialect::OnConflict;
pub use hvym_tunnel_net::key::Identity;
pub use hvym_tunnel_net::signer::Signer;
pub use hvym_tunnel_net::target::{RelayUrl, ServiceAddress, ServiceName, Target};
pub use offered_services::offered_services;
pub use revoke::revoke;
pub use service::{ReplayConnection, ReplayRefusal};
pub use spec::{ConflictPolicy, ServiceSpec};
pub use view::AgentView;
