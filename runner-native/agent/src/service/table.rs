//! The services of an agent by name. Changing one touches no stream of another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_tunnel_net::target::ServiceName;

use super::LocalService;
use crate::error::AgentError;
use crate::settings::SettingsError;
use crate::shutdown::Drain;
use crate::spec::ServiceSpec;

/// The services in the order they were given; an agent has a handful.
pub(crate) struct ServiceTable {
    services: Mutex<Vec<Arc<LocalService>>>,
    /// Counts the streams of all services.
    drain: Drain,
}

impl ServiceTable {
    /// A table with these services.
    ///
    /// # Errors
    /// As for [`LocalService::open`], or two of one name.
    pub(crate) fn new(specs: Vec<ServiceSpec>) -> Result<Self, AgentError> {
        let table = Self { services: Mutex::default(), drain: Drain::new() };
        specs.into_iter().try_for_each(|spec| table.add(spec).map(drop))?;
        Ok(table)
    }

    /// Adds a service.
    ///
    /// # Errors
    /// As for [`LocalService::open`], or the name is in use.
    pub(crate) fn add(&self, spec: ServiceSpec) -> Result<Arc<ServiceSpec>, AgentError> {
        let service = Arc::new(LocalService::open(spec, self.drain.child())?);
        let (mut services, spec) = (self.lock(), Arc::clone(&service.spec));
        if services.iter().any(|known| known.spec.name == spec.name) {
            return Err(SettingsError::DuplicateService(spec.name.clone()).into());
        }
        services.push(service);
        Ok(spec)
    }

    /// Replaces the service of the same name. Streams of the old one finish as they began.
    ///
    /// # Errors
    /// As for [`LocalService::open`], or there is none.
    pub(crate) fn update(&self, spec: ServiceSpec) -> Result<Arc<ServiceSpec>, AgentError> {
        let service = Arc::new(LocalService::open(spec, self.drain.child())?);
        let spec = Arc::clone(&service.spec);
        let mut services = self.lock();
        let known = services.iter_mut().find(|known| known.spec.name == spec.name);
        let known = known.ok_or_else(|| AgentError::UnknownService(spec.name.clone()))?;
        std::mem::replace(known, service).begin_drain();
        Ok(spec)
    }

    /// Removes a service. Its streams are asked to finish between two requests.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn remove(&self, name: &ServiceName) -> Result<(), AgentError> {
        let mut services = self.lock();
        let at = services.iter().position(|known| known.spec.name == *name);
        let at = at.ok_or_else(|| AgentError::UnknownService(name.clone()))?;
        services.remove(at).begin_drain();
        Ok(())
    }

    /// The service of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<LocalService>> {
        self.lock().iter().find(|service| service.spec.name.as_str() == name).cloned()
    }

    /// All services.
    pub(crate) fn all(&self) -> Vec<Arc<LocalService>> {
        self.lock().clone()
    }

    /// All settings.
    pub(crate) fn specs(&self) -> Vec<Arc<ServiceSpec>> {
        self.lock().iter().map(|service| Arc::clone(&service.spec)).collect()
    }

    /// The streams of all services.
    pub(crate) fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Asks all streams to finish between two requests.
    pub(crate) fn begin_drain(&self) {
        self.lock().iter().for_each(|service| service.begin_drain());
        self.drain.begin();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<LocalService>>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
