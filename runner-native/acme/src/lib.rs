//! The certificates of a relay, by ACME (RFC 8555): ordered when a name needs one, renewed before they end.
//!
//! ```text
//!  TLS handshake --> Certificates --(name without one)--> Manager --> Schedule: which, when
//!                                                            |
//!                        certificate authority <-- OrderMachine --> challenge: a handshake (TLS-ALPN-01), or DnsServer (DNS-01)
//! ```
//!
//! It knows no agent and no visitor: which names are in use is asked of [`ServedHosts`].

mod account;
mod authority;
mod certificate;
mod dns_server;
mod issuance;
mod manager;
mod message;
mod order;
mod schedule;
mod store;
mod table;

#[cfg(test)]
mod order_tests;

pub use certificate::covers;
pub use manager::{
    AcmeConfig, AcmeError, AcmeEvent, Certificates, DnsConfig, Manager, ServedHosts, UnixSeconds, open,
};
pub use order::OrderError;
pub use store::{DamagedFile, StoreError};
pub use table::ACME_TLS_ALPN;
