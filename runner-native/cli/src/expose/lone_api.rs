//! `expose --api`: the agent of one terminal, with the API of a manager beside it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hvym_tunnel_agent::event::AgentStatus;
use hvym_tunnel_agent::{AgentError, AgentEvent, AgentHandle, ConflictPolicy, RelayUrl, Signer};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_manager::api::{ApiHooks, ApiServer};
use hvym_tunnel_manager::settings::{ApiSettings, ManagedLinkSettings, ManagedService, ManagerSettings};
use hvym_tunnel_manager::{TunnelManager, places};
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::runtime::RuntimeHandle;

use super::ExposeOptions;
use crate::exit::{Exit, ExitError};
use crate::manager::announce_beside;
use crate::report::Reporter;
use crate::run_agent::Running;

/// The name of the only link.
const LINK: &str = "relay";

/// An agent, and the API by which it is seen, stopped and started again.
pub(super) struct LoneApi {
    manager: TunnelManager,
    server: ApiServer,
    /// The agent of now. One that is started again by the API is another one.
    agent: Mutex<Arc<AgentHandle>>,
}

impl LoneApi {
    /// Starts both.
    ///
    /// # Errors
    /// The API cannot listen, or the agent cannot start.
    pub(super) async fn start(
        at: SocketAddr,
        signer: &Signer,
        options: &ExposeOptions,
        (relay, address): (Option<RelayUrl>, Option<Address>),
        observer: Arc<dyn Observer<AgentEvent>>,
        reporter: &Reporter,
    ) -> Result<Self, ExitError> {
        let token_file = places::token_file().ok_or_else(|| {
            ExitError::new(Exit::Config, "there is no home folder for the token of the API")
        })?;
        let mut link = options.link.clone();
        (link.relay, link.relay_address) = (relay, address.or(link.relay_address));
        let link = ManagedLinkSettings {
            name: LINK.to_owned(),
            signer: signer.clone(),
            link,
            compat: options.compat.clone(),
            known_relays: options.known_relays.clone(),
            names: options.names.clone(),
            has_own_relay: options.link.relay.is_none(),
            process_label: options.process_label.clone(),
            auto_start: false,
            // The process ends with its agent.
            conflict: ConflictPolicy::StopIfLast,
            observer: Some(observer),
            services: options.services.iter().cloned().map(ManagedService::new).collect(),
        };
        let settings = ManagerSettings { links: vec![link], ..ManagerSettings::default() };
        let runtime = RuntimeHandle::current();
        let manager = TunnelManager::start(settings, &runtime)?;
        let api = ApiSettings { listen: vec![at], ..ApiSettings::new(at.port(), token_file) };
        let server = ApiServer::start(&api, manager.clone(), ApiHooks::default(), &runtime)?;
        announce_beside(&api, &server, reporter)?;
        manager.start_links(Some(LINK)).await?;
        let agent = manager.agent(LINK).await.ok_or(AgentError::Closed)?;
        Ok(Self { manager, server, agent: Mutex::new(agent) })
    }

    /// The agent of now.
    pub(super) fn agent(&self) -> Arc<AgentHandle> {
        Arc::clone(&self.agent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the API; the agent has ended.
    pub(super) async fn end(self) {
        self.server.shutdown().await;
        self.manager.shutdown(Duration::ZERO).await;
    }
}

impl Running for LoneApi {
    fn status(&self) -> AgentStatus {
        self.agent().status()
    }

    fn drain(&self, deadline: Duration) {
        self.agent().drain(deadline);
    }

    fn stop(&self) {
        self.agent().stop();
    }

    /// Waits until it has ended, and nobody started it again.
    async fn closed(&self) -> Result<(), AgentError> {
        loop {
            let agent = self.agent();
            let outcome = agent.closed().await;
            match self.manager.agent(LINK).await.filter(|next| !Arc::ptr_eq(next, &agent)) {
                Some(next) => *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = next,
                None => return outcome,
            }
        }
    }
}
