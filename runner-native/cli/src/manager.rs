//! `manager`: links and services that run until a person ends them, and the API by which they are watched and changed.

mod file;
mod stored;

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use hvym_tunnel_agent::Signer;
use hvym_tunnel_agent::settings::{CompatSettings, LinkSettings};
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_manager::api::{ApiError, ApiServer};
use hvym_tunnel_manager::health::CheckTiming;
use hvym_tunnel_manager::settings::{
    ApiSettings, Hook, ManagedLinkSettings, ManagedService, ManagerPolicy, ManagerSettings,
};
use hvym_tunnel_manager::settings_store::SettingsStore;
use hvym_tunnel_manager::{ManagerError, TunnelManager};
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_settings::{FileWatcher, Settings};
use serde_json::json;

use crate::agent_reports::{AgentKind, AgentReports, Subject};
use crate::args;
use crate::embedded::{self, Embedded, OwnRelay};
use crate::exit::{Exit, ExitError};
use crate::report::{Report, Reporter};
use crate::signals::{DRAIN_LIMIT, ReloadSignals, StopSignals};
use crate::supervisor;
use crate::up::settled;
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
    /// Names to ask the relay for.
    pub(crate) names: Vec<String>,
    /// The services at the start.
    pub(crate) services: Vec<ManagedService>,
    /// When connections are checked.
    pub(crate) checks: CheckTiming,
    /// What is run when services can be reached.
    pub(crate) hooks: Vec<Hook>,
    /// The API.
    pub(crate) api: ApiSettings,
    /// What the file and variables say of the logs.
    pub(crate) logs: Settings,
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
        Ok(Some(own))
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
            process_label: None,
            auto_start: true,
            observer: Some(Arc::new(AgentReports::new(reporter.clone(), subject))),
            services: self.services.clone(),
        };
        ManagerSettings {
            links: relay.is_some().then_some(link).into_iter().collect(),
            policy: ManagerPolicy {
                checks: self.checks,
                hooks: self.hooks.clone(),
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
    reporter: Reporter,
    signals: StopSignals,
) -> Result<(), ExitError> {
    reporter.open_log_files(&options.logs);
    let own = options.embedded(signer.address(), &reporter)?;
    let settings = options.settings(signer, &reporter);
    let outcome = serve(settings, Some(options.api), None, reporter, signals).await;
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
    reporter: Reporter,
    signals: StopSignals,
) -> Result<(), ExitError> {
    file.open_log_files();
    let (settings, api) = (file.manager(), file.api()?);
    serve(settings, api, Some(Arc::new(file)), reporter, signals).await
}

/// Runs until a person ends it: the first signal finishes what is under way, the second does not.
async fn serve(
    settings: ManagerSettings,
    api: Option<ApiSettings>,
    file: Option<Arc<SettingsFile>>,
    reporter: Reporter,
    mut signals: StopSignals,
) -> Result<(), ExitError> {
    let runtime = RuntimeHandle::current();
    let manager = TunnelManager::start(settings, &runtime)?;
    let store = file.clone().map(|file| -> Arc<dyn SettingsStore> {
        Arc::new(StoredSettings::new(file, manager.clone(), runtime.clone()))
    });
    let server = match &api {
        Some(settings) => {
            let server = ApiServer::start(settings, manager.clone(), store.clone(), &runtime)?;
            announce(settings, &server, &reporter)?;
            Some(server)
        }
        None => None,
    };
    supervisor::ready();
    let mut reloads = ReloadSignals::new().ok();
    let watcher = file.and_then(|file| {
        let watcher = FileWatcher::new(file.path());
        watcher.map_err(|error| tracing::info!(%error, "only SIGHUP reloads")).ok()
    });
    while let Either::Right(_) =
        select(pin!(signals.next()), pin!(wants_reload(reloads.as_mut(), watcher.as_ref()))).await
    {
        if let Some(store) = store.clone() {
            // What is wrong with the file was told; it is read on a thread that may wait.
            let _told = smol::unblock(move || store.reload()).await;
        }
    }
    supervisor::stopping();
    let ended = Box::pin(async {
        if let Some(server) = server {
            server.shutdown().await;
        }
        manager.shutdown(DRAIN_LIMIT).await;
    });
    match select(ended, Box::pin(signals.next())).await {
        Either::Left(_) => reporter.tell(&Report::Stopped { reason: "as asked".to_owned() }),
        Either::Right(_) => tracing::info!("asked a second time: what is under way is cut off"),
    }
    Ok(())
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

/// Says where the API listens.
fn announce(settings: &ApiSettings, api: &ApiServer, reporter: &Reporter) -> Result<(), ExitError> {
    let url = api.addresses().first().map(|address| format!("http://{address}"));
    let socket = settings.socket.as_ref().map(|path| path.display().to_string());
    if reporter.is_json() {
        let token_file = settings.token_file.display().to_string();
        let event = json!({ "event": "api", "url": url, "socket": socket, "token_file": token_file });
        return args::write_out(format!("{event}\n").as_bytes());
    }
    match url.or(socket) {
        Some(place) => args::write_out(format!("{place}\n").as_bytes()),
        None => Ok(()),
    }
}

impl From<ApiError> for ExitError {
    fn from(error: ApiError) -> ExitError {
        let hint = match &error {
            ApiError::Listen { is_taken: true, .. } => {
                "a manager may run already: see hvym-tunnel status, or choose --api-port 0 and another --api-socket"
            }
            ApiError::Listen { .. } => "choose another --api-port or --api-socket",
            ApiError::Token { .. } => "it must be a file that you alone can read (chmod 600), or none yet",
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
