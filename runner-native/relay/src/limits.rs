//! Limits on what visitors may use, in all and each: connections, requests, tunnels. Knows no HTTP and no session.

pub(crate) mod agent_rates;
pub(crate) mod guesses;
pub(crate) mod logins;
pub(crate) mod reached;
pub(crate) mod reserve;
pub(crate) mod tunnel_idle;
pub(crate) mod visitor_counts;
