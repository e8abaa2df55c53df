//! The relay: the public side, where agents connect and visitors come.
//!
//! ```text
//!  visitor -- HTTP --> visitors -- host name --> roster -- stream --> ingress --> agent
//!                         |                        ^
//!                         +-- /connect --> connect + (one Session each)
//! ```
//!
//! It runs by itself, and inside `expose` for somebody who has no relay. What a session may do is the core's.

mod answering;
mod builder;
mod by_path;
mod conduit;
pub mod config;
mod connect;
mod conversation;
mod descriptors;
mod error;
mod event;
mod framing;
mod guests;
mod handle;
mod heads;
mod ingress;
mod live;
mod load;
mod origin;
mod pages;
mod passage;
mod patient;
mod pool;
mod ports;
mod question;
mod reach;
mod registry;
mod reply;
mod roster;
mod router;
mod seat;
mod settings;
mod surface;
mod switchboard;
mod tally;
mod threshold;
mod tls;
mod trunk;
mod turnstile;
mod upgrade;
mod upload;
mod visitors;

#[cfg(test)]
mod tests;

pub use builder::{Relay, RelayBuilder};
pub use error::RelayError;
pub use event::{RelayEvent, RelayEvents};
pub use guests::KeysError;
pub use handle::{RelayHandle, RelayStatus};
pub use registry::{Admission, Decision, OpenRegistry, REGISTRY_TIMEOUT, Refusal, Registry};
pub use router::{LocalRouter, Route, Router};
pub use settings::{Limits, RelaySettings};
pub use tls::{CertSource, FileCertificate, TlsError};
