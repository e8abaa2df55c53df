//! The sessions among which the visitors of a service are spread, and the choice of one for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::relay::{Name, least_loaded};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_pages::Page;

use super::agent_session::{AgentSession, Load};
use crate::metrics::Record;
use crate::pages;

/// A service that somebody serves.
#[derive(Clone)]
pub(crate) struct ServiceTarget {
    /// As the visitor named it.
    pub(crate) name: Arc<Name>,
    /// Its name at the agents.
    pub(super) service: Arc<str>,
    /// What it carries.
    pub(crate) proto: Proto,
    /// Never empty.
    pub(super) sessions: Arc<[AgentSession]>,
}

/// Where a name leads.
pub(crate) enum HostTarget {
    /// To a service.
    Served(ServiceTarget),
    /// To a service whose agent goes away and will probably be back in a moment.
    Expected(Arc<Name>, Proto),
    /// To no service that is public. Whether there is a private one is not known here.
    NotPublic(Arc<Name>),
    /// Nowhere, which this page says.
    Missing(Page),
}

/// A session that was chosen for a request. It counts as that request's until it is dropped.
pub(crate) struct Assigned {
    pub(crate) session: AgentSession,
    pub(crate) service: Arc<str>,
    pub(crate) proto: Proto,
    _load: Load,
}

/// What a request is for, and who is to answer it.
pub(crate) struct Destination {
    pub(crate) name: Arc<Name>,
    /// `None`: to be awaited.
    pub(crate) assigned: Option<Assigned>,
}

impl ServiceTarget {
    /// Chooses the session with the fewest requests under way; `None` if all have ended or go away.
    pub(crate) fn assign(&self) -> Option<Assigned> {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let chosen = match &*self.sessions {
            [only] => Some(only).filter(|session| session.takes_requests()),
            several => {
                let usable: Vec<&AgentSession> =
                    several.iter().filter(|session| session.takes_requests()).collect();
                let loads = usable.iter().map(|session| session.load());
                let at = least_loaded(loads, TURN.fetch_add(1, Ordering::Relaxed));
                at.map(|at| usable[at])
            }
        };
        chosen.map(|session| Assigned::new(session, &self.service, self.proto))
    }

    /// Whether one of its agents goes away in good order, so that another may come.
    pub(super) fn is_left(&self) -> bool {
        self.sessions.iter().any(AgentSession::is_leaving)
    }
}

impl Assigned {
    pub(super) fn new(session: &AgentSession, service: &Arc<str>, proto: Proto) -> Self {
        Self { _load: session.add_load(), session: session.clone(), service: Arc::clone(service), proto }
    }

    /// The counters of the session.
    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.session.record
    }
}

impl Destination {
    /// Whether its agent may get one more request now; while it is awaited, nobody knows.
    pub(crate) fn takes_request(&self, now: Instant) -> bool {
        self.assigned.as_ref().is_none_or(|assigned| assigned.record().takes_request(now))
    }
}

impl HostTarget {
    /// Chooses who is to answer one request.
    ///
    /// # Errors
    /// The page for the visitor.
    pub(crate) fn destination(self) -> Result<Destination, Page> {
        match self {
            HostTarget::Served(target) => {
                let assigned = target.assign();
                Ok(Destination { name: target.name, assigned })
            }
            HostTarget::Expected(name, _) => Ok(Destination { name, assigned: None }),
            HostTarget::NotPublic(name) => Err(not_public(&name)),
            HostTarget::Missing(page) => Err(page),
        }
    }

    /// The page for a visitor whom it leads nowhere.
    pub(crate) fn missing(&self) -> Option<Page> {
        match self {
            HostTarget::NotPublic(name) => Some(not_public(name)),
            HostTarget::Missing(page) => Some(page.clone()),
            HostTarget::Served(_) | HostTarget::Expected(..) => None,
        }
    }

    /// What leads there, as the visitor named it.
    pub(crate) fn name(&self) -> Option<&Name> {
        match self {
            HostTarget::Served(target) => Some(&target.name),
            HostTarget::Expected(name, _) => Some(name),
            HostTarget::NotPublic(_) | HostTarget::Missing(_) => None,
        }
    }

    /// Whether the service carries HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(
            self,
            HostTarget::Served(ServiceTarget { proto: Proto::H2, .. }) | HostTarget::Expected(_, Proto::H2)
        )
    }
}

fn not_public(name: &Name) -> Page {
    name.service.as_ref().map_or_else(pages::nothing_offered, |service| Page::unknown_service(service))
}
