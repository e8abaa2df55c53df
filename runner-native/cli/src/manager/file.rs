//! A manager by the settings file: what the file says as a manager takes it, and its changes while it runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hvym_tunnel_agent::{ConflictPolicy, Identity};
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_manager::alerts::AlertLimits;
use hvym_tunnel_manager::health::CheckTiming;
use hvym_tunnel_manager::places;
use hvym_tunnel_manager::settings::{
    ApiSettings, ApiTlsFiles, DASHBOARD_SERVICE, Hook, HookAction, HookContent, HookKind, HookTrigger,
    ManagedLinkSettings, ManagedService, ManagerPolicy, ManagerSettings, ServiceProbe,
};
use hvym_tunnel_manager::{STOP_LIMIT, TunnelManager};
use hvym_tunnel_net::runtime::{RuntimeHandle, spawn};
use hvym_tunnel_net::target::{ServiceName, Target};
use hvym_tunnel_settings::{
    Change, HookEntry, HookWhen, LinkEntry, Override, ProbeKind, ServiceEntry, Settings, difference, load,
};
use serde_json::{Value, json};
use smol::channel::{Receiver, Sender, bounded};

use crate::agent_reports::{AgentKind, AgentReports, Subject};
use crate::exit::{Exit, ExitError};
use crate::report::{Report, Reporter};
use crate::up::link::{compat, signer, spec};

/// The settings file of a manager, and what it said last.
pub(crate) struct SettingsFile {
    path: PathBuf,
    overrides: Vec<Override>,
    settings: Mutex<Settings>,
    reporter: Reporter,
    /// Says that the API has other settings.
    api: (Sender<()>, Receiver<()>),
}

impl SettingsFile {
    /// The file at `path`, which says `settings` together with `overrides`.
    pub(crate) fn new(
        path: PathBuf,
        overrides: Vec<Override>,
        settings: Settings,
        reporter: Reporter,
    ) -> Self {
        Self { path, overrides, settings: Mutex::new(settings), reporter, api: bounded(1) }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// What is set beside it.
    pub(crate) fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// Keeps from now on what happens, in the files that the settings name.
    pub(crate) fn open_log_files(&self) {
        self.reporter.open_log_files(&self.lock());
    }

    /// What a manager is started with. A link that cannot be used is told, and left out.
    pub(crate) fn manager(&self) -> ManagerSettings {
        let settings = self.lock().clone();
        let links = settings.links.iter().filter(|link| link.enabled);
        let links = links.filter_map(|link| self.link(&settings, link)).collect();
        ManagerSettings {
            links,
            alerts: alert_limits(&settings),
            policy: policy(&settings),
            ..ManagerSettings::default()
        }
    }

    /// The API; `None` if there is to be none.
    ///
    /// # Errors
    /// There is no place for its token.
    pub(crate) fn api(&self) -> Result<Option<ApiSettings>, ExitError> {
        let settings = self.lock();
        let section = &settings.api;
        if !section.enabled {
            return Ok(None);
        }
        let named = section.token_file.as_deref().map(|path| settings.path(path));
        let token_file = named.or_else(places::token_file).ok_or_else(|| {
            ExitError::new(Exit::Config, "there is no home folder for the token of the API")
        })?;
        let mut api = ApiSettings::new(section.port.port(), token_file);
        api.listen = section.listen.iter().map(|ip| (*ip, section.port.port()).into()).collect();
        api.allowed_hosts.clone_from(&section.allowed_hosts);
        api.allowed_origins.clone_from(&section.allowed_origins);
        (api.local_read, api.metrics) = (section.local_read, section.metrics);
        let files = section.tls_cert.as_deref().zip(section.tls_key.as_deref());
        api.tls = files.map(|(certificate, key)| ApiTlsFiles {
            certificate: settings.path(certificate),
            key: settings.path(key),
        });
        api.metrics_interval = Duration::from_secs(section.metrics_interval.get().into());
        api.socket = places::api_socket().filter(|_| cfg!(unix));
        api.owner_socket = owner_socket(&settings);
        Ok(Some(api))
    }

    /// Waits until the API has other settings. Dropping the future loses nothing.
    pub(crate) async fn api_changed(&self) {
        let _changed = self.api.1.recv().await;
    }

    /// Reads the file again, and applies what is different. A mistake changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn reload(&self, manager: &TunnelManager, runtime: &RuntimeHandle) -> Result<String, String> {
        let loaded = load(&self.path, &self.overrides).map_err(|error| {
            let message = error.to_string();
            self.reporter.tell(&Report::ConfigKept { message: message.clone() });
            message
        })?;
        let _inside = runtime.enter();
        let (changes, new) = {
            let mut settings = self.lock();
            let changes = difference(&settings, &loaded.settings);
            *settings = loaded.settings;
            (changes, settings.clone())
        };
        changes.iter().for_each(|change| self.apply(change, &new, manager));
        self.reporter.tell(&Report::ConfigLoaded { changes: Some(changes.len()), restart: Vec::new() });
        Ok(format!("{} changes are applied", changes.len()))
    }

    fn apply(&self, change: &Change, settings: &Settings, manager: &TunnelManager) {
        match change {
            Change::LinkAdded(name) => {
                let link = find(settings, name).and_then(|link| self.link(settings, link));
                let added = link.map_or(Ok(()), |link| manager.add_link(link));
                self.told(name, added.map_err(ExitError::from));
            }
            Change::LinkChanged(name) => {
                let link = find(settings, name).and_then(|link| self.link(settings, link));
                let replaced = link.map_or(Ok(()), |link| manager.replace_link(link));
                self.told(name, replaced.map_err(ExitError::from));
            }
            Change::LinkRemoved(name) => {
                let (manager, name) = (manager.clone(), name.to_string());
                spawn(async move {
                    if let Err(error) = manager.remove_link(&name, STOP_LIMIT).await {
                        tracing::debug!(%error, "a link that goes was not there");
                    }
                })
                .detach();
            }
            Change::ServiceAdded { link, service } | Change::ServiceChanged { link, service } => {
                let entry = settings.services.iter().find(|entry| entry.name == *service);
                let entry = entry.map(|entry| managed_service(entry, settings));
                let bound = entry.map_or(Ok(()), |entry| {
                    manager.bind(Some(link.as_str()), entry?).map(drop).map_err(ExitError::from)
                });
                self.told(link, bound);
            }
            Change::ServiceRemoved { link, service } => {
                self.told(link, manager.unbind(Some(link.as_str()), service).map_err(ExitError::from));
            }
            Change::Health | Change::Hooks | Change::Ui => manager.set_policy(policy(settings)),
            Change::Alerts => {
                manager.set_alert_limits(alert_limits(settings));
                manager.set_policy(policy(settings));
            }
            Change::Log => self.reporter.open_log_files(settings),
            Change::Api { .. } => {
                offer_dashboard(settings, manager);
                // A full channel says so already. The request that asked for it may have come by the API itself.
                let _told = self.api.0.try_send(());
            }
            // Nothing of the others runs here.
            _ => {}
        }
    }

    /// A link as the manager takes it; what is wrong with it is told.
    fn link(&self, settings: &Settings, link: &LinkEntry) -> Option<ManagedLinkSettings> {
        let managed = managed_link(settings, link, &self.reporter);
        managed.map_err(|error| self.told(&link.name, Err(error))).ok()
    }

    fn told(&self, link: &ServiceName, outcome: Result<(), ExitError>) {
        if let Err(ExitError { message, hint, .. }) = outcome {
            self.reporter.tell(&Report::LinkFailed { link: link.to_string(), message, hint });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find<'a>(settings: &'a Settings, name: &ServiceName) -> Option<&'a LinkEntry> {
    settings.links.iter().find(|link| link.name == *name)
}

fn managed_link(
    settings: &Settings,
    link: &LinkEntry,
    reporter: &Reporter,
) -> Result<ManagedLinkSettings, ExitError> {
    let folder = &settings.folder;
    let services = settings.services_of(link).filter(|service| service.enabled);
    let mut services =
        services.map(|entry| managed_service(entry, settings)).collect::<Result<Vec<_>, _>>()?;
    let compat = compat(link, folder)?;
    services.extend(dashboard(settings, link));
    let (signer, known_relays) = match &compat {
        // A token is shown there, and no identity: one for nobody to see need not be kept.
        Some(_) => (Identity::generate()?.into(), None),
        None => signer(link, folder, reporter)?,
    };
    let proto = services.first().map_or(Proto::Http, |service| service.spec.target.proto());
    let subject = Subject {
        address: signer.address(),
        relay: link.relay.to_string(),
        purpose: AgentKind::Expose {
            services: services.iter().map(|service| service.spec.name.to_string()).collect(),
            compat: compat.as_ref().map(|compat| (compat.system, proto)),
        },
    };
    Ok(ManagedLinkSettings {
        name: link.name.to_string(),
        signer,
        link: link.settings(folder),
        compat,
        known_relays,
        names: link.names.clone(),
        has_own_relay: false,
        process_label: None,
        auto_start: link.auto_connect && settings.start.auto_start_tunnel,
        conflict: ConflictPolicy::Stay,
        observer: Some(Arc::new(AgentReports::new(reporter.clone(), subject))),
        services,
    })
}

/// The socket behind the dashboard, if it is offered.
fn owner_socket(settings: &Settings) -> Option<PathBuf> {
    let api = &settings.api;
    let socket = places::api_socket().filter(|_| cfg!(unix) && api.enabled && api.remote)?;
    Some(places::owner_socket(&socket))
}

/// The dashboard as a service of this link, if it is offered there: by an identity, and where no other service has its name.
fn dashboard(settings: &Settings, link: &LinkEntry) -> Option<ManagedService> {
    let is_taken = settings.services_of(link).any(|service| service.name.as_str() == DASHBOARD_SERVICE);
    let is_offered = link.system().is_none() && !is_taken;
    owner_socket(settings).filter(|_| is_offered).map(|socket| ManagedService::dashboard(&socket))
}

/// Offers the dashboard, or no more, on the links that there are. One that comes later has it from the start.
fn offer_dashboard(settings: &Settings, manager: &TunnelManager) {
    for link in settings.links.iter().filter(|link| link.enabled && link.system().is_none()) {
        let name = Some(link.name.as_str());
        let outcome = match dashboard(settings, link) {
            Some(service) => manager.bind(name, service).map(drop),
            None if settings.services_of(link).any(|known| known.name.as_str() == DASHBOARD_SERVICE) => {
                Ok(())
            }
            None => match DASHBOARD_SERVICE.parse() {
                Ok(service) => manager.unbind(name, &service),
                Err(_) => Ok(()),
            },
        };
        if let Err(error) = outcome {
            tracing::debug!(link = %link.name, %error, "the dashboard is not offered there, or was not");
        }
    }
}

fn managed_service(entry: &ServiceEntry, settings: &Settings) -> Result<ManagedService, ExitError> {
    let mut service = ManagedService::new(spec(entry, &settings.folder)?);
    let by_http = || ServiceProbe::Http(entry.probe_path.clone().unwrap_or_else(|| "/".to_owned()));
    service.probe = match entry.probe {
        Some(ProbeKind::None) => ServiceProbe::None,
        Some(ProbeKind::Tcp) => ServiceProbe::Tcp,
        Some(ProbeKind::Http) => by_http(),
        Some(ProbeKind::Ollama) => ServiceProbe::Ollama,
        None if entry.probe_path.is_some() => by_http(),
        None => match (service.probe, &service.spec.target) {
            (ServiceProbe::Tcp, Target::Origin(_) | Target::Socket(_))
                if entry.target.proto() == Proto::Http =>
            {
                by_http()
            }
            (probe, _) => probe,
        },
    };
    service.models.clone_from(&entry.models);
    Ok(service)
}

fn alert_limits(settings: &Settings) -> AlertLimits {
    let section = &settings.alerts;
    AlertLimits {
        max_latency_ms: section.max_latency_ms.get(),
        max_error_rate: section.max_error_rate.get(),
        max_consecutive_failures: section.max_consecutive_failures.get(),
        max_memory_mb: section.max_memory_mb.get(),
        max_cpu_percent: section.max_cpu_percent.get(),
    }
}

fn policy(settings: &Settings) -> ManagerPolicy {
    let (health, alerts) = (&settings.health, &settings.alerts);
    let checks = CheckTiming {
        interval: Duration::from_secs(health.interval.get().into()),
        timeout: health.timeout.seconds(),
        // The first check that fails is one of those that must.
        max_retries: health.max_retries.get().saturating_sub(1),
        retry_delay: health.retry_delay.seconds(),
    };
    let trigger = |when| match when {
        HookWhen::First => HookTrigger::First,
        HookWhen::Changed => HookTrigger::Changed,
        HookWhen::Every => HookTrigger::Every,
    };
    let ready = settings.hooks.ready.iter().filter_map(|entry| hook(entry, trigger(entry.on)));
    let down = settings.hooks.down.iter().filter_map(|entry| hook(entry, HookTrigger::Down));
    let alert = json!({ "kind": "{kind}", "subject": "{subject}", "message": "{message}" });
    let command = alerts.on_alert_command.clone();
    let run = command.map(|command| HookKind::Exec { command, input: Some(alert.clone()) });
    let post = alerts.on_alert_url.as_deref().and_then(|url| post(url, HookContent::Json(alert.clone())));
    ManagerPolicy {
        checks,
        hooks: ready.chain(down).collect(),
        on_alert: run.into_iter().chain(post).map(HookAction::new).collect(),
        reconnect: alerts.reconnect,
        show_notifications: settings.ui.show_notifications,
    }
}

fn hook(entry: &HookEntry, when: HookTrigger) -> Option<Hook> {
    let kind = match (entry.url(), &entry.exec) {
        (_, Some(command)) => HookKind::Exec { command: command.clone(), input: None },
        (Some(url), None) => {
            let object = entry.json.clone().map(|members| {
                members.into_iter().map(|(name, value)| (name, Value::String(value))).collect::<Value>()
            });
            let form = || entry.form().unwrap_or_default().into_iter().collect();
            post(url, object.map_or_else(|| HookContent::Form(form()), HookContent::Json))?
        }
        (None, None) => return None,
    };
    let action = HookAction { kind, timeout: entry.timeout.seconds(), tries: entry.tries.get() };
    Some(Hook { service: entry.service.as_ref().map(ToString::to_string), when, action })
}

/// A POST to a URL, which the settings have checked.
fn post(url: &str, content: HookContent) -> Option<HookKind> {
    let after = url.find("://")? + "://".len();
    let end = url[after..].find('/').map_or(url.len(), |at| after + at);
    let path = if end == url.len() { "/" } else { &url[end..] };
    Some(HookKind::Post { target: url[..end].parse().ok()?, path: path.to_owned(), content })
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_settings::parse;

    use super::*;

    fn settings(text: &str) -> Settings {
        parse(text, std::path::Path::new("/nonexistent/config.toml"), &[]).expect("settings").settings
    }

    #[test]
    fn sections_of_the_file_become_checks_limits_and_hooks() {
        let settings = settings(
            "version = 1\n[health]\ninterval = 60\nmax_retries = 3\n[alerts]\nmax_latency_ms = 100\non_alert_command = [\"notify\"]\n\
             [[hooks.ready]]\n[[hooks.down]]\nexec = [\"bye\", \"{service}\"]\n",
        );
        let policy = policy(&settings);
        assert_eq!((policy.checks.interval, policy.checks.max_retries), (Duration::from_secs(60), 2));
        assert_eq!(alert_limits(&settings).max_latency_ms, 100);
        assert_eq!(policy.hooks.len(), 2);
        assert_eq!(
            (policy.hooks[0].when, &policy.hooks[0].action),
            (HookTrigger::Changed, &HookAction::pintheon())
        );
        assert_eq!(policy.hooks[1].when, HookTrigger::Down);
        assert!(
            matches!(&policy.on_alert[0].kind, HookKind::Exec { command, input: Some(_) } if command == &["notify"])
        );
    }

    #[test]
    fn a_service_is_checked_as_the_file_says_or_as_its_target_suggests() {
        let settings = settings(
            "version = 1\n[[link]]\nrelay = \"tunnel.example\"\n\
             [[service]]\nname = \"a\"\ntarget = \"3000\"\n[[service]]\nname = \"b\"\ntarget = \"11434\"\n\
             [[service]]\nname = \"c\"\ntarget = \"tcp://db:5432\"\n[[service]]\nname = \"d\"\ntarget = \"3000\"\nprobe = \"none\"\n\
             [[service]]\nname = \"e\"\ntarget = \"3000\"\nprobe_path = \"/health\"\nmodels = [\"m\"]\n",
        );
        let services =
            settings.services.iter().map(|entry| managed_service(entry, &settings).expect("a service"));
        let services: Vec<_> = services.collect();
        let probes: Vec<_> = services.iter().map(|service| service.probe.clone()).collect();
        let by_http = |path: &str| ServiceProbe::Http(path.to_owned());
        assert_eq!(
            probes,
            [by_http("/"), ServiceProbe::Ollama, ServiceProbe::Tcp, ServiceProbe::None, by_http("/health")]
        );
        assert_eq!(services[4].models, ["m"]);
    }
}
