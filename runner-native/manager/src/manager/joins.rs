//! What other programs have of a link, for as long as they want it: services, or the service of another identity at a local
//! port. So several terminals share one link.

use std::net::SocketAddr;
use std::sync::Arc;

use hvym_tunnel_agent::{AgentEvent, RelayUrl, ServiceAddress, ServiceName, SharedForward};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::observer::Observer;

use super::{Inner, TunnelManager};
use crate::definition::managed_service;
use crate::error::ManagerError;
use crate::link::{Follower, Interest, ManagedLink};
use crate::settings::ManagedService;
use crate::shapes::{JoinForward, JoinRequest};

/// What another program has of a link. Dropped, it is withdrawn.
pub struct JoinedProgram {
    inner: Arc<Inner>,
    link: String,
    names: Vec<ServiceName>,
    _forward: Option<SharedForward>,
    follower: Arc<Follower>,
}

impl TunnelManager {
    /// Gives a program what it wants of the link that leads where it would dial itself. What happens to that, the
    /// observer is told that `observer` makes, which gets to know the relay.
    ///
    /// # Errors
    /// There is no such link, one of the services has its name already, the port is taken, or the request is not understood.
    pub fn join(
        &self,
        request: &JoinRequest,
        observer: impl FnOnce(&str) -> Arc<dyn Observer<AgentEvent>>,
    ) -> Result<JoinedProgram, ManagerError> {
        match (&request.services[..], &request.forward) {
            ([], Some(forward)) => self.0.join_forward(request, forward, observer),
            ([_, ..], None) => self.0.join_services(request, observer),
            _ => Err(ManagerError::BadService("say either services, or a forward".to_owned())),
        }
    }
}

impl Inner {
    fn join_services(
        self: &Arc<Self>,
        request: &JoinRequest,
        observer: impl FnOnce(&str) -> Arc<dyn Observer<AgentEvent>>,
    ) -> Result<JoinedProgram, ManagerError> {
        let services: Result<Vec<ManagedService>, String> =
            request.services.iter().map(managed_service).collect();
        let services = services.map_err(ManagerError::BadService)?;
        let link = self.shared(request)?;
        let known = link.services();
        if let Some(used) =
            services.iter().find(|new| known.iter().any(|known| known.spec.name == new.spec.name))
        {
            return Err(ManagerError::ServiceInUse(used.spec.name.to_string()));
        }
        let names: Vec<_> = services.iter().map(|service| service.spec.name.clone()).collect();
        let interest = Interest::Services(names.iter().map(ToString::to_string).collect());
        let joined = self.joined(&link, interest, observer(&relay_of(&link)), names, None);
        for service in services {
            // What was added before is withdrawn with `joined`.
            link.put_service(service.added())?;
        }
        Ok(joined)
    }

    fn join_forward(
        self: &Arc<Self>,
        request: &JoinRequest,
        forward: &JoinForward,
        observer: impl FnOnce(&str) -> Arc<dyn Observer<AgentEvent>>,
    ) -> Result<JoinedProgram, ManagerError> {
        let bad = |what: &str| ManagerError::BadService(format!("{what} is not understood"));
        let to: ServiceAddress = forward.to.parse().map_err(|_| bad("forward.to"))?;
        let listen: SocketAddr = forward.listen.parse().map_err(|_| bad("forward.listen"))?;
        let link = self.shared(request)?;
        if link.view().is_some_and(|agent| !agent.can_forward()) {
            return Err(ManagerError::NotShared);
        }
        let observer = observer(&relay_of(&link));
        let (inner, name) = (Arc::downgrade(self), link.name().to_owned());
        // Another agent may have its place by then.
        let agent = move || inner.upgrade()?.link(&name)?.view();
        let started = SharedForward::start(listen, to, agent, Arc::clone(&observer), &self.context.runtime);
        let forward = started.map_err(|error| ManagerError::NoPort(error.to_string()))?;
        let interest = Interest::Forward(forward.local_addr());
        let check = forward.check();
        let joined = self.joined(&link, interest, observer, Vec::new(), Some(forward));
        if link.view().is_some_and(|agent| agent.is_online()) {
            joined.follower.handle_event(&AgentEvent::Online { services: Vec::new() });
            self.context.runtime.spawn(check).detach();
        }
        Ok(joined)
    }

    /// Follows a link, before anything is changed there, so that nothing is missed.
    fn joined(
        self: &Arc<Self>,
        link: &Arc<ManagedLink>,
        interest: Interest,
        observer: Arc<dyn Observer<AgentEvent>>,
        names: Vec<ServiceName>,
        forward: Option<SharedForward>,
    ) -> JoinedProgram {
        let follower = Arc::new(Follower::new(interest, observer));
        link.observer.follow(Arc::clone(&follower));
        let (inner, link) = (Arc::clone(self), link.name().to_owned());
        JoinedProgram { inner, link, names, _forward: forward, follower }
    }

    /// The link that leads where somebody would dial itself: to the same relay, as the same identity, in the same way.
    fn shared(&self, request: &JoinRequest) -> Result<Arc<ManagedLink>, ManagerError> {
        let bad = |what: &str| ManagerError::BadService(format!("{what} is not understood"));
        let relay: Option<RelayUrl> =
            request.relay.as_deref().map(str::parse).transpose().map_err(|_| bad("relay"))?;
        let pinned: Option<Address> =
            request.relay_address.as_deref().map(str::parse).transpose().map_err(|_| bad("relay_address"))?;
        let address: Address = request.address.parse().map_err(|_| bad("address"))?;
        let is_meant = |link: &Arc<ManagedLink>| {
            let settings = link.settings();
            let is_there = match &relay {
                Some(relay) => settings.link.relay.as_ref() == Some(relay) && !settings.has_own_relay,
                None => settings.has_own_relay,
            };
            is_there
                && link.is_wanted()
                && settings.compat.is_none()
                && settings.link.delegation.is_none()
                && settings.signer.address() == address
                && (pinned.is_none() || settings.link.relay_address == pinned)
        };
        self.links().into_iter().find(is_meant).ok_or(ManagerError::NotShared)
    }
}

/// Where a link leads.
fn relay_of(link: &ManagedLink) -> String {
    link.settings().link.relay.as_ref().map(ToString::to_string).unwrap_or_default()
}

impl Drop for JoinedProgram {
    fn drop(&mut self) {
        // The link may be another one by now, of the same name.
        let Some(link) = self.inner.link(&self.link) else { return };
        link.observer.unfollow(&self.follower);
        self.names.iter().for_each(|name| self.inner.unbind(&link, name));
    }
}
