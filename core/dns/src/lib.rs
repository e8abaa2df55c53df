//! DNS without I/O: the answers of an authoritative server, and the queries of a resolver's client with their responses.
//!
//! [`Zone`] is what the server knows, [`answer()`] what it says; [`lookup_query`] is what a client asks a resolver, and
//! [`lookup_records`] reads its response. Nothing here knows sockets or clocks; the crate is `no_std` and
//! needs `alloc`. Messages are those of RFC 1035 with EDNS (RFC 6891). Over UDP an answer is never longer than
//! [`MAX_UDP_BYTES`], whatever the query allows.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;

mod answer;
mod lookup;
mod name;
mod query;
mod record;
mod zone;

pub use answer::{MAX_UDP_BYTES, MIN_UDP_BYTES, Transport, answer};
pub use lookup::{LookupType, ResolverError, lookup_query, lookup_records};
pub use name::{DomainName, DomainNameError, MAX_LABEL_BYTES, MAX_NAME_BYTES};
pub use zone::{CHALLENGE_LABEL, MAX_ADDRESSES, MAX_ISSUERS, MAX_TEXTS, Zone};

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExample;
