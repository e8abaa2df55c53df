//! A look at a running agent for somebody who does not own it: whether visitors can come, where, and its services.

use std::fmt;

use bytes::Bytes;
use hvym_tunnel_core::agent::Agent as AgentMachine;
use hvym_tunnel_core::dialect::MUX_YAMUX;

use crate::event::{LinkState, ServiceStatus};
use crate::runner::Shared;
use crate::service::{ReplayConnection, ReplayRefusal};

/// A look at one agent. Clones look at the same one, and none of them keeps it running.
#[derive(Clone)]
pub struct AgentView {
    shared: Shared,
}

impl AgentView {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared }
    }

    pub(crate) fn into_shared(self) -> Shared {
        self.shared
    }

    /// Whether the relay leads to services of other identities; `true` before it is known.
    pub fn can_forward(&self) -> bool {
        let plane = self.shared.agent.look(AgentMachine::plane);
        plane.is_none_or(|plane| plane.protocol == MUX_YAMUX)
    }

    /// Whether visitors can come now.
    pub fn is_online(&self) -> bool {
        self.shared.update(|status, now| status.link_state(now)) == LinkState::Online
    }

    /// The services, in the order they were given.
    pub fn services(&self) -> Vec<ServiceStatus> {
        self.shared.update(|status, _| status.service_statuses())
    }

    /// A connection to a service, for a request with this head that its owner sends. `is_caller` is whether another identity
    /// sent the request before: what it said about visitors is left out.
    ///
    /// # Errors
    /// There is no such service, it takes no connections, or it does not answer; or the head is malformed.
    pub async fn connect_for(
        &self,
        service: &str,
        head: &Bytes,
        is_caller: bool,
    ) -> Result<ReplayConnection, ReplayRefusal> {
        let unknown = || ReplayRefusal::UnknownService(service.to_owned());
        let service = self.shared.table.get(service).ok_or_else(unknown)?;
        service.connect_for(head, is_caller).await
    }
}

impl fmt::Debug for AgentView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentView").finish_non_exhaustive()
    }
}
