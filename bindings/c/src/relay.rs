//! A running relay and its events.

use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_json::{relay, relay_options};
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_relay as library;
use hvym_tunnel_relay::RelayHandle;

use crate::error::Error;
use crate::event_queue::{EventQueue, Wait};
use crate::identity::Identity;
use crate::running::Running;
use crate::runtime;

/// A running relay.
pub struct Relay {
    // The queue is dropped first: no callback runs after the relay is gone. The threads are dropped last.
    events: EventQueue,
    handle: RelayHandle,
    runtime: Arc<Runtime>,
}

impl Relay {
    pub(crate) fn start(identity: &Identity, options: &str) -> Result<Self, Error> {
        let options = relay_options::parse(options).map_err(Error::invalid)?;
        let builder = library::Relay::builder(Arc::clone(&identity.key)).options(options);
        let runtime = runtime::shared()?;
        let handle = builder.start(runtime.handle()).map_err(|error| Error::from(&error))?;
        let events = EventQueue::start(&runtime, handle.events(), relay::event)?;
        Ok(Self { events, handle, runtime })
    }

    /// Where agents dial.
    pub(crate) fn agent_url(&self) -> String {
        self.handle.urls().1
    }

    pub(crate) fn apply(&self, options: &str) -> Result<(), Error> {
        let options = relay_options::parse(options).map_err(Error::invalid)?;
        self.handle.apply(options).map(drop).map_err(|error| Error::from(&error))
    }
}

impl Running for Relay {
    fn events(&self) -> &EventQueue {
        &self.events
    }

    fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    fn status(&self) -> String {
        relay::status(&self.handle).to_string()
    }

    fn drain(&self, deadline: Duration) {
        self.handle.drain(deadline);
    }

    fn stop(&self) {
        self.handle.stop();
    }

    fn closed(&self, wait: Wait) -> Result<bool, Error> {
        Ok(wait.block_on(&self.runtime, self.handle.closed()).is_some())
    }
}
