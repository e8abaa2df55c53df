//! One link of a manager: an agent that is started, stopped and started again, and its services.

mod follower;
mod observer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hvym_tunnel_agent::event::{AgentStatus, LinkState};
use hvym_tunnel_agent::settings::CompatSystem;
use hvym_tunnel_agent::{
    Agent, AgentBuilder, AgentError, AgentHandle, AgentView, ConflictPolicy, ServiceName,
};
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

pub(crate) use self::follower::{Follower, Interest};
pub(crate) use self::observer::LinkObserver;
use crate::context::LinkContext;
use crate::settings::{ManagedLinkSettings, ManagedService};
use crate::shapes::TunnelState;

/// How often a link that takes another's place is looked at.
const CONNECTED_POLL: Duration = Duration::from_millis(50);

/// A link, whether it runs or not.
pub(crate) struct ManagedLink {
    settings: ManagedLinkSettings,
    services: Mutex<Vec<ManagedService>>,
    running: Mutex<Option<Arc<AgentHandle>>>,
    /// Held while it is started or stopped, so that of two who ask the second finds what the first made.
    serial: smol::lock::Mutex<()>,
    wanted: AtomicBool,
    pub(crate) observer: Arc<LinkObserver>,
    context: LinkContext,
}

impl ManagedLink {
    /// A link that is not started yet, and whether it is to be.
    pub(crate) fn new(settings: ManagedLinkSettings, is_wanted: bool, context: LinkContext) -> Arc<Self> {
        let observer = LinkObserver::new(settings.name.clone(), settings.observer.clone(), context.clone());
        let conflict = settings.conflict;
        let services = settings.services.iter().cloned().map(|service| kept(service, conflict)).collect();
        Arc::new(Self {
            wanted: AtomicBool::new(is_wanted),
            services: Mutex::new(services),
            running: Mutex::default(),
            serial: smol::lock::Mutex::new(()),
            observer: Arc::new(observer),
            settings,
            context,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(crate) fn settings(&self) -> &ManagedLinkSettings {
        &self.settings
    }

    /// Whether somebody wants it to run.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Whether its relay is a server of CloudToLocalLLM.
    pub(crate) fn is_cloud(&self) -> bool {
        self.settings.compat.as_ref().is_some_and(|compat| compat.system == CompatSystem::CloudLlm)
    }

    pub(crate) fn services(&self) -> Vec<ManagedService> {
        self.lock_services().clone()
    }

    /// A look at its agent, if there is one.
    pub(crate) fn view(&self) -> Option<AgentView> {
        self.handle().map(|handle| handle.view())
    }

    /// How its agent stands, if there is one.
    pub(crate) fn status(&self) -> Option<AgentStatus> {
        self.handle().map(|handle| handle.status())
    }

    /// Its state in one word.
    pub(crate) fn state(&self, status: Option<&AgentStatus>) -> TunnelState {
        match status.map(|status| status.link) {
            None if !self.is_wanted() => TunnelState::Disconnected,
            None if self.observer.activity().last_error.is_some() => TunnelState::Error,
            // It is about to be dialled.
            None => TunnelState::Connecting,
            Some(LinkState::Online) => TunnelState::Connected,
            Some(LinkState::Authenticating) => TunnelState::Authenticating,
            Some(_) if self.observer.has_failed() => TunnelState::Reconnecting,
            Some(_) => TunnelState::Connecting,
        }
    }

    /// Starts it, unless it runs. `false`: it did already.
    ///
    /// # Errors
    /// Its settings make no sense, or a file that they name cannot be used.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<bool, AgentError> {
        let _serial = self.serial.lock().await;
        self.start_now()
    }

    /// With [`Self::serial`] held.
    fn start_now(self: &Arc<Self>) -> Result<bool, AgentError> {
        self.wanted.store(true, Ordering::Relaxed);
        if self.handle().is_some() {
            return Ok(false);
        }
        self.observer.begin();
        let started = self.builder().start(&self.context.runtime);
        let handle = Arc::new(started.inspect_err(|error| self.observer.end(Some(error.to_string())))?);
        *self.lock_running() = Some(Arc::clone(&handle));
        let inspection = self.context.inspector.as_ref().map(|make| handle.inspect(make()));
        let (link, _inside) = (Arc::clone(self), self.context.runtime.enter());
        spawn(async move {
            let outcome = handle.closed().await;
            drop(inspection);
            link.ended(&handle, outcome.err().map(|error| error.to_string()));
        })
        .detach();
        self.context.notify();
        Ok(true)
    }

    /// Stops it: what is under way may take `limit`. `false`: it did not run.
    pub(crate) async fn stop(&self, limit: Duration) -> bool {
        let _serial = self.serial.lock().await;
        self.stop_now(limit).await
    }

    /// Stops it, if it runs, and starts it. Nobody finds it stopped in between.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub(crate) async fn restart(self: &Arc<Self>, limit: Duration) -> Result<bool, AgentError> {
        let _serial = self.serial.lock().await;
        self.stop_now(limit).await;
        self.start_now()
    }

    /// Its agent, once nobody starts or stops it any more.
    pub(crate) async fn agent(&self) -> Option<Arc<AgentHandle>> {
        let _serial = self.serial.lock().await;
        self.handle()
    }

    /// With [`Self::serial`] held.
    async fn stop_now(&self, limit: Duration) -> bool {
        self.wanted.store(false, Ordering::Relaxed);
        let Some(handle) = self.handle() else {
            self.observer.end(None);
            return false;
        };
        handle.drain(limit);
        let _outcome = handle.closed().await;
        self.ended(&handle, None);
        true
    }

    /// Waits until visitors can come, `limit` at most.
    pub(crate) async fn connected(&self, limit: Duration) {
        let connected = async {
            while self.status().is_none_or(|status| status.link != LinkState::Online) {
                Timer::after(CONNECTED_POLL).await;
            }
        };
        within(limit, connected).await;
    }

    /// Adds a service, or replaces the one of its name. `false`: it was replaced. No other service notices.
    ///
    /// # Errors
    /// Its settings contradict each other, or the relay does not have what it needs.
    pub(crate) fn put_service(&self, service: ManagedService) -> Result<bool, AgentError> {
        let service = kept(service, self.settings.conflict);
        service.spec.check()?;
        let mut services = self.lock_services();
        let known = services.iter().position(|known| known.spec.name == service.spec.name);
        if let Some(handle) = self.handle() {
            match known {
                Some(_) => handle.update_service(service.spec.clone())?,
                None => handle.add_service(service.spec.clone())?,
            }
        }
        match known {
            Some(at) => services[at] = service,
            None => services.push(service),
        }
        self.context.notify();
        Ok(known.is_none())
    }

    /// Removes a service. `false`: there is none of this name.
    pub(crate) fn remove_service(&self, name: &ServiceName) -> bool {
        let mut services = self.lock_services();
        let before = services.len();
        services.retain(|service| service.spec.name != *name);
        let is_removed = services.len() < before;
        if is_removed {
            if let Some(handle) = self.handle() {
                // An agent that has ended has no service any more either.
                let _gone = handle.remove_service(name);
            }
            self.observer.forget_service(name.as_str());
            self.context.notify();
        }
        is_removed
    }

    fn builder(&self) -> AgentBuilder {
        let ManagedLinkSettings { signer, link, compat, known_relays, names, process_label, .. } =
            &self.settings;
        let builder = Agent::builder(signer.clone())
            .link(link.clone())
            .known_relays(known_relays.clone())
            .observer(Arc::clone(&self.observer) as _)
            // Events are observed; nobody reads the channel.
            .event_capacity(1);
        let builder =
            self.services().into_iter().fold(builder, |builder, service| builder.service(service.spec));
        let builder = names.iter().fold(builder, |builder, name| builder.name(name.clone()));
        let builder = match process_label {
            Some(label) => builder.process_label(label),
            None => builder,
        };
        match compat {
            Some(compat) => builder.compat(compat.clone()),
            None => builder,
        }
    }

    /// `handle` has ended.
    fn ended(&self, handle: &Arc<AgentHandle>, error: Option<String>) {
        let mut running = self.lock_running();
        if running.as_ref().is_some_and(|running| Arc::ptr_eq(running, handle)) {
            *running = None;
            drop(running);
            self.observer.end(error);
        }
    }

    fn handle(&self) -> Option<Arc<AgentHandle>> {
        self.lock_running().clone()
    }

    fn lock_running(&self) -> MutexGuard<'_, Option<Arc<AgentHandle>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_services(&self) -> MutexGuard<'_, Vec<ManagedService>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a refusal means is the same for all services of a link.
fn kept(mut service: ManagedService, conflict: ConflictPolicy) -> ManagedService {
    service.spec.conflict = conflict;
    service
}
