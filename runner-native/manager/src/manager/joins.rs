//! Services of other programs, for as long as those want them: so that several terminals share one link.

use std::sync::Arc;

use hvym_tunnel_agent::{AgentEvent, RelayUrl, ServiceName};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::observer::Observer;

use super::{Inner, TunnelManager};
use crate::definition::managed_service;
use crate::error::ManagerError;
use crate::link::{Follower, ManagedLink};
use crate::settings::ManagedService;
use crate::shapes::JoinRequest;

/// Services that another program has. Dropped, they are withdrawn.
pub struct JoinedServices {
    inner: Arc<Inner>,
    link: String,
    names: Vec<ServiceName>,
    follower: Arc<Follower>,
}

impl TunnelManager {
    /// Adds services to the link that leads where the program would dial itself. What happens to them, the
    /// observer is told that `observer` makes, which gets to know the relay.
    ///
    /// # Errors
    /// There is no such link, one of the services has its name already, or they are not understood.
    pub fn join(
        &self,
        request: &JoinRequest,
        observer: impl FnOnce(&str) -> Arc<dyn Observer<AgentEvent>>,
    ) -> Result<JoinedServices, ManagerError> {
        let services: Result<Vec<ManagedService>, String> =
            request.services.iter().map(managed_service).collect();
        let services = services.map_err(ManagerError::BadService)?;
        let link = self.0.shared(request)?;
        let known = link.services();
        if let Some(used) =
            services.iter().find(|new| known.iter().any(|known| known.spec.name == new.spec.name))
        {
            return Err(ManagerError::ServiceInUse(used.spec.name.to_string()));
        }
        let names: Vec<_> = services.iter().map(|service| service.spec.name.clone()).collect();
        let relay = link.settings().link.relay.as_ref().map(ToString::to_string).unwrap_or_default();
        let observer = observer(&relay);
        let follower = Follower::new(names.iter().map(ToString::to_string).collect(), observer);
        let joined = JoinedServices {
            inner: Arc::clone(&self.0),
            link: link.name().to_owned(),
            names,
            follower: Arc::new(follower),
        };
        // Before the services, so that it misses nothing.
        link.observer.follow(Arc::clone(&joined.follower));
        for service in services {
            // What was added before is withdrawn with `joined`.
            link.put_service(service.added())?;
        }
        Ok(joined)
    }
}

impl Inner {
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

impl Drop for JoinedServices {
    fn drop(&mut self) {
        // The link may be another one by now, of the same name.
        let Some(link) = self.inner.link(&self.link) else { return };
        link.observer.unfollow(&self.follower);
        self.names.iter().for_each(|name| self.inner.unbind(&link, name));
    }
}
