//! A running agent, as JavaScript holds it.

use std::sync::Arc;

use hvym_tunnel_agent::{self as agent, AgentError, AgentHandle};
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::target::ServiceName;
use napi_derive::napi;

use crate::error::{Error, guarded, new, of_agent};
use crate::event;
use crate::event_forwarder::{EventForwarder, OnEvent};
use crate::runtime;
use crate::spec::{AgentOptions, ServiceOptions};

/// Events of the library that wait for a reader. Nobody reads them: an observer sees every one.
const UNREAD_EVENTS: usize = 1;

/// A running agent. Its function for events keeps it; when the environment of that is torn down, it ends.
#[napi]
pub struct Agent {
    handle: Arc<AgentHandle>,
    events: Arc<EventForwarder>,
}

#[napi]
impl Agent {
    /// Dials at once. `on_event` hears each event as JSON, and the kind `end` last; it must not throw.
    ///
    /// # Errors
    /// What is wrong with the options, or with a service.
    #[napi(constructor)]
    pub fn new(
        options: AgentOptions,
        services: Vec<ServiceOptions>,
        on_event: OnEvent,
    ) -> Result<Self, Error> {
        guarded(|| {
            let (link, identity) = options.parsed()?;
            let events = Arc::new(EventForwarder::new(on_event));
            let observer: Arc<dyn Observer<_>> = Arc::clone(&events) as _;
            let mut builder =
                agent::Agent::builder(identity).link(link).observer(observer).event_capacity(UNREAD_EVENTS);
            for service in services {
                builder = builder.service(service.parsed()?);
            }
            let runtime = runtime::shared()?;
            let handle = Arc::new(builder.start(&runtime).map_err(|error| of_agent(&error))?);
            let (ending, last) = (Arc::clone(&handle), Arc::clone(&events));
            let end = async move { last.end(&event::end(ending.closed().await)).await };
            runtime.spawn(end).detach();
            Ok(Self { handle, events })
        })
    }

    /// Who the relay is, where the bare address leads, and where each service is reached, as JSON.
    ///
    /// # Errors
    /// A fault of this module.
    #[napi]
    pub fn status(&self) -> Result<String, Error> {
        guarded(|| Ok(event::status(&self.handle.status()).to_string()))
    }

    /// Offers a service, in place of one that has its name.
    ///
    /// # Errors
    /// What is wrong with it, or the agent has ended.
    #[napi]
    pub fn bind(&self, service: ServiceOptions) -> Result<(), Error> {
        guarded(|| {
            let spec = service.parsed()?;
            // Withdrawn first, so that an event tells of the relay's answer to this one.
            self.withdraw(&spec.name)?;
            self.handle.add_service(spec).map_err(|error| of_agent(&error))
        })
    }

    /// Withdraws a service, if there is one of this name.
    ///
    /// # Errors
    /// The agent has ended.
    #[napi]
    pub fn unbind(&self, name: String) -> Result<(), Error> {
        guarded(|| {
            let name = name.parse().map_err(|error| new("bad_service", error))?;
            self.withdraw(&name)
        })
    }

    /// Whether each stream to a service is told as an event.
    ///
    /// # Errors
    /// A fault of this module.
    #[napi]
    pub fn tell_streams(&self, is_wanted: bool) -> Result<(), Error> {
        guarded(|| {
            self.events.tell_streams(is_wanted);
            Ok(())
        })
    }

    /// Checks the link, or dials at once if there is none.
    ///
    /// # Errors
    /// A fault of this module.
    #[napi]
    pub fn wake(&self) -> Result<(), Error> {
        guarded(|| {
            self.handle.wake();
            Ok(())
        })
    }

    /// Ends at once.
    ///
    /// # Errors
    /// A fault of this module.
    #[napi]
    pub fn stop(&self) -> Result<(), Error> {
        guarded(|| {
            self.handle.stop();
            Ok(())
        })
    }

    fn withdraw(&self, name: &ServiceName) -> Result<(), Error> {
        match self.handle.remove_service(name) {
            Ok(()) | Err(AgentError::UnknownService(_)) => Ok(()),
            Err(error) => Err(of_agent(&error)),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.handle.stop();
    }
}
