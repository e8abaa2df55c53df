//! Limits and quirks of the existing programs of a dialect. The values are in each dialect's own file.

use core::time::Duration;

use super::Dialect;

/// Limits and quirks of the programs of one dialect.
#[derive(Debug)]
pub(crate) struct Profile {
    /// The largest message that its agents take, bytes.
    pub(crate) agent_limit: usize,
    /// The largest message that its relays take, bytes.
    pub(crate) relay_limit: usize,
    /// How long a relay waits for a response.
    pub(crate) relay_timeout: Duration,
    /// How long an agent waits for its service.
    pub(crate) agent_timeout: Duration,
    /// Whether requests are numbered; otherwise each has a UUID.
    pub(crate) numeric_ids: bool,
    /// Whether a response can be sent in pieces.
    pub(crate) streams_bodies: bool,
    /// The methods that can be sent; `None` is any.
    pub(crate) methods: Option<&'static [&'static str]>,
    /// Whether `Authorization` authenticates visitors at the relay and must not reach a service.
    pub(crate) strips_authorization: bool,
    /// Whether relays send pings, so that an agent need not.
    pub(crate) relay_pings: bool,
    /// Whether programs send requests and pings before the login is over.
    pub(crate) sends_before_auth: bool,
    /// The close code that means a wrong token.
    pub(crate) auth_close_code: Option<u16>,
}

impl Profile {
    /// The defaults, with one timeout for both sides, seconds.
    pub(crate) const fn with_timeout(seconds: u32) -> Self {
        let timeout = Duration::from_secs(seconds as u64);
        Self {
            agent_limit: Dialect::MAX_CALL_BYTES,
            relay_limit: Dialect::MAX_CALL_BYTES,
            relay_timeout: timeout,
            agent_timeout: timeout,
            numeric_ids: false,
            streams_bodies: false,
            methods: None,
            strips_authorization: false,
            relay_pings: true,
            sends_before_auth: false,
            auth_close_code: None,
        }
    }

    /// Whether a request of this method can be sent.
    pub(crate) fn allows_method(&self, method: &str) -> bool {
        self.methods.is_none_or(|methods| methods.contains(&method))
    }
}
