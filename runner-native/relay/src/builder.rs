//! Builds and starts a relay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hvym_tunnel_acme::Manager;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::events::{EVENT_CAPACITY, event_channel};
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::rlimit::raise_open_files;
use hvym_tunnel_net::runtime::{RuntimeHandle, Task, spawn};
use hvym_tunnel_net::state_dir::StateDir;
use hvym_tunnel_net::timer::Timer;
#[cfg(unix)]
use hvym_tunnel_net::unix_listener::UnixListener;
use hvym_tunnel_registry::TunnelRegistry;
use smol::channel::bounded;

use crate::access::{AgentLists, Bans, NetworkBans};
use crate::access_log::AccessLog;
use crate::acme::{AcmeSource, LiveHosts};
use crate::agent_conn::name_requests;
#[cfg(unix)]
use crate::config::CONTROL_SOCKET;
use crate::config::{OptionsSource, RelayOptions, RestartSettings, StateSettings};
use crate::error::RelayError;
use crate::event::{EventSink, RelayEvent};
use crate::handle::RelayHandle;
use crate::handover::{Handover, InheritedListener, ListenerRole};

use crate::listener;
use crate::live_options::CurrentOptions;
use crate::management::{self, ManagementServer};
use crate::names::{DnsLookup, NameRegistry, Resolver};
use crate::notices::NoticeQueue;
use crate::peers;
use crate::registry::Registry;
use crate::relay_state::{Plugins, RelayState};
use crate::revocations::Revocations;
use crate::router::Router;
use crate::self_probe::Readiness;
use crate::settings::RelaySettings;
use crate::shutdown::Running;
use crate::tcp_ports;
use crate::tls::{CertSource, FileCertificate, ListenerKind, Tls};
use crate::tunnels;
use crate::unread::limit_unread;
use crate::webhook;

/// A relay: the public side of tunnels, which agents connect to and visitors reach services through.
#[derive(Debug)]
pub enum Relay {}

impl Relay {
    /// A relay with this identity, which listens on loopback unless other options are set. It proves its key to each agent that
    /// logs in, so that none is led to another relay.
    pub fn builder(identity: impl Into<Arc<Identity>>) -> RelayBuilder {
        RelayBuilder {
            identity: identity.into(),
            settings: RelaySettings::loopback(),
            registry: None,
            router: Plugins::default().router,
            certificates: None,
            dns: None,
            tunnels: None,
            observer: Arc::new(()),
            options_source: None,
            access_log: None,
            event_capacity: EVENT_CAPACITY,
            inherited: Vec::new(),
        }
    }
}

/// The settings of a relay that is not started.
pub struct RelayBuilder {
    identity: Arc<Identity>,
    settings: RelaySettings,
    registry: Option<Arc<dyn Registry>>,
    router: Arc<dyn Router>,
    certificates: Option<Arc<dyn CertSource>>,
    dns: Option<Arc<dyn DnsLookup>>,
    tunnels: Option<TunnelRegistry>,
    observer: Arc<dyn Observer<RelayEvent>>,
    options_source: Option<OptionsSource>,
    access_log: Option<Arc<AccessLog>>,
    event_capacity: usize,
    inherited: Vec<InheritedListener>,
}

impl RelayBuilder {
    /// The domain whose sub-domains are the agents' addresses, lower case.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.settings.options.ingress.domain = domain.into();
        self
    }

    /// The address to listen at, for visitors and agents. Port 0 takes a free one.
    #[must_use]
    pub fn listen(mut self, at: SocketAddr) -> Self {
        self.settings.options.ingress.listen = at;
        self
    }

    /// Replaces all options.
    #[must_use]
    pub fn options(mut self, options: RelayOptions) -> Self {
        let RelaySettings { reaching, .. } = self.settings;
        self.settings = RelaySettings { reaching, ..RelaySettings::from(options) };
        self
    }

    /// Reads the options by `read` when the relay reloads, and takes them over as [`RelayHandle::apply`] does. What cannot be read is
    /// told as an event, and by the management API.
    #[must_use]
    pub fn options_source(
        mut self,
        read: impl Fn() -> Result<RelayOptions, String> + Send + Sync + 'static,
    ) -> Self {
        self.options_source = Some(Arc::new(read));
        self
    }

    /// Changes single options.
    #[must_use]
    pub fn with_options(mut self, change: impl FnOnce(&mut RelayOptions)) -> Self {
        change(&mut self.settings.options);
        self
    }

    /// Whether agents reach services of each other; they do unless this says no.
    #[must_use]
    pub fn reaching(mut self, reaching: bool) -> Self {
        self.settings.reaching = reaching;
        self
    }

    /// Decides who may connect as an agent, in place of the lists of the options.
    #[must_use]
    pub fn registry(mut self, registry: impl Registry + 'static) -> Self {
        self.registry = Some(Arc::new(registry));
        self
    }

    /// Maps host names to agents or to other relays; the default takes host names as they are.
    #[must_use]
    pub fn router(mut self, router: impl Router + 'static) -> Self {
        self.router = Arc::new(router);
        self
    }

    /// Terminates TLS with these certificates, in place of those that the options name.
    #[must_use]
    pub fn certificates(mut self, source: impl CertSource + 'static) -> Self {
        self.certificates = Some(Arc::new(source));
        self
    }

    /// Looks up the records by which host names are proven, in place of the resolvers of the options.
    #[must_use]
    pub fn dns(mut self, dns: impl DnsLookup + 'static) -> Self {
        self.dns = Some(Arc::new(dns));
        self
    }

    /// Takes agents of Tunely by the tunnels of this registry, beside those of the config file, and has its tools create and change
    /// them. It is for this relay alone.
    #[must_use]
    pub fn tunnels(mut self, registry: TunnelRegistry) -> Self {
        self.tunnels = Some(registry);
        self
    }

    /// Called with every event, on the thread where it happens, before the event is sent to [`RelayHandle::events`].
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer<RelayEvent>>) -> Self {
        self.observer = observer;
        self
    }

    /// Takes these listeners over that another process has opened, in place of opening them. Those that nothing is for are
    /// closed after a while.
    #[must_use]
    pub fn inherit(mut self, listeners: Vec<InheritedListener>) -> Self {
        self.inherited = listeners;
        self
    }

    /// Notes each request of visitors in this log.
    #[must_use]
    pub fn access_log(mut self, log: Arc<AccessLog>) -> Self {
        self.access_log = Some(log);
        self
    }

    /// The capacity of [`RelayHandle::events`]; at least 1.
    #[must_use]
    pub fn event_capacity(mut self, capacity: usize) -> Self {
        self.event_capacity = capacity.max(1);
        self
    }

    #[cfg(test)]
    pub(crate) fn with_settings(mut self, change: impl FnOnce(&mut RelaySettings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Listens, and serves on the threads of `runtime`.
    ///
    /// # Errors
    /// The options contradict each other, the address cannot be listened at, or a certificate, key or config file
    /// cannot be used.
    pub fn start(mut self, runtime: &RuntimeHandle) -> Result<RelayHandle, RelayError> {
        let _inside = runtime.enter();
        let options = &mut self.settings.options;
        options.check()?;
        options.load_guests()?;
        allow_connections(options.limits.connections);
        let registry = registry(self.registry, options)?;
        let live = CurrentOptions::new(options, self.tunnels.clone())?;
        let handover = Handover::new(self.inherited);
        let listen = |role, at| listen(&handover, &options.restart, role, at);
        let (listener, local) = listen(ListenerRole::Visitors, options.ingress.listen)?;
        let http = options.https.http().map(|at| listen(ListenerRole::Redirect, at)).transpose()?;
        let admin = options.admin.admin_listen.map(|at| listen(ListenerRole::Operator, at)).transpose()?;
        let (source, manager) = certificate_source(self.certificates, options)?;
        let tls = source.map(Tls::new).transpose()?;
        let options = &self.settings.options;
        let dns =
            self.dns.unwrap_or_else(|| Arc::new(Resolver::new(options.names.dns_servers.clone())) as Arc<_>);
        let (router, tunnels, source) = (self.router, self.tunnels, self.options_source);
        let plugins = Plugins { registry, router, dns, tunnels, options: source };
        let kept = (load_bans(&options.state)?, load_names(options)?);
        let network_bans = load_network_bans(&options.state)?;
        let readiness = Readiness::new(local, &options.ingress.domain, tls.is_some());
        let (sender, events) = event_channel(self.event_capacity);
        let sink = EventSink { observer: self.observer, sender, notices: NoticeQueue::default() };
        let revocations = Revocations::load(self.settings.options.state.state_dir.as_deref())?;
        let (cluster, store) = peers::join(&self.settings, self.identity.address())?.unzip();
        let state = RelayState::new(self.identity, self.settings, live, local.port(), sink, plugins, kept);
        let state = Arc::new(RelayState {
            revocations,
            network_bans,
            readiness,
            access_log: self.access_log,
            handover,
            cluster,
            ..state
        });
        let mut maintenance = spawn_maintenance(&state)?;
        maintenance.extend(store.map(|store| spawn(store.run(Arc::clone(&state)))));
        let kind = tls.clone().map_or(ListenerKind::Plain, ListenerKind::Tls);
        let mut tasks = vec![spawn(listener::accept(Arc::clone(&state), listener, kind))];
        if let Some((http, _)) = http {
            tasks.push(spawn(listener::accept(Arc::clone(&state), http, ListenerKind::HttpsRedirect)));
        }
        let ordering = manager.map(|manager| order_certificates(manager, &state));
        let (at_end, ended) = bounded(1);
        let (admin, admin_at) = admin.unzip();
        let management = manage(&state, admin)?;
        let receiver = state.lifecycle.drains.1.clone();
        let running = Running::new(Arc::clone(&state), tasks, tls.clone(), ordering);
        let handle = RelayHandle::new(Arc::clone(&state), (local, admin_at), tls, events, ended);
        spawn(async move {
            running.run(receiver).await;
            drop((maintenance, management));
            tunnels::flush(&state).await;
            drop(at_end);
        })
        .detach();
        Ok(handle)
    }
}

/// Who decides about agents: what a program set, else the lists of the options.
fn registry(set: Option<Arc<dyn Registry>>, options: &RelayOptions) -> Result<Arc<dyn Registry>, RelayError> {
    if let Some(registry) = set {
        return Ok(registry);
    }
    options.check_access()?;
    Ok(Arc::new(AgentLists::load(options.access.clone(), options.admission.policy)?))
}

/// The bans of the state folder.
fn load_bans(state: &StateSettings) -> Result<Bans, RelayError> {
    let folder = state.state_dir.clone().map(StateDir::new);
    Bans::load(folder, now()).map_err(|error| RelayError::Bans(error.to_string()))
}

/// The bans of networks of the state folder.
fn load_network_bans(state: &StateSettings) -> Result<NetworkBans, RelayError> {
    let folder = state.state_dir.clone().map(StateDir::new);
    NetworkBans::load(folder, now()).map_err(|error| RelayError::Bans(error.to_string()))
}

fn now() -> UnixTime {
    UnixTime::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// The claimed names of the state folder, if the relay gives any.
fn load_names(options: &RelayOptions) -> Result<NameRegistry, RelayError> {
    let folder = options.state.state_dir.clone().map(StateDir::new).filter(|_| options.names.claim_names);
    NameRegistry::load(folder, options.names.claim_keep).map_err(|error| RelayError::Names(error.to_string()))
}

/// What is done now and then, and at the ports of tunnels, until the relay ends.
///
/// # Errors
/// A port cannot be listened at.
fn spawn_maintenance(state: &Arc<RelayState>) -> Result<Vec<Task<()>>, RelayError> {
    let mut tasks = tcp_ports::listen_for_tunnels(state)?;
    tasks.extend([
        spawn(name_requests::expire(Arc::clone(state))),
        spawn(close_unclaimed(Arc::clone(state))),
        spawn(management::sample_regularly(Arc::clone(state))),
        spawn(webhook::run(Arc::downgrade(state))),
        spawn(limit_unread(Arc::clone(state))),
    ]);
    tasks.extend(tunnels::observe(state).map(spawn));
    state.fetch_keys();
    Ok(tasks)
}

/// Serves operators' programs, at this listener too if there is one.
fn manage(state: &Arc<RelayState>, admin: Option<Arc<TcpListener>>) -> Result<ManagementServer, RelayError> {
    let mut management = ManagementServer::default();
    #[cfg(unix)]
    open_control(state, &mut management)?;
    if let Some(listener) = admin {
        management.serve(state, listener);
    }
    Ok(management)
}

/// Listens at the control socket, if there is to be one.
#[cfg(unix)]
fn open_control(state: &Arc<RelayState>, management: &mut ManagementServer) -> Result<(), RelayError> {
    let StateSettings { state_dir, control } = &state.settings.options.state;
    let by_default = state_dir.as_ref().map(|folder| folder.join(CONTROL_SOCKET));
    let Some(path) = control.clone().or(by_default) else { return Ok(()) };
    let listener = match state.settings.options.restart.reuse_port || state.handover.is_successor() {
        true => UnixListener::take_over(&path),
        false => UnixListener::listen(&path),
    };
    match listener {
        Ok(listener) => {
            management.serve_socket(state, listener);
            Ok(())
        }
        Err(error) if control.is_none() => {
            tracing::warn!(path = %path.display(), %error, "there is no control socket");
            Ok(())
        }
        Err(error) => Err(RelayError::Control { path, message: error.to_string() }),
    }
}

fn listen(
    handover: &Handover,
    restart: &RestartSettings,
    role: ListenerRole,
    at: SocketAddr,
) -> Result<(Arc<TcpListener>, SocketAddr), RelayError> {
    let listener = handover.listen(restart, role, at);
    let listener = listener.and_then(|listener| listener.local_addr().map(|local| (listener, local)));
    listener.map_err(|error| RelayError::listen(at, &error))
}

/// A source of certificates, and who orders them.
type SourceAndManager = (Option<Arc<dyn CertSource>>, Option<Manager>);

/// Closes the listeners that another process had and this one does not: TCP ports of agents that stayed away.
async fn close_unclaimed(state: Arc<RelayState>) {
    /// As long as a port is held for its agent.
    const CLAIM_TIMEOUT: Duration = hvym_tunnel_core::relay::PORT_HOLD;
    Timer::after(CLAIM_TIMEOUT).await;
    state.handover.close_rest();
}

/// Where the certificates come from: what a program set, else ACME and files, else nowhere.
fn certificate_source(
    set: Option<Arc<dyn CertSource>>,
    options: &RelayOptions,
) -> Result<SourceAndManager, RelayError> {
    if set.is_some() {
        return Ok((set, None));
    }
    let files = options.public.tls().map(|files| FileCertificate::load(&files)).transpose()?;
    match &options.https.acme {
        Some(email) => {
            let (source, manager) = AcmeSource::open(options, email, files)?;
            Ok((Some(Arc::new(source)), Some(manager)))
        }
        None => Ok((files.map(|files| Arc::new(files) as Arc<dyn CertSource>), None)),
    }
}

/// Orders and renews certificates until the result is dropped.
fn order_certificates(manager: Manager, state: &Arc<RelayState>) -> Task<()> {
    let hosts = Arc::new(LiveHosts(Arc::downgrade(state)));
    let told = Arc::downgrade(state);
    let observe = move |event| {
        if let Some(state) = told.upgrade() {
            state.emit(RelayEvent::Acme(event));
        }
    };
    spawn(manager.run(hosts, observe))
}

/// Raises the limit of open files, and says so where not all connections fit below it.
fn allow_connections(connections: usize) {
    /// Descriptors that are no connection: listener, poller, standard streams, logs.
    const OTHERS: u64 = 64;

    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    if let Some(limit) = raise_open_files()
        && limit < wanted
    {
        tracing::warn!(limit, wanted, "the limit of open files is lower than what the connections need");
    }
}
