//! Limits on what visitors may use: connections per IP address, requests at once. Knows no HTTP and no session.

pub(crate) mod concurrency;
pub(crate) mod ip;
