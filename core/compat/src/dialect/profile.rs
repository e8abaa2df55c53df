//! What the existing programs of a dialect are like, as far as the machines above must know. Each dialect's own file
//! says it.

use core::time::Duration;

use super::Dialect;

/// What the programs of one dialect take, can and do.
#[derive(Debug)]
pub(crate) struct Profile {
    /// The largest message that its agents take, bytes.
    pub(crate) agent_limit: usize,
    /// The largest message that its relays take, bytes.
    pub(crate) relay_limit: usize,
    /// How long a relay waits for an answer.
    pub(crate) relay_timeout: Duration,
    /// How long an agent waits for its service.
    pub(crate) agent_timeout: Duration,
    /// Whether requests are numbered; otherwise each has a name of its own.
    pub(crate) numeric_ids: bool,
    /// Whether an answer can come in pieces.
    pub(crate) streams_bodies: bool,
    /// The methods that can be said; `None` is any.
    pub(crate) methods: Option<&'static [&'static str]>,
    /// Whether `Authorization` is for the relay, which knows visitors by it, and for no service.
    pub(crate) strips_authorization: bool,
    /// Whether relays ask for signs of life, without being told at the login.
    pub(crate) relay_pings: bool,
    /// Whether there may be requests and signs of life before the login is over.
    pub(crate) sends_before_auth: bool,
    /// The close code that alone tells an agent that its token is wrong.
    pub(crate) auth_close_code: Option<u16>,
}

impl Profile {
    /// Where a dialect has nothing else to say than how long both sides wait, seconds.
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

    /// Whether a request of this method can be said.
    pub(crate) fn allows_method(&self, method: &str) -> bool {
        self.methods.is_none_or(|methods| methods.contains(&method))
    }
}
