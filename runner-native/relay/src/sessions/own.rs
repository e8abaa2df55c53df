//! What agents of this relay serve, apart from those of the other relays of its cluster.

use std::sync::Arc;

use hvym_tunnel_core::dialect::{Service, StreamHeader};
use hvym_tunnel_core::relay::{Name, Owner, Serving};
use hvym_tunnel_net::stream::TunnelStream;

use super::agent_session::AgentSession;
use super::service_target::{Assigned, ServiceTarget};
use super::table::SessionTable;
use crate::upstream::pool::{StreamUser, next_visitor_id};

impl SessionTable {
    /// The services of `owner` that sessions of this relay serve, each with the running program that does.
    pub(crate) fn own_services(&self, owner: &Owner) -> Vec<(Service, Option<String>)> {
        let mut own: Vec<(Service, Option<String>)> = Vec::new();
        for live in self.sessions_of(owner) {
            // Sessions and the table are never locked at the same time.
            let (services, instance) = live
                .session
                .look(|session| (session.services().to_vec(), session.process().instance.clone()));
            for service in services {
                let is_serving =
                    |target: ServiceTarget| target.sessions.iter().any(|serving| serving.is(&live));
                let is_known = own.iter().any(|(known, _)| known.name == service.name);
                if !is_known && self.served_here(owner, &service.name, false).is_some_and(is_serving) {
                    own.push((service, instance.clone()));
                }
            }
        }
        own
    }

    /// Has no session of this relay serve it any more. Returns those that did.
    pub(crate) fn release(&self, owner: &Owner, service: &str) -> Vec<AgentSession> {
        let here = |is_visitor| self.served_here(owner, service, is_visitor);
        let Some(target) = here(true).or_else(|| here(false)) else { return Vec::new() };
        let is_serving = |live: &AgentSession| target.sessions.iter().any(|serving| serving.is(live));
        let serving = self.entries().into_iter().filter(|(_, live)| is_serving(live));
        serving
            .map(|(session, live)| {
                self.unbind(session, service);
                live
            })
            .collect()
    }

    /// Who serves a service at this relay, to visitors or to identities; `None` if nobody does.
    pub(crate) fn served_here(
        &self,
        owner: &Owner,
        service: &str,
        is_visitor: bool,
    ) -> Option<ServiceTarget> {
        let rows = self.lock();
        let name = Arc::new(Name { owner: owner.clone(), service: Some(service.to_owned()) });
        let serving = match is_visitor {
            true => rows.directory.serving(&name),
            false => rows.directory.serving_for_identities(owner, service),
        };
        let Serving::By { service, proto, sessions } = serving else { return None };
        let sessions: Arc<[AgentSession]> = rows.local(&sessions).collect();
        (!sessions.is_empty()).then_some(ServiceTarget { name, service, proto, sessions })
    }
}

impl Assigned {
    /// Opens a stream to the service for whom another relay opened one by `header`; `None` if that cannot be.
    pub(crate) async fn open_forwarded(&self, header: &StreamHeader) -> Option<TunnelStream> {
        let (service, proto) = (self.service.to_string(), self.proto);
        // Each stream is counted by itself: the other relay shares out what one visitor may have.
        let id = next_visitor_id();
        let user = StreamUser { id, group: id.0 };
        let opened = match header.from {
            None => {
                self.session.open(user, &StreamHeader { service, proto, ..StreamHeader::default() }).await
            }
            Some(from) => {
                let delegated = |own: StreamHeader| StreamHeader {
                    key: header.key,
                    delegation: header.delegation.clone(),
                    probe: header.probe,
                    ..own
                };
                self.session.open_for(from, &service, &delegated).await
            }
        };
        opened.ok()
    }
}
