//! Limits on what visitors may use: connections in all and per IP address, requests at once. Knows no HTTP and no
//! session.

pub(crate) mod concurrency;
pub(crate) mod connections;
pub(crate) mod ip;
