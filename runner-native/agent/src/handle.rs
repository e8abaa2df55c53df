//! What the owner of a running agent holds: its events, its status, its services, and its end.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hvym_tunnel_core::agent::Agent as AgentMachine;
use hvym_tunnel_core::dialect::MUX_YAMUX;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::target::ServiceName;
use smol::channel::{Receiver, Sender};

use crate::error::AgentError;
use crate::event::{AgentEvent, AgentStatus};
use crate::event_sink::{AgentEvents, Inspection};
use crate::runner::Shared;
use crate::settings::{CompatError, Feature, needed_feature};
use crate::spec::ServiceSpec;
use crate::view::AgentView;

/// How the agent ended, once it has.
#[derive(Default)]
pub(crate) struct Outcome(Mutex<Option<Result<(), AgentError>>>);

impl Outcome {
    pub(crate) fn set(&self, outcome: Result<(), AgentError>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// A task that was dropped with its runtime leaves none.
    fn get(&self) -> Result<(), AgentError> {
        let outcome = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outcome.unwrap_or(Err(AgentError::Closed))
    }
}

/// What the handles of agents and of forwards have in common.
pub(crate) struct AgentControl {
    pub(crate) shared: Shared,
    pub(crate) address: Address,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) events: AgentEvents,
    /// A deadline asks to drain, closing the channel to stop.
    pub(crate) commands: Sender<Duration>,
    pub(crate) outcome: Arc<Outcome>,
    /// Closed after the end.
    pub(crate) ended: Receiver<Infallible>,
}

impl AgentControl {
    pub(crate) fn status(&self) -> AgentStatus {
        let (link, endpoint, was_online, services) = self.shared.update(|status, now| {
            let endpoint = status.endpoint().cloned();
            (status.link_state(now), endpoint, status.was_online(), status.service_statuses())
        });
        AgentStatus {
            address: self.address,
            link,
            relay: endpoint.as_ref().and_then(|endpoint| endpoint.relay.filter(|_| endpoint.is_proven)),
            url: endpoint.map(|endpoint| endpoint.url),
            was_online,
            services,
            streams: self.shared.table.drain().running(),
            lagged: self.events.lagged(),
            listen: self.listen,
        }
    }

    pub(crate) fn drain(&self, deadline: Duration) {
        // If the channel is full, the same was asked for before.
        let _asked_already = self.commands.try_send(deadline);
    }

    pub(crate) fn stop(&self) {
        self.commands.close();
    }

    pub(crate) async fn closed(&self) -> Result<(), AgentError> {
        let _end = self.ended.recv().await;
        self.outcome.get()
    }

    fn check_running(&self) -> Result<(), AgentError> {
        if self.ended.is_closed() || self.commands.is_closed() { Err(AgentError::Closed) } else { Ok(()) }
    }
}

impl Drop for AgentControl {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A running agent. Dropped, the agent closes its link and ends.
pub struct AgentHandle {
    control: AgentControl,
    /// Whether it logged in by a token, and so has one service.
    has_token: bool,
}

impl AgentHandle {
    pub(crate) fn new(control: AgentControl, has_token: bool) -> Self {
        Self { control, has_token }
    }

    /// Who the agent is.
    pub fn address(&self) -> Address {
        self.control.address
    }

    /// The events from the start on; each goes to one reader. They end with the agent. A reader that falls behind by more
    /// than the channel's capacity loses events, which [`AgentEvents::lagged`] counts.
    pub fn events(&self) -> AgentEvents {
        self.control.events.clone()
    }

    /// How things stand now.
    pub fn status(&self) -> AgentStatus {
        self.control.status()
    }

    /// Offers one more service, now and after every reconnection. An event tells whether the relay takes it.
    ///
    /// # Errors
    /// Its settings contradict each other, its name is in use, its files cannot be used, or the agent has ended.
    pub fn add_service(&self, spec: ServiceSpec) -> Result<(), AgentError> {
        self.control.check_running()?;
        if self.has_token {
            return Err(AgentError::Settings(CompatError::Several.into()));
        }
        self.check_protocol(self.control.shared.table.specs().len() + 1, &spec)?;
        let spec = self.control.shared.table.add(spec)?;
        self.bind(spec);
        Ok(())
    }

    /// Replaces the service of the same name. New streams have the new settings; streams of the old ones finish as they
    /// began, and are asked to between two requests. Streams of other services do not notice.
    ///
    /// # Errors
    /// As for [`Self::add_service`], or there is no such service.
    pub fn update_service(&self, spec: ServiceSpec) -> Result<(), AgentError> {
        self.control.check_running()?;
        self.check_protocol(self.control.shared.table.specs().len(), &spec)?;
        let spec = self.control.shared.table.update(spec)?;
        self.bind(spec);
        Ok(())
    }

    /// Withdraws a service: visitors reach it no more, and its streams are asked to finish between two requests.
    ///
    /// # Errors
    /// There is no such service, or the agent has ended.
    pub fn remove_service(&self, name: &ServiceName) -> Result<(), AgentError> {
        self.control.check_running()?;
        let shared = &self.control.shared;
        shared.table.remove(name)?;
        shared.agent.with(|agent, now| agent.unbind(name.as_str(), now));
        shared.update(|status, now| status.remove_service(name.as_str(), now));
        Ok(())
    }

    /// Shows the bytes of all streams, new and open, to `inspector` until the result is dropped.
    pub fn inspect(&self, inspector: Arc<dyn Observer<AgentEvent>>) -> Inspection {
        self.control.shared.sink.inspect(inspector)
    }

    /// A look at the agent for others.
    pub fn view(&self) -> AgentView {
        AgentView::new(self.control.shared.clone())
    }

    /// Checks the link, or dials at once if there is none: for when the network changed in a way that the agent cannot see.
    pub fn wake(&self) {
        self.control.shared.agent.with(|agent, now| agent.network_changed(now));
    }

    /// Asks the agent to finish: it withdraws its services, takes nothing new, and ends when no stream runs any more,
    /// at the latest after `deadline`.
    pub fn drain(&self, deadline: Duration) {
        self.control.drain(deadline);
    }

    /// Asks the agent to end at once; streams are cut off.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why it ended, unless it was asked to.
    pub async fn closed(&self) -> Result<(), AgentError> {
        self.control.closed().await
    }

    /// [`Self::drain`], then [`Self::closed`].
    ///
    /// # Errors
    /// As for [`Self::closed`].
    pub async fn shutdown(self, deadline: Duration) -> Result<(), AgentError> {
        self.drain(deadline);
        self.closed().await
    }

    fn bind(&self, spec: Arc<ServiceSpec>) {
        let (shared, binding) = (&self.control.shared, spec.binding());
        shared.update(|status, _| status.put_service(spec));
        shared.agent.with(|agent, now| agent.bind(binding, now));
    }

    /// Whether the relay that is connected has what `spec` needs beside `count - 1` others.
    fn check_protocol(&self, count: usize, spec: &ServiceSpec) -> Result<(), AgentError> {
        let plane = self.control.shared.agent.look(AgentMachine::plane);
        if self.has_token || plane.is_none_or(|plane| plane.protocol == MUX_YAMUX) {
            return Ok(());
        }
        let several = (count > 1).then_some(Feature::SeveralServices);
        match several.or_else(|| needed_feature(std::iter::once(spec))) {
            Some(feature) => Err(AgentError::Unsupported(feature)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for AgentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentHandle").field("address", &self.control.address).finish_non_exhaustive()
    }
}
