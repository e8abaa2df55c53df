//! A running agent and its events.

use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_agent::AgentHandle;
use hvym_tunnel_json::{agent, service};
use hvym_tunnel_net::runtime::Runtime;

use crate::error::Error;
use crate::event_queue::{EventQueue, Wait};
use crate::identity::Identity;
use crate::running::Running;
use crate::{runtime, settings};

/// A running agent.
pub struct Agent {
    // The queue is dropped first: no callback runs after the agent is gone. The threads are dropped last.
    events: EventQueue,
    handle: AgentHandle,
    runtime: Arc<Runtime>,
}

impl Agent {
    pub(crate) fn start(identity: &Identity, settings: &str) -> Result<Self, Error> {
        let builder = settings::builder(Arc::clone(&identity.key), settings)?;
        let runtime = runtime::shared()?;
        let handle = builder.start(runtime.handle()).map_err(|error| Error::from(&error))?;
        let events = EventQueue::start(&runtime, handle.events(), agent::event)?;
        Ok(Self { events, handle, runtime })
    }

    /// Where a service is reached, the first if none is named; `None` while the relay has not taken it.
    pub(crate) fn url(&self, name: Option<&str>) -> Result<Option<String>, Error> {
        let services = self.handle.status().services;
        let found = match name {
            None => services.into_iter().next(),
            Some(name) => services.into_iter().find(|service| service.service == name),
        };
        let unknown = || Error::new("unknown_service", "there is no such service");
        found.map(|service| service.url).ok_or_else(unknown)
    }

    pub(crate) fn bind(&self, json: &str, replace: bool) -> Result<(), Error> {
        let spec = service::parse(json).map_err(Error::invalid)?;
        let bound = match replace {
            true => self.handle.update_service(spec),
            false => self.handle.add_service(spec),
        };
        bound.map_err(|error| Error::from(&error))
    }

    pub(crate) fn unbind(&self, name: &str) -> Result<(), Error> {
        let name = name.parse().map_err(Error::invalid)?;
        self.handle.remove_service(&name).map_err(|error| Error::from(&error))
    }
}

impl Running for Agent {
    fn events(&self) -> &EventQueue {
        &self.events
    }

    fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    fn status(&self) -> String {
        agent::status(&self.handle.status()).to_string()
    }

    fn drain(&self, deadline: Duration) {
        self.handle.drain(deadline);
    }

    fn stop(&self) {
        self.handle.stop();
    }

    fn closed(&self, wait: Wait) -> Result<bool, Error> {
        let ended = wait.block_on(&self.runtime, self.handle.closed()).transpose();
        ended.map(|ended| ended.is_some()).map_err(|error| Error::from(&error))
    }
}
