//! The services of a manager's links: added, replaced and removed while everything else goes on.

use std::sync::Arc;

use hvym_tunnel_agent::ServiceName;

use super::{Inner, TunnelManager, which};
use crate::definition::managed_service;
use crate::error::ManagerError;
use crate::link::ManagedLink;
use crate::settings::ManagedService;
use crate::shapes::NewService;
use crate::timestamp;

impl TunnelManager {
    /// Adds a service to a link, which must be named if there are several, or replaces the one of its name. `false`: it was
    /// replaced. Streams of other services do not notice.
    ///
    /// # Errors
    /// There is no such link, or its relay does not have what the service needs.
    pub fn bind(&self, link: Option<&str>, service: ManagedService) -> Result<bool, ManagerError> {
        let link = self.0.only(link)?;
        // The settings name it from now on.
        self.0.context.journal.set_service(link.name(), service.spec.name.as_str(), None);
        self.0.bind(&link, service)
    }

    /// The same for a service that no settings name: it is there again after the next start of the manager.
    ///
    /// # Errors
    /// It is not understood, or as for [`Self::bind`].
    pub async fn add_service(&self, service: &NewService) -> Result<bool, ManagerError> {
        let managed = managed_service(service).map_err(ManagerError::BadService)?;
        let link = self.0.only(service.link.as_deref())?;
        let is_new = self.0.bind(&link, managed.added())?;
        let definition = serde_json::to_string(service).ok();
        self.0.context.journal.set_service(link.name(), &service.name, definition);
        self.0.context.journal.flush().await;
        Ok(is_new)
    }

    /// Removes a service, from one link or from the only one that has it.
    ///
    /// # Errors
    /// There is no such link or service, or several links have it.
    pub fn unbind(&self, link: Option<&str>, service: &ServiceName) -> Result<(), ManagerError> {
        let having =
            |link: &Arc<ManagedLink>| link.services().iter().any(|known| known.spec.name == *service);
        let mut links = self.0.select(link)?;
        links.retain(having);
        match &links[..] {
            [] => Err(ManagerError::UnknownService(service.to_string())),
            [link] => {
                self.0.unbind(link, service);
                Ok(())
            }
            several => Err(which(several)),
        }
    }

    /// The same for a person: it is gone after the next start of the manager too, from the end of this on.
    ///
    /// # Errors
    /// As for [`Self::unbind`].
    pub async fn remove_service(
        &self,
        link: Option<&str>,
        service: &ServiceName,
    ) -> Result<(), ManagerError> {
        self.unbind(link, service)?;
        self.0.context.journal.flush().await;
        Ok(())
    }

    /// Forgets where services were reached that are not now.
    pub fn forget_endpoints(&self) -> usize {
        let mut recalled = self.0.lock_recalled();
        let before = recalled.endpoints.len();
        let links = self.0.links();
        let online: Vec<_> = links.iter().filter_map(|link| Some((link.name(), link.status()?))).collect();
        recalled.endpoints.retain(|(link, service), _| {
            let is_reached = online.iter().any(|(name, status)| {
                name == link
                    && status.services.iter().any(|known| known.service == *service && known.url.is_some())
            });
            if !is_reached {
                self.0.context.journal.set_endpoint(link, service, None);
            }
            is_reached
        });
        before - recalled.endpoints.len()
    }
}

impl Inner {
    fn bind(&self, link: &Arc<ManagedLink>, service: ManagedService) -> Result<bool, ManagerError> {
        // Checked anew: it may lead elsewhere.
        self.forget_connection(link.name(), service.spec.name.as_str());
        Ok(link.put_service(service)?)
    }

    /// Nothing is left of it.
    pub(super) fn unbind(&self, link: &Arc<ManagedLink>, service: &ServiceName) {
        link.remove_service(service);
        let (journal, service) = (&self.context.journal, service.as_str());
        journal.set_service(link.name(), service, None);
        journal.set_endpoint(link.name(), service, None);
        self.lock_recalled().endpoints.remove(&(link.name().to_owned(), service.to_owned()));
        self.forget_connection(link.name(), service);
    }

    /// Has it checked as a new one.
    fn forget_connection(&self, link: &str, service: &str) {
        let mut connections = self.lock_connections();
        let is_meant = |connection: &super::Connection| {
            connection.link == link
                && connection.service.as_ref().is_some_and(|name| name.as_str() == service)
        };
        let names: Vec<_> =
            connections.iter().filter(|(_, known)| is_meant(known)).map(|(name, _)| name.clone()).collect();
        for name in names {
            connections.remove(&name);
            self.lock_alerts().remove_subject(&name, timestamp::unix_now());
        }
    }
}
