//! The logins under way, and the places of agents, counted by [`LoginLimits`] and given back when they are dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hvym_proxy::limits::{LoginLimits, LoginLimitsConfig, LoginRefusal, LoginTicket, VisitorKey};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{Owner, Session};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::link_driver::LinkHandle;

/// How long a login may take while more than half of their places are taken. Several round trips, and a signature by a
/// program; a person who signs with a wallet may be too slow for a relay under attack.
pub(crate) const PRESSED_TIMEOUT: Duration = Duration::from_secs(3);

struct Counts {
    limits: LoginLimits<Owner>,
    sessions: BTreeMap<LoginTicket, LinkHandle<Session>>,
}

/// The counters of a relay.
pub(crate) struct Logins {
    counts: Mutex<Counts>,
    clock: Clock,
    capacity: usize,
}

/// A login under way, until it is dropped.
pub(crate) struct PendingLogin {
    logins: Arc<Logins>,
    ticket: LoginTicket,
    pub(crate) is_pressed: bool,
}

/// The place of an agent that is logged in, until it is dropped.
pub(crate) struct AgentPlace {
    logins: Arc<Logins>,
    agent: Owner,
    from: Option<VisitorKey>,
    since: Instant,
}

impl Logins {
    /// Nobody logs in.
    pub(crate) fn new(config: LoginLimitsConfig, clock: Clock) -> Self {
        let limits = LoginLimits::new(config, clock.now());
        let counts = Mutex::new(Counts { limits, sessions: BTreeMap::new() });
        Self { counts, clock, capacity: config.agents + config.pending }
    }

    /// Whether all places of agents are taken.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().limits.is_full()
    }

    /// How many sessions there can be, logged in or not.
    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Somebody wants to log in. The login whose place it takes is ended.
    ///
    /// # Errors
    /// The limit that this would exceed.
    pub(crate) fn begin(self: &Arc<Self>, from: Option<VisitorKey>) -> Result<PendingLogin, LoginRefusal> {
        let mut counts = self.lock();
        let start = counts.limits.begin(from, self.clock.now())?;
        let evicted = start.evicted.and_then(|ticket| counts.sessions.remove(&ticket));
        // A session is locked by its own task too, which may want to end its login.
        drop(counts);
        if let Some(session) = evicted {
            let text = "this relay has many logins under way, and yours took longest: try again";
            let reason = DownReason::Overloaded(text.to_owned());
            session.with(|session, now| session.refuse(reason, now));
        }
        Ok(PendingLogin { logins: Arc::clone(self), ticket: start.ticket, is_pressed: start.is_pressed })
    }

    /// A place for an agent that proved who it is. `is_listed` is whether the operator named it.
    ///
    /// # Errors
    /// The limit that this would exceed.
    pub(crate) fn admit(
        self: &Arc<Self>,
        agent: Owner,
        from: Option<VisitorKey>,
        is_listed: bool,
    ) -> Result<AgentPlace, LoginRefusal> {
        let since = self.clock.now();
        self.lock().limits.admit(&agent, from, is_listed, since)?;
        Ok(AgentPlace { logins: Arc::clone(self), agent, from, since })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingLogin {
    /// The session of the login, which is ended if it has to give its place. It is at once if it had to already.
    pub(crate) fn attach(&self, session: &LinkHandle<Session>) {
        let mut counts = self.logins.lock();
        if counts.limits.is_pending(self.ticket) {
            counts.sessions.insert(self.ticket, session.clone());
            return;
        }
        drop(counts);
        let reason = DownReason::Overloaded("this relay has many logins under way: try again".to_owned());
        session.with(|session, now| session.refuse(reason, now));
    }
}

impl Drop for PendingLogin {
    fn drop(&mut self) {
        let mut counts = self.logins.lock();
        counts.limits.end(self.ticket);
        counts.sessions.remove(&self.ticket);
    }
}

impl Drop for AgentPlace {
    fn drop(&mut self) {
        let now = self.logins.clock.now();
        self.logins.lock().limits.leave(&self.agent, self.from, self.since, now);
    }
}
