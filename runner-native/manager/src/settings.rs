//! What a manager is started with: links, services, checks, limits and hooks, as plain values.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_agent::settings::{CompatSettings, LinkSettings};
use hvym_tunnel_agent::{AgentEvent, ConflictPolicy, ServiceName, ServiceSpec, Signer};
use hvym_tunnel_core::access::{Access, AddressSet};
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::target::Target;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alerts::AlertLimits;
use crate::health::CheckTiming;
use crate::remembered::Remembered;

/// The port of the API, as the Tunnel Manager has it.
pub const API_PORT: u16 = 8765;
/// The name of the service that is the dashboard itself.
pub const DASHBOARD_SERVICE: &str = "manager";
/// Where Ollama listens.
const OLLAMA_PORT: u16 = 11434;

/// A manager.
#[derive(Clone, Default)]
pub struct ManagerSettings {
    /// The links, of which each has a name of its own.
    pub links: Vec<ManagedLinkSettings>,
    /// Beyond what somebody is told.
    pub alerts: AlertLimits,
    /// How all of them are looked after.
    pub policy: ManagerPolicy,
    /// What an earlier process left.
    pub remembered: Remembered,
    /// Makes what sees the bytes of each agent that is started, for as long as it runs.
    pub inspector: Option<MakeInspector>,
}

/// Makes the inspector of one agent.
pub type MakeInspector = Arc<dyn Fn() -> Arc<dyn Observer<AgentEvent>> + Send + Sync>;

/// How links and services are looked after. May change while they run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ManagerPolicy {
    /// When connections are checked.
    pub checks: CheckTiming,
    /// What is run when a service can be reached, or no more.
    pub hooks: Vec<Hook>,
    /// What is run when an alert is raised.
    pub on_alert: Vec<HookAction>,
    /// Whether a link is started anew whose alert lasts.
    pub reconnect: bool,
    /// Whether the desktop of the person, if there is one, shows that links are connected or lost, and alerts.
    pub show_notifications: bool,
}

/// A link to one relay, and what is offered there.
#[derive(Clone)]
pub struct ManagedLinkSettings {
    /// Its name in this process.
    pub name: String,
    /// Who it logs in as.
    pub signer: Signer,
    /// How.
    pub link: LinkSettings,
    /// The login at a server of an older system, in place of one by identity.
    pub compat: Option<CompatSettings>,
    /// Where identities of relays are kept.
    pub known_relays: Option<KnownRelays>,
    /// Names to ask the relay for.
    pub names: Vec<String>,
    /// Whether its relay is one that this process started for it, and that others find here alone.
    pub has_own_relay: bool,
    /// What the relay may know of this process.
    pub process_label: Option<String>,
    /// Whether it is started with the manager.
    pub auto_start: bool,
    /// What it does when the relay does not take a service. With [`ConflictPolicy::Stay`] it waits for others, as in a manager that
    /// a person changes while it runs.
    pub conflict: ConflictPolicy,
    /// Sees all events of its agent.
    pub observer: Option<Arc<dyn Observer<AgentEvent>>>,
    /// Its services.
    pub services: Vec<ManagedService>,
}

/// A service, and how it is checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManagedService {
    /// The service.
    pub spec: ServiceSpec,
    /// How it is checked.
    pub probe: ServiceProbe,
    /// The models that it serves, if it is not asked for them.
    pub models: Vec<String>,
    /// Whether it was added while the manager ran. Such a one stays when its link has other settings.
    pub is_added: bool,
}

impl ManagedService {
    /// Checked as its target suggests.
    pub fn new(spec: ServiceSpec) -> Self {
        let probe = ServiceProbe::for_target(&spec.target);
        Self { spec, probe, models: Vec::new(), is_added: false }
    }

    /// The dashboard of this process, which is served at `socket`, for the owner of a link alone and whom it delegates to.
    ///
    /// # Panics
    /// Never: the name is one.
    pub fn dashboard(socket: &Path) -> Self {
        let name: ServiceName = DASHBOARD_SERVICE.parse().expect("a name of a service");
        let mut spec = ServiceSpec::new(name, Target::Socket(socket.to_owned()));
        spec.access = Access::Private(AddressSet::default());
        // It would be checked by the one whom it is part of.
        Self { spec, probe: ServiceProbe::None, models: Vec::new(), is_added: false }
    }

    /// The same, added while the manager runs.
    pub(crate) fn added(self) -> Self {
        Self { is_added: true, ..self }
    }
}

/// How a service is checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceProbe {
    /// Not at all.
    None,
    /// By a connection.
    Tcp,
    /// By a GET of this path, whose status is below 500.
    Http(String),
    /// As Ollama, whose version and models are kept.
    Ollama,
}

impl ServiceProbe {
    /// What suits a target: a request in somebody's log every half a minute is only made of a service that is known to be there
    /// for it.
    pub fn for_target(target: &Target) -> Self {
        match (target.proto(), target.port()) {
            (Proto::Http, Some(OLLAMA_PORT)) => ServiceProbe::Ollama,
            _ => ServiceProbe::Tcp,
        }
    }
}

/// Something to do when a service can be reached, or no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hook {
    /// Of which service; `None` of all.
    pub service: Option<String>,
    /// When.
    pub when: HookTrigger,
    /// What.
    pub action: HookAction,
}

/// When a hook is run.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookTrigger {
    /// The first time that the service can be reached.
    First,
    /// When it can be reached at another URL than the last time.
    Changed,
    /// Each time that it can be reached.
    Every,
    /// Each time that it can no more.
    Down,
}

/// What a hook does. In its texts `{url}`, `{address}` and `{service}` are replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookAction {
    /// What.
    pub kind: HookKind,
    /// How long it may take.
    pub timeout: Duration,
    /// How often it is tried.
    pub tries: u32,
}

/// The kinds of hooks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HookKind {
    /// Runs a program. No shell reads its words.
    Exec {
        /// Its name and arguments.
        command: Vec<String>,
        /// What it reads on its standard input, as JSON.
        input: Option<serde_json::Value>,
    },
    /// Sends a request.
    Post {
        /// To which local place. A certificate goes unchecked only on this machine.
        target: Target,
        /// The path there.
        path: String,
        /// The content.
        content: HookContent,
    },
}

/// The content of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HookContent {
    /// Fields of a form.
    Form(Vec<(String, String)>),
    /// A JSON document, whose texts are replaced.
    Json(serde_json::Value),
}

impl HookAction {
    /// How long a hook may take, and how often it is tried, unless it says so.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// See [`Self::TIMEOUT`].
    pub const TRIES: u32 = 3;

    /// With the usual time and tries.
    pub fn new(kind: HookKind) -> Self {
        Self { kind, timeout: Self::TIMEOUT, tries: Self::TRIES }
    }

    /// What tells Pintheon on this machine the address of its tunnel.
    ///
    /// # Panics
    /// Never: the target is well formed.
    pub fn pintheon() -> Self {
        Self::new(HookKind::Post {
            target: "https+insecure://127.0.0.1:9999".parse().expect("a target"),
            path: "/update_gateway".to_owned(),
            content: HookContent::Form(vec![("gateway".to_owned(), "{url}".to_owned())]),
        })
    }
}

/// PEM files by which the API speaks TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiTlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Where the API listens, and who may use it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiSettings {
    /// TCP addresses. Those that other machines reach need [`Self::tls`], and there everything needs the token.
    pub listen: Vec<SocketAddr>,
    /// By which it speaks TLS at addresses that other machines reach. At those of this machine it never does.
    pub tls: Option<ApiTlsFiles>,
    /// The Unix socket.
    pub socket: Option<PathBuf>,
    /// The Unix socket behind [`ManagedService::dashboard`], at which agents of this process speak for whom they let in.
    pub owner_socket: Option<PathBuf>,
    /// The file of the token, which is made at the first start.
    pub token_file: PathBuf,
    /// Host names, beside those of this machine, by which requests may come.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may use it; `*` stands for a port.
    pub allowed_origins: Vec<String>,
    /// Whether the five routes of the Tunnel Manager that only read need no token.
    pub local_read: bool,
    /// Whether programs of the same user on this machine may start and stop links by the three routes of the Tunnel Manager without
    /// the token, which they could read anyway. Pages in a browser may not.
    pub local_control: bool,
    /// Whether there is `/metrics`.
    pub metrics: bool,
    /// Between two `metrics_update`s.
    pub metrics_interval: Duration,
}

impl ApiSettings {
    /// On both loopback addresses at `port`; 0 is a free one.
    pub fn new(port: u16, token_file: PathBuf) -> Self {
        Self {
            listen: vec![
                SocketAddr::from(([127, 0, 0, 1], port)),
                SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port)),
            ],
            tls: None,
            socket: None,
            owner_socket: None,
            token_file,
            allowed_hosts: Vec::new(),
            allowed_origins: vec![
                "http://localhost:*".to_owned(),
                "https://app.cloudtolocalllm.online".to_owned(),
            ],
            local_read: true,
            local_control: true,
            metrics: true,
            metrics_interval: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollama_is_known_by_its_port_and_nobody_else_is_asked_for_pages() {
        let of = |target: &str| ServiceProbe::for_target(&target.parse().expect("a target"));
        assert_eq!(of("11434"), ServiceProbe::Ollama);
        assert_eq!(
            (of("3000"), of("tcp://db:11434"), of("./site")),
            (ServiceProbe::Tcp, ServiceProbe::Tcp, ServiceProbe::Tcp)
        );
    }
}
