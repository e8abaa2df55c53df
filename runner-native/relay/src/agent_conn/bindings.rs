//! The services and names that an agent asks for, and what the relay answers.
//!
//! Knows no socket; it acts on the session by its handle.

use std::collections::BTreeSet;
use std::sync::Arc;

use hvym_tunnel_core::dialect::{Proto, Service};
use hvym_tunnel_core::names::BARE_SERVICE;
use hvym_tunnel_core::relay::{BindRefusal, Owner};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::runtime::spawn;

use super::registration::AgentRegistration;
use crate::agent_conn::name_requests::Request;
use crate::audit::{AuditKind, AuditRecord};
use crate::tcp_ports;

impl AgentRegistration {
    pub(super) fn on_bind(&mut self, service: Service) {
        let Some(address) = self.address() else { return };
        if let Err(refusal) = self.state.plugins.registry.may_offer(&address, &service.name) {
            return self.decline(&service.name, &BindRefusal { code: "not_allowed", error: refusal.0 });
        }
        if let Err(refusal) = self.check_max_services(&service.name) {
            return self.decline(&service.name, &refusal);
        }
        if !self.take_service(address, &service) {
            return;
        }
        let name = service.name.clone();
        let is_confirmed = match (service.public, service.proto) {
            (true, Proto::Tcp) => self.confirm_at_port(address, service),
            (false, _) => {
                tracing::info!(%address, service = name, "bound, for identities");
                self.live.session.with(|session, now| session.confirm(service, String::new(), now))
            }
            (true, _) => {
                // The bare name leads to the first service only until there is one of that name.
                let named = Some(name.as_str()).filter(|name| *name != BARE_SERVICE);
                let url = match &self.claimed {
                    Some(claimed) => self.state.claimed_url(claimed, &address.into(), named),
                    None => self.state.url(&address.into(), named),
                };
                tracing::info!(%address, service = name, url, "bound");
                self.live.session.with(|session, now| session.confirm(service, url, now))
            }
        };
        if !is_confirmed {
            self.unbind(&name);
        }
        self.state.hold.handle_bound(&address.into());
        self.publish();
        self.live.wake();
    }

    /// The agent asks for a name: a label is given when it is kept, a host name when DNS was asked too, meanwhile.
    pub(super) async fn on_claim(&mut self, name: String) {
        let Some(owner) = self.address() else { return };
        let (request, live) = (Request { state: Arc::clone(&self.state), owner }, self.live.clone());
        let answer = move |name: &str, outcome: Result<String, BindRefusal>| {
            live.session.with(|session, now| match outcome {
                Ok(url) => session.grant_name(name, url, now),
                Err(refusal) => session.refuse_name(name, &refusal, now),
            });
        };
        if name.contains('.') {
            return spawn(async move { answer(&name, request.host(&name).await) }).detach();
        }
        let outcome = request.label(&name).await.map(|(claimed, url)| {
            self.claimed = Some(claimed);
            url
        });
        answer(&name, outcome);
    }

    /// Whether the agent may have this service beside those that all of its sessions have.
    fn check_max_services(&self, name: &str) -> Result<(), BindRefusal> {
        let Some(most) = self.admission.max_services else { return Ok(()) };
        let Some(owner) = &self.owner else { return Ok(()) };
        let mut others = BTreeSet::new();
        for live in self.state.sessions.sessions_of(owner) {
            let names = live.session.look(|session| {
                session.services().iter().map(|service| service.name.clone()).collect::<Vec<_>>()
            });
            others.extend(names.into_iter().filter(|other| other != name));
        }
        if others.len() < most {
            return Ok(());
        }
        let error = format!("your limit of services at this relay is {most}");
        Err(BindRefusal { code: "too_many", error })
    }

    /// Has this session serve `service` and tells those that do no longer, or refuses it.
    fn take_service(&self, address: Address, service: &Service) -> bool {
        let name = &service.name;
        match self.state.sessions.bind(self.key, &address.into(), service) {
            Ok(replaced) => {
                let by = self.live.session.look(|session| session.process().label.clone());
                for other in replaced {
                    tracing::info!(%address, service = name, "taken over by another session");
                    other.session.with(|session, now| session.replace_service(name, by.clone(), now));
                    other.pool.clear(name);
                    let taken = format!("another session serves {name} now");
                    self.state.audit(
                        AuditRecord::new(AuditKind::Takeover, taken)
                            .agent(self.owner.clone())
                            .peer(self.from.ip),
                    );
                }
            }
            Err(holder) => {
                let by =
                    holder.and_then(|holder| holder.session.look(|session| session.process().label.clone()));
                let by = by.map(|by| format!(" ({by})")).unwrap_or_default();
                let error = format!("another agent of this identity serves it{by}");
                self.decline(name, &BindRefusal { code: "name_taken", error });
                return false;
            }
        }
        // A service that is bound again may be another program: idle connections to it are stale.
        self.live.pool.clear(name);
        if service.proto != Proto::Tcp || !service.public {
            // It may have been a TCP service before.
            tcp_ports::release(&self.state, &address, name);
        }
        true
    }

    fn confirm_at_port(&self, address: Address, service: Service) -> bool {
        match tcp_ports::bind(&self.state, address, &service.name, self.admission.tcp_ports, self.from.key) {
            Ok(port) => {
                let url = self.state.tcp_url(port);
                let given = format!("port {port} for the service {}", service.name);
                self.state.audit(
                    AuditRecord::new(AuditKind::PortGiven, given)
                        .agent(Owner::Identity(address))
                        .peer(self.from.ip),
                );
                tracing::info!(%address, service = service.name, url, "bound");
                self.live.session.with(|session, now| session.confirm_at(service, url, Some(port), now))
            }
            Err(refusal) => {
                self.decline(&service.name, &refusal);
                false
            }
        }
    }

    fn decline(&self, service: &str, refusal: &BindRefusal) {
        self.live.session.with(|session, now| session.decline(service, refusal, now));
    }

    pub(super) fn unbind(&self, service: &str) {
        if self.state.sessions.unbind(self.key, service) {
            self.release_ports(&[Arc::from(service)]);
        }
    }

    /// The ports of services that nobody has any more.
    pub(super) fn release_ports(&self, services: &[Arc<str>]) {
        let Some(address) = self.address() else { return };
        services.iter().for_each(|service| tcp_ports::release(&self.state, &address, service));
    }
}
