//! Keeps the latest requests of an agent, shows them in a browser on this machine, and sends them to their service again.
//!
//! [`Capture`] sees bytes on their way and keeps what its limits allow; [`Inspector`] serves the page and its API on a
//! loopback address. Nothing here prints, and nothing is sent anywhere by itself.

mod capture;
mod curl;
mod digest;
mod har;
mod redact;
mod replay;
mod server;
mod view;

pub use capture::body::MAX_BODY_BYTES;
pub use capture::messages::{MAX_MESSAGE_BYTES, MAX_MESSAGES, MAX_MESSAGES_BYTES};
pub use capture::ring::{MAX_EXCHANGES, MAX_HELD_BYTES};
pub use capture::{Capture, MAX_CONNECTIONS};
pub use redact::MASK;
pub use server::{DEFAULT_PORT, Inspector, PORTS_TRIED};

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExample;
