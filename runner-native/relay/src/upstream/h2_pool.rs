//! The HTTP/2 connections of one session that requests share, by service. Knows no lock.
//!
//! Each stream of HTTP/2 is an exchange of its own, so nothing of one request is left for the next, and visitors share
//! connections. What is bound to a connection all the same, a login by NTLM or Negotiate, gets one of its visitor alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use hvym_proxy::Reuse;
use hvym_proxy::pool::{PoolConfig, VisitorId};
use hvym_tunnel_core::time::Instant;

use super::h2::H2Conn;

/// Shared connections of one service. Four carry four hundred requests at once; more requests get unshared connections,
/// as far as the session has streams.
const MAX_SHARED: usize = 4;
/// Connections of one service that belong to one visitor each. Beyond them one is used for one request.
const MAX_OWN: usize = 64;

/// The connections of one session.
pub(crate) struct H2Pool {
    config: PoolConfig,
    services: BTreeMap<Arc<str>, Vec<Shared>>,
}

struct Shared {
    h2_conn: H2Conn,
    /// The only one who may use it; `None` is everybody.
    owner: Option<VisitorId>,
    /// When it was last seen in use.
    used: Instant,
}

impl H2Pool {
    pub(super) const fn new(config: PoolConfig) -> Self {
        Self { config, services: BTreeMap::new() }
    }

    /// Whose connection a request of `visitor` uses; `None` is one that all share.
    fn owner(&self, visitor: VisitorId, logs_in: bool) -> Option<VisitorId> {
        match self.config.reuse {
            Reuse::Never => Some(visitor),
            Reuse::Safe => logs_in.then_some(visitor),
            Reuse::Always => None,
        }
    }

    /// A connection with room for one more. `logs_in`: the request logs in its connection.
    pub(crate) fn get(&self, service: &str, visitor: VisitorId, logs_in: bool) -> Option<H2Conn> {
        let owner = self.owner(visitor, logs_in);
        let mut conns = self.services.get(service)?.iter();
        let found = conns.find(|shared| shared.owner == owner && shared.h2_conn.has_room());
        found.map(|shared| shared.h2_conn.clone())
    }

    /// Keeps a connection that was just opened for other requests.
    pub(crate) fn insert(
        &mut self,
        service: &str,
        visitor: VisitorId,
        logs_in: bool,
        h2_conn: &H2Conn,
        now: Instant,
    ) {
        let owner = self.owner(visitor, logs_in);
        let conns = self.services.entry(Arc::from(service)).or_default();
        conns.retain(|shared| !shared.h2_conn.is_closed());
        let (kept, most) = match owner {
            None => (conns.iter().filter(|shared| shared.owner.is_none()).count(), MAX_SHARED),
            Some(_) => (conns.iter().filter(|shared| shared.owner.is_some()).count(), MAX_OWN),
        };
        if kept < most {
            conns.push(Shared { h2_conn: h2_conn.clone(), owner, used: now });
        }
    }

    pub(super) fn handle_visitor_end(&mut self, visitor: VisitorId) {
        self.services.retain(|_, conns| {
            conns.retain(|shared| shared.owner != Some(visitor));
            !conns.is_empty()
        });
    }

    pub(super) fn handle_service_end(&mut self, service: &str) {
        self.services.remove(service);
    }

    /// When the one that is unused for longest may be closed.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let used = self.services.values().flatten().map(|shared| shared.used).min()?;
        Some(used + self.config.idle_limit)
    }

    /// Closes what is unused for too long.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let limit = self.config.idle_limit;
        self.services.retain(|_, conns| {
            conns.retain_mut(|shared| {
                if !shared.h2_conn.is_idle() {
                    shared.used = now;
                }
                !shared.h2_conn.is_closed() && now - shared.used < limit
            });
            !conns.is_empty()
        });
    }
}
