//! From settings to a running agent.

use std::sync::{Arc, Mutex};

use hvym_tunnel_core::agent::{Agent as AgentMachine, AgentConfig};
use hvym_tunnel_core::bundle::MAX_LINKS;
use hvym_tunnel_core::dialect::{Process, Proto, SessionRole};
use hvym_tunnel_core::handshake::AgentLogin;
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_core::stellar::delegation::SignedDelegation;
use hvym_tunnel_core::stellar::{Address, Scope};
use hvym_tunnel_net::clock::{self, Clock};
use hvym_tunnel_net::events::{EVENT_CAPACITY, event_channel};
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::link_driver::LinkHandle;
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::proxy::Proxy;
use hvym_tunnel_net::rlimit::raise_open_files;
use hvym_tunnel_net::runtime::Task;
use hvym_tunnel_net::runtime::{RuntimeHandle, spawn};
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::socket::{self, DialOptions};
use hvym_tunnel_net::target::RelayUrl;
use smol::channel::bounded;

use crate::compat::{self, CompatServer};
use crate::delegation::{self, DelegationFileError};
use crate::error::{AgentError, AuthorityRole};
use crate::event::AgentEvent;
use crate::event_sink::EventSink;
use crate::handle::{AgentControl, AgentHandle, Outcome};
use crate::link_status::{LinkStatus, Purpose};
use crate::public_urls::PublicUrls;
use crate::relay_memory::RelayMemory;
use crate::runner::{AgentRunner, Shared};
use crate::service::{self, ServiceTable};
use crate::settings::{CompatSettings, CompatSystem, LinkSettings, SettingsError, max_streams};
use crate::spec::ServiceSpec;

/// Drain requests that may wait for the agent's task, which takes them at once.
const COMMAND_CAPACITY: usize = 4;

/// An agent: the side that owns local services and dials out.
#[derive(Debug)]
pub enum Agent {}

impl Agent {
    /// An agent whose logins this identity, or this signer, signs, without a relay and services yet.
    pub fn builder(signer: impl Into<Signer>) -> AgentBuilder {
        AgentBuilder { launch: Launch::new(signer.into()), compat: None, services: Vec::new() }
    }
}

/// The settings of an agent that does not run yet.
pub struct AgentBuilder {
    launch: Launch,
    compat: Option<CompatSettings>,
    services: Vec<ServiceSpec>,
}

impl AgentBuilder {
    /// Where to dial.
    #[must_use]
    pub fn relay(mut self, url: RelayUrl) -> Self {
        self.launch.link.relay = Some(url);
        self
    }

    /// The relay's identity: the agent signs for no other.
    #[must_use]
    pub fn relay_address(mut self, address: Address) -> Self {
        self.launch.link.relay_address = Some(address);
        self
    }

    /// All settings of the link, in place of those set before.
    #[must_use]
    pub fn link(mut self, link: LinkSettings) -> Self {
        self.launch.link = link;
        self
    }

    /// Where to keep the relay's identity if none is set: the first that proves itself there, and no other from then on. Without
    /// a file, the first is believed for as long as the agent runs.
    #[must_use]
    pub fn known_relays(mut self, file: Option<KnownRelays>) -> Self {
        self.launch.known_relays = file;
        self
    }

    /// The relay is a server of an older system, and this is the login there.
    #[must_use]
    pub fn compat(mut self, settings: CompatSettings) -> Self {
        self.compat = Some(settings);
        self
    }

    /// One more service. The first is the one reached at the bare address.
    #[must_use]
    pub fn service(mut self, spec: ServiceSpec) -> Self {
        self.services.push(spec);
        self
    }

    /// What the relay, and other agents of the same identity whose services this one takes over, are told of this program:
    /// usually its host name and process id. Without it they are told nothing.
    #[must_use]
    pub fn process_label(mut self, label: impl Into<String>) -> Self {
        self.launch.process_label = Some(label.into());
        self
    }

    /// What lets this identity act for another one, in place of the file that the settings of the link name.
    #[must_use]
    pub fn delegation(mut self, delegation: SignedDelegation) -> Self {
        self.launch.delegation = Some(delegation);
        self
    }

    /// A name to ask the relay for, beside that of the address: a label below the relay's domain, or a host name that is led
    /// there.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.launch.names.push(name.into());
        self
    }

    /// Sees every event as it happens, on the thread where it happens; without it there is the channel of the handle.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer<AgentEvent>>) -> Self {
        self.launch.observer = observer;
        self
    }

    /// How many events wait for the reader of [`AgentHandle::events`]; at least 1.
    #[must_use]
    pub fn event_capacity(mut self, capacity: usize) -> Self {
        self.launch.event_capacity = capacity.max(1);
        self
    }

    /// Whether the settings make sense together and the files that they name can be used. The relay may still be unset.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), AgentError> {
        ServiceTable::new(self.services.clone()).map(drop)
    }

    /// Connects to every service once.
    ///
    /// # Errors
    /// The first that does not answer, or as for [`Self::check`].
    pub async fn probe(&self) -> Result<(), AgentError> {
        let table = ServiceTable::new(self.services.clone())?;
        for service in table.all() {
            service.probe().await?;
        }
        Ok(())
    }

    /// Starts the agent on the threads of `runtime`; it dials at once.
    ///
    /// # Errors
    /// As for [`Self::check`], or no relay is set, or the settings of the link make no sense.
    pub fn start(self, runtime: &RuntimeHandle) -> Result<AgentHandle, AgentError> {
        let _inside = runtime.enter();
        let AgentBuilder { mut launch, compat, services } = self;
        if let Some(settings) = &compat {
            settings.check(&launch.link, &services).map_err(SettingsError::from)?;
            launch.link.relay = launch.link.relay.map(|url| settings.system.dial_url(url));
        }
        let proto = services.first().map_or(Proto::Http, |service| service.target.proto());
        let table = ServiceTable::new(services)?;
        let relay = launch.relay()?;
        let server = compat.as_ref().map(|settings| CompatServer::new(settings, relay, proto));
        let has_token = compat.is_some();
        let prepared = launch.prepare(Purpose::Expose { server }, compat, table)?;
        Ok(AgentHandle::new(prepared.run(None), has_token))
    }
}

/// What agents and forwards are started from.
pub(crate) struct Launch {
    pub(crate) signer: Signer,
    pub(crate) link: LinkSettings,
    /// In place of the one that the settings of the link name.
    pub(crate) delegation: Option<SignedDelegation>,
    /// Names to ask for.
    pub(crate) names: Vec<String>,
    pub(crate) observer: Arc<dyn Observer<AgentEvent>>,
    pub(crate) event_capacity: usize,
    pub(crate) process_label: Option<String>,
    pub(crate) known_relays: Option<KnownRelays>,
}

impl Launch {
    pub(crate) fn new(signer: Signer) -> Self {
        let link = LinkSettings::default();
        let (observer, event_capacity) = (Arc::new(()), EVENT_CAPACITY);
        Self {
            signer,
            link,
            delegation: None,
            names: Vec::new(),
            observer,
            event_capacity,
            process_label: None,
            known_relays: None,
        }
    }

    /// The relay, which must be set.
    pub(crate) fn relay(&self) -> Result<RelayUrl, SettingsError> {
        self.link.relay.clone().ok_or(SettingsError::NoRelay)
    }

    /// As whom the agent logs in, and for what: as its identity, or as the owner of the delegation by which it acts.
    fn login(&self, purpose: &Purpose) -> Result<AgentLogin, DelegationFileError> {
        let delegation = match (&self.delegation, &self.link.delegation) {
            (Some(signed), _) => Some(signed.clone()),
            (None, Some(path)) => Some(delegation::load(path)?),
            (None, None) => self.signer.delegation().cloned(),
        };
        let login = match delegation {
            Some(signed) => {
                delegation::check(&signed, self.signer.key_address())?;
                AgentLogin::by_delegation(signed)
            }
            None => AgentLogin::new(self.signer.address()),
        };
        let scope = match purpose {
            Purpose::Expose { .. } => Scope::Agent,
            Purpose::Forward { .. } => Scope::Call,
            // Whoever may do anything may give up its delegation.
            Purpose::Revoke => match &login.delegation {
                Some(signed) if !signed.delegation.may.call => Scope::Agent,
                _ => Scope::Call,
            },
        };
        Ok(AgentLogin { scope, ..login })
    }

    /// Builds everything that runs; nothing is dialled yet.
    ///
    /// # Errors
    /// The settings of the link make no sense, or a file or variable that they name cannot be used.
    pub(crate) fn prepare(
        self,
        purpose: Purpose,
        compat: Option<CompatSettings>,
        table: ServiceTable,
    ) -> Result<Prepared, AgentError> {
        self.link.check()?;
        let streams = max_streams(raise_open_files());
        let relay = self.relay()?;
        let dial_options = dial_options(&relay, &self.link, compat.as_ref())?;
        let login = self.login(&purpose)?;
        let relays = std::iter::once(&relay).chain(&self.link.standby_relays).map(dial_url).collect();
        let (clock, address) = (Clock::new(), login.identity);
        let specs = table.specs();
        let services = specs.iter().map(|spec| spec.binding()).collect();
        let role = match purpose {
            Purpose::Forward { .. } | Purpose::Revoke => SessionRole::Caller,
            Purpose::Expose { .. } => SessionRole::Agent,
        };
        let process = Process { instance: None, role, label: self.process_label };
        let mut config = config(&self.signer, &relay, &self.link, login, services, process, streams);
        config.names.clone_from(&self.names);
        let memory = match self.known_relays.filter(|_| compat.is_none()) {
            Some(file) => RelayMemory::recall(file, &config.relay, &mut config.login)?,
            None => None,
        };
        let is_known = config.login.relay_address.is_some();
        let (wall, seed, now) = (clock.wall(), clock::seed(), clock.now());
        let machine = match &purpose {
            Purpose::Expose { server: Some(server) } => {
                AgentMachine::with_logins(config, Box::new(server.logins()), wall, seed, now)
            }
            _ => AgentMachine::new(config, wall, seed, now),
        };
        let (sender, events) = event_channel(self.event_capacity);
        let urls = PublicUrls::new(&relay.host, is_known, self.names);
        let status = LinkStatus::new(address, purpose, urls, specs, self.link.retry, now);
        let shared = Shared {
            agent: LinkHandle::new(machine, clock),
            table: Arc::new(table),
            status: Arc::new(Mutex::new(status)),
            sink: EventSink::new(self.observer, sender),
            clock,
        };
        Ok(Prepared { shared, signer: self.signer, address, relays, dial_options, memory, events })
    }
}

/// An agent that is ready to run.
pub(crate) struct Prepared {
    pub(crate) shared: Shared,
    signer: Signer,
    /// Who the agent is: the account of the key that signs, or the one that it acts for.
    address: Address,
    /// What is dialled in turn.
    relays: Vec<String>,
    dial_options: DialOptions,
    memory: Option<RelayMemory>,
    events: crate::event_sink::AgentEvents,
}

impl Prepared {
    /// Runs it in a task of its own; `listener` takes the local connections of a forward, and ends with it.
    pub(crate) fn run(self, listener: Option<(std::net::SocketAddr, Task<()>)>) -> AgentControl {
        let Prepared { shared, signer, address, relays, dial_options, memory, events } = self;
        let (listen, listener) = listener.unzip();
        let (commands, receiver) = bounded(COMMAND_CAPACITY);
        let (at_end, ended) = bounded(1);
        let outcome = Arc::<Outcome>::default();
        let way = (relays, dial_options);
        let runner = AgentRunner::new(shared.clone(), signer, address, way, memory, receiver);
        let result = Arc::clone(&outcome);
        spawn(async move {
            result.set(runner.run(listener).await);
            drop(at_end);
        })
        .detach();
        AgentControl { shared, address, listen, events, commands, outcome, ended }
    }
}

pub(crate) fn dial_options(
    relay: &RelayUrl,
    link: &LinkSettings,
    compat: Option<&CompatSettings>,
) -> Result<DialOptions, AgentError> {
    let proxy = Proxy::from_variables(relay, |name| std::env::var(name).ok())?;
    if let Some(proxy) = &proxy {
        tracing::info!(?proxy, %relay, "dialling through a proxy");
    }
    let trust = service::trust(link.relay_ca.as_deref(), AuthorityRole::Relay)?;
    let token = compat.filter(|settings| settings.system == CompatSystem::CloudLlm).map(|settings| {
        socket::bearer(settings.token.as_str()).map_err(|close| AgentError::Token(close.reason.into_owned()))
    });
    Ok(DialOptions { allow_plaintext: link.plain_relay, trust, proxy, token: token.transpose()? })
}

/// What the core dials: the relay's URL with a port in it.
pub(crate) fn dial_url(relay: &RelayUrl) -> String {
    let scheme = if relay.tls { "wss" } else { "ws" };
    format!("{scheme}://{}{}", relay.authority(), relay.path)
}

fn config(
    signer: &Signer,
    relay: &RelayUrl,
    link: &LinkSettings,
    login: AgentLogin,
    services: Vec<hvym_tunnel_core::dialect::Service>,
    process: Process,
    streams: usize,
) -> AgentConfig {
    AgentConfig {
        relay: dial_url(relay),
        login: AgentLogin {
            relay_address: link.relay_address,
            token_lifetime: link.token_lifetime,
            mode: link.auth.into(),
            ..login
        },
        services,
        link: LinkConfig {
            keepalive: link.keepalive.into(),
            mux: MuxConfig::acceptor().with(|config| config.max_inbound_streams = streams),
            fallback: Some(compat::fallback(signer)),
        },
        backoff: link.retry.into(),
        names: Vec::new(),
        max_links: MAX_LINKS,
        process,
    }
}
