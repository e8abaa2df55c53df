//! Limits on what visitors may use, in all and each: connections, requests, tunnels. Knows no HTTP and no session.

pub(crate) mod visitors;
