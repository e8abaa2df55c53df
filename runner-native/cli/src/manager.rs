//! `manager`: links and services that run until a person ends them, and the API by which they are watched and changed.

mod api;
mod file;
mod joins;
mod state;
mod stored;

use std::future::pending;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use hvym_tunnel_agent::settings::{CompatSettings, LinkSettings};
use hvym_tunnel_agent::{ConflictPolicy, Signer};
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_inspector::{Capture, Inspector};
use hvym_tunnel_manager::api::{ApiError, ApiHooks};
use hvym_tunnel_manager::health::CheckTiming;
use hvym_tunnel_manager::settings::{
    ApiSettings, Hook, ManagedLinkSettings, ManagedService, ManagerPolicy, ManagerSettings,
};
use hvym_tunnel_manager::settings_store::SettingsStore;
use hvym_tunnel_manager::{ManagerError, TunnelManager};
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_settings::{FileWatcher, Settings};

use crate::activation;
use crate::agent_reports::{AgentKind, AgentReports, Subject};
use crate::embedded::{self, Embedded, OwnRelay};
use crate::exit::{Exit, ExitError};
use crate::inspect::{self, InspectOptions};
use crate::report::{Report, Reporter};
use crate::signals::{DRAIN_LIMIT, ReloadSignals, StopSignals};
use crate::supervisor;
use crate::up::settled;
use api::RunningApi;
pub(crate) use api::announce_beside;
pub(crate) use file::SettingsFile;
use stored::StoredSettings;

/// What `manager` does.
pub(crate) struct ManagerOptions {
    /// The name of the link.
    pub(crate) name: String,
    /// The link; without a relay there is one of its own if there is a service.
    pub(crate) link: LinkSettings,
    /// The login at a server of an older system.
    pub(crate) compat: Option<CompatSettings>,
    /// Where identities of relays are kept.
    pub(crate) known_relays: Option<KnownRelays>,
    /// Whether that is the relay of its own, which is started when it runs.
    pub(crate) has_own_relay: bool,
    /// Names to ask the relay for.
    pub(crate) names: Vec<String>,
    /// The services at the start.
    pub(crate) services: Vec<ManagedService>,
    /// When connections are checked.
    pub(crate) checks: CheckTiming,
    /// What is run when services can be reached.
    pub(crate) hooks: Vec<Hook>,
    /// Where requests are shown, if they are.
    pub(crate) inspect: Option<InspectOptions>,
    /// The API.
    pub(crate) api: ApiSettings,
    /// What the file and variables say of the logs and of notifications.
    pub(crate) beside: Settings,
}

impl ManagerOptions {
    /// A relay of its own, if none is named and there is something to expose.
    fn embedded(&mut self, address: Address, reporter: &Reporter) -> Result<Option<Embedded>, ExitError> {
        if self.link.relay.is_some() || self.services.is_empty() {
            return Ok(None);
        }
        let own = embedded::start(OwnRelay::default(), self.link.keepalive, address)?;
        reporter.tell(&Report::OwnRelay { relay: own.url().to_string(), lan: false });
        (self.link.relay, self.link.relay_address) = (Some(own.url()), Some(own.address()));
        self.has_own_relay = true;
        Ok(Some(own))
    }

    /// The dashboard as a service, if it is offered.
    fn dashboard(&self) -> Option<ManagedService> {
        let socket = self.api.owner_socket.as_deref().filter(|_| self.compat.is_none())?;
        Some(ManagedService::dashboard(socket))
    }

    fn settings(&self, signer: Signer, reporter: &Reporter) -> ManagerSettings {
        let relay = self.link.relay.as_ref().map(ToString::to_string);
        let proto = self.services.first().map_or(Proto::Http, |service| service.spec.target.proto());
        let services = self.services.iter().map(|service| service.spec.name.to_string()).collect();
        let purpose =
            AgentKind::Expose { services, compat: self.compat.as_ref().map(|compat| (compat.system, proto)) };
        let subject =
            Subject { address: signer.address(), relay: relay.clone().unwrap_or_default(), purpose };
        let link = ManagedLinkSettings {
            name: self.name.clone(),
            signer,
            link: self.link.clone(),
            compat: self.compat.clone(),
            known_relays: self.known_relays.clone(),
            names: self.names.clone(),
            has_own_relay: self.has_own_relay,
            process_label: None,
            auto_start: true,
            conflict: ConflictPolicy::Stay,
            observer: Some(Arc::new(AgentReports::new(reporter.clone(), subject))),
            services: self.services.iter().cloned().chain(self.dashboard()).collect(),
        };
        ManagerSettings {
            links: relay.is_some().then_some(link).into_iter().collect(),
            policy: ManagerPolicy {
                checks: self.checks,
                hooks: self.hooks.clone(),
                show_notifications: self.beside.ui.show_notifications,
                ..ManagerPolicy::default()
            },
            ..ManagerSettings::default()
        }
    }
}

/// Runs what the command line says.
///
/// # Errors
/// It cannot start.
pub(crate) async fn run(
    signer: Signer,
    mut options: ManagerOptions,
    state_db: Option<PathBuf>,
    reporter: Reporter,
    signals: StopSignals,
) -> Result<(), ExitError> {
    reporter.open_log_files(&options.beside);
    let own = options.embedded(signer.address(), &reporter)?;
    let settings = options.settings(signer, &reporter);
    let start = Start { settings, api: Some(options.api), state_db, inspect: options.inspect };
    let outcome = serve(start, None, reporter, signals).await;
    if let Some(own) = own {
        own.stop().await;
    }
    outcome
}

/// Runs what the settings file says, and follows its changes.
///
/// # Errors
/// It cannot start.
pub(crate) async fn run_file(
    file: SettingsFile,
    state_db: Option<PathBuf>,
    inspect: Option<InspectOptions>,
    reporter: Reporter,
    signals: StopSignals,
) -> Result<(), ExitError> {
    file.open_log_files();
    let start = Start { settings: file.manager(), api: file.api()?, state_db, inspect };
    serve(start, Some(Arc::new(file)), reporter, signals).await
}

/// What a manager is started with.
struct Start {
    settings: ManagerSettings,
    api: Option<ApiSettings>,
    state_db: Option<PathBuf>,
    inspect: Option<InspectOptions>,
}

/// Runs until a person ends it: the first signal finishes what is under way, the second does not.
async fn serve(
    Start { mut settings, api: api_settings, state_db, inspect }: Start,
    file: Option<Arc<SettingsFile>>,
    reporter: Reporter,
    mut signals: StopSignals,
) -> Result<(), ExitError> {
    let runtime = RuntimeHandle::current();
    let sockets = activation::api_sockets()?;
    // Whoever passes the socket listens there.
    let has_socket = sockets.as_ref().is_some_and(|sockets| sockets.has_unix());
    if let Some(socket) = api_settings.as_ref().and_then(|api| api.socket.as_deref()).filter(|_| !has_socket)
    {
        state::refuse_second(socket)?;
    }
    // Before anybody is told that it runs, and may change the file.
    let mut reloads = ReloadSignals::new().ok();
    let watcher = file.as_ref().and_then(|file| {
        let watcher = FileWatcher::new(file.path());
        watcher.map_err(|error| tracing::info!(%error, "only SIGHUP reloads")).ok()
    });
    settings.remembered = state::remembered(state_db, &reporter).await;
    let (manager, _inspector) = inspected(settings, inspect, &reporter)?;
    let store = file.clone().map(|file| -> Arc<dyn SettingsStore> {
        Arc::new(StoredSettings::new(file, manager.clone(), runtime.clone()))
    });
    let hooks = ApiHooks { settings: store.clone(), narrate: Some(joins::narrate()), sockets };
    let mut api = RunningApi::new(manager.clone(), hooks, reporter.clone());
    if let Some(settings) = api_settings {
        api.start(settings)?;
    }
    state::tell_stopped(&manager, &reporter);
    supervisor::ready();
    loop {
        let asked = pin!(wants_reload(reloads.as_mut(), watcher.as_ref()));
        let changed = pin!(api_changed(file.as_deref()));
        match select(pin!(signals.next()), select(asked, changed)).await {
            Either::Left(_) => break,
            Either::Right((Either::Left(_), _)) => {
                if let Some(store) = store.clone() {
                    // What is wrong with the file was told; it is read on a thread that may wait.
                    let _told = smol::unblock(move || store.reload()).await;
                }
            }
            Either::Right((Either::Right((settings, _)), _)) => api.change(settings).await,
        }
    }
    supervisor::stopping();
    let ended = Box::pin(async {
        api.stop().await;
        manager.shutdown(DRAIN_LIMIT).await;
    });
    match select(ended, Box::pin(signals.next())).await {
        Either::Left(_) => reporter.tell(&Report::Stopped { reason: "as asked".to_owned() }),
        Either::Right(_) => tracing::info!("asked a second time: what is under way is cut off"),
    }
    Ok(())
}

/// Starts a manager, and what shows its requests.
fn inspected(
    mut settings: ManagerSettings,
    options: Option<InspectOptions>,
    reporter: &Reporter,
) -> Result<(TunnelManager, Option<Inspector>), ExitError> {
    let Some(options) = options else {
        return Ok((TunnelManager::start(settings, &RuntimeHandle::current())?, None));
    };
    let capture = Capture::new(options.private);
    let kept = Arc::clone(&capture);
    settings.inspector = Some(Arc::new(move || kept.observer()));
    let manager = TunnelManager::start(settings, &RuntimeHandle::current())?;
    let agents = manager.clone();
    let inspector = inspect::serve(options, capture, move || agents.views(), reporter)?;
    Ok((manager, inspector))
}

/// Waits until the settings file has other settings of the API, and says what they are now.
async fn api_changed(file: Option<&SettingsFile>) -> Result<Option<ApiSettings>, ExitError> {
    match file {
        Some(file) => {
            file.api_changed().await;
            file.api()
        }
        None => pending().await,
    }
}

/// Waits until the settings file has changed, or somebody asks by SIGHUP.
async fn wants_reload(signals: Option<&mut ReloadSignals>, watcher: Option<&FileWatcher>) {
    let signal = async {
        match signals {
            Some(signals) => signals.next().await,
            None => pending().await,
        }
    };
    let change = async {
        match watcher {
            Some(watcher) => settled(watcher).await,
            None => pending().await,
        }
    };
    select(pin!(signal), pin!(change)).await;
}

impl From<ApiError> for ExitError {
    fn from(error: ApiError) -> ExitError {
        let hint = match &error {
            ApiError::Listen { is_taken: true, .. } => {
                "a manager may run already: see hvym-tunnel status, or choose --api-port 0 and another --api-socket"
            }
            ApiError::NotLoopback(_) => {
                "name a certificate with --api-tls-cert and --api-tls-key, or tls_cert and tls_key of [api]"
            }
            ApiError::Listen { .. } => "choose another --api-port or --api-socket",
            ApiError::Token { .. } => {
                "it must be a file that you alone can read (chmod 600), or none yet; --api-token-file names another"
            }
            _ => return ExitError::new(Exit::Config, error.to_string()),
        };
        ExitError::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

impl From<ManagerError> for ExitError {
    fn from(error: ManagerError) -> ExitError {
        match error {
            ManagerError::Agent(error) => error.into(),
            error => ExitError::new(Exit::Config, error.to_string()),
        }
    }
}
