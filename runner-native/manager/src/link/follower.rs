//! A program that has services of a link, or a forward, for a while: which of the agent's events are about them.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hvym_tunnel_agent::AgentEvent;
use hvym_tunnel_net::observer::Observer;

/// What somebody has of a link.
#[derive(Debug)]
pub(crate) enum Interest {
    /// These services.
    Services(Vec<String>),
    /// Local connections, which are taken here.
    Forward(SocketAddr),
}

/// Somebody who is told what happens to a part of what an agent does, as if it did nothing else.
pub(crate) struct Follower {
    interest: Interest,
    observer: Arc<dyn Observer<AgentEvent>>,
    /// Where the first of them is reached, once one is.
    url: Mutex<Option<String>>,
}

impl Follower {
    pub(crate) fn new(interest: Interest, observer: Arc<dyn Observer<AgentEvent>>) -> Self {
        Self { interest, observer, url: Mutex::default() }
    }

    /// Tells what concerns it.
    pub(crate) fn handle_event(&self, event: &AgentEvent) {
        if let Some(own) = self.own(event) {
            self.observer.handle_event(&own);
        }
    }

    /// The event as an agent with these services alone would have it.
    fn own<'a>(&self, event: &'a AgentEvent) -> Option<Cow<'a, AgentEvent>> {
        let mut url = self.url.lock().unwrap_or_else(PoisonError::into_inner);
        let is_own = match event {
            AgentEvent::Online { services } => {
                let own: Vec<_> = match &self.interest {
                    // Once: that the link is there already is told when a program joins it.
                    Interest::Forward(listen) => {
                        let (listen, before) = (*listen, url.replace(listen.to_string()));
                        return before.is_none().then_some(Cow::Owned(AgentEvent::ForwardOnline { listen }));
                    }
                    Interest::Services(_) => {
                        services.iter().filter(|bound| self.has(&bound.service)).cloned().collect()
                    }
                };
                *url = Some(own.first()?.url.clone());
                return Some(Cow::Owned(AgentEvent::Online { services: own }));
            }
            AgentEvent::ServiceBound(bound) if self.has(&bound.service) && url.is_none() => {
                *url = Some(bound.url.clone());
                return Some(Cow::Owned(AgentEvent::Online { services: vec![bound.clone()] }));
            }
            AgentEvent::Reconnected { after, .. } => {
                let url = url.clone()?;
                return Some(Cow::Owned(AgentEvent::Reconnected { url, after: *after }));
            }
            AgentEvent::ServiceBound(bound) => self.has(&bound.service),
            AgentEvent::ServiceRefused { service, .. }
            | AgentEvent::ServiceTakenOver { service, .. }
            | AgentEvent::PeerAdmitted { service, .. }
            | AgentEvent::PeerRefused { service, .. }
            | AgentEvent::UpstreamUnreachable { service, .. }
            | AgentEvent::UpstreamReachable { service, .. } => self.has(service),
            AgentEvent::Request(record) => self.has(&record.service),
            AgentEvent::RequestOngoing(request) => self.has(&request.service),
            AgentEvent::Connection(record) => self.has(&record.service),
            AgentEvent::Disconnected { .. }
            | AgentEvent::Notice { .. }
            | AgentEvent::RelayDraining
            | AgentEvent::Draining { .. } => true,
            _ => false,
        };
        is_own.then_some(Cow::Borrowed(event))
    }

    fn has(&self, service: &str) -> bool {
        matches!(&self.interest, Interest::Services(services) if services.iter().any(|known| known == service))
    }
}
