//! What the existing programs of a dialect are like, as far as the machines above must know. Each dialect's own file
//! says it.

use core::time::Duration;

use super::Dialect;

/// What the programs of one dialect take, can and do.
#[derive(Debug)]
pub(crate) struct Manners {
    /// The largest message that its agents take, bytes.
    pub(crate) agent_limit: usize,
    /// The largest message that its relays take, bytes.
    pub(crate) relay_limit: usize,
    /// How long a relay waits for an answer.
    pub(crate) relay_patience: Duration,
    /// How long an agent waits for its service.
    pub(crate) agent_patience: Duration,
    /// Whether requests are numbered; otherwise each has a name of its own.
    pub(crate) counts_calls: bool,
    /// Whether an answer can come in pieces.
    pub(crate) has_pieces: bool,
    /// The methods that can be said; `None` is any.
    pub(crate) methods: Option<&'static [&'static str]>,
    /// Whether `Authorization` is for the relay, which knows visitors by it, and for no service.
    pub(crate) keeps_authorization: bool,
    /// Whether relays ask for signs of life, without being told at the login.
    pub(crate) relay_asks: bool,
    /// Whether there may be requests and signs of life before the login is over.
    pub(crate) is_hasty: bool,
    /// The close code that alone tells an agent that its token is wrong.
    pub(crate) refusal: Option<u16>,
}

impl Manners {
    /// Where a dialect has nothing else to say than how long both sides wait, seconds.
    pub(crate) const fn patient(seconds: u32) -> Self {
        let patience = Duration::from_secs(seconds as u64);
        Self {
            agent_limit: Dialect::MAX_PART_BYTES,
            relay_limit: Dialect::MAX_PART_BYTES,
            relay_patience: patience,
            agent_patience: patience,
            counts_calls: false,
            has_pieces: false,
            methods: None,
            keeps_authorization: false,
            relay_asks: true,
            is_hasty: false,
            refusal: None,
        }
    }

    /// Whether a request of this method can be said.
    pub(crate) fn know(&self, method: &str) -> bool {
        self.methods.is_none_or(|methods| methods.contains(&method))
    }
}
