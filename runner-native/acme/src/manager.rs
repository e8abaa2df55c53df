//! Decides which certificates there are: those of the domain always, that of another host when a handshake asks for it and the
//! host is in use.

mod demand;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::{Either, pending, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use hvym_dns::{DomainName, DomainNameError, Zone};
use hvym_tunnel_net::runtime::{Task, spawn};
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_net::tls::Trust;
use smol::channel::{Receiver, bounded};
use thiserror::Error;

use crate::dns_server::DnsServer;
use crate::issuance::{Issue, OrderTerms, Publisher, issue};
use crate::order::{ChallengeKind, OrderError};
use crate::schedule::{Schedule, WishResult};
use crate::store::{DamagedFile, Store, StoreError};
use crate::table::CertificateTable;
use demand::{Demand, MAX_DEMANDS, Waiters};

pub use demand::Certificates;

/// The longest sleep: the wall clock may be set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(3600);

/// Seconds of the Unix epoch.
pub type UnixSeconds = u64;

/// Says which hosts are in use. A certificate is ordered for those alone.
pub trait ServedHosts: Send + Sync {
    /// Whether visitors of `host`, lower case, reach a service. Called on a worker thread: it must not block.
    fn is_served(&self, host: &str) -> bool;
}

/// The DNS server of the domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsConfig {
    /// Where it listens, by UDP and TCP. The world asks at port 53.
    pub listen: SocketAddr,
    /// Whether other processes of the same user may listen there too (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// The addresses of every name of the domain.
    pub addresses: Vec<IpAddr>,
}

/// Whose certificates, from where.
#[derive(Clone, Debug)]
pub struct AcmeConfig {
    /// The operator's e-mail address, for the authority.
    pub email: String,
    /// The URL of the authority's directory.
    pub directory: String,
    /// Whose certificate the authority itself may have.
    pub trust: Trust,
    /// The relay's domain, lower case.
    pub domain: String,
    /// With it, one certificate is for all names right below the domain; without, each has its own.
    pub dns: Option<DnsConfig>,
    /// The folder that outlives a restart.
    pub state_dir: PathBuf,
}

/// Why there is no ACME.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// The state folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The domain is no name of the DNS.
    #[error(transparent)]
    Domain(#[from] DomainNameError),
    /// The DNS server cannot listen.
    #[error("cannot answer DNS queries at {at}: {message}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// The system's kind of error.
        kind: io::ErrorKind,
        /// The system's message.
        message: String,
    },
}

/// What happens to certificates.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AcmeEvent {
    /// A certificate is in use from now on.
    Issued {
        /// Its names.
        names: Vec<String>,
        /// When it ends.
        not_after: UnixSeconds,
    },
    /// There is no certificate, or no renewed one.
    Failed {
        /// The names that it was for.
        names: Vec<String>,
        /// Why.
        error: OrderError,
        /// When the next attempt is.
        retry_at: UnixSeconds,
    },
    /// A certificate is in use, but could not be written into the state folder.
    NotKept(StoreError),
    /// A file of the state folder could not be used.
    Damaged(DamagedFile),
}

/// Orders and renews, once it is run.
pub struct Manager {
    domain: String,
    store: Store,
    schedule: Schedule,
    terms: OrderTerms,
    demands: Receiver<Demand>,
    waiters: Waiters,
    /// Not told yet.
    damaged: Vec<DamagedFile>,
    dns: Option<DnsServer>,
}

/// Reads the state folder, and listens for DNS queries. Nothing is ordered before [`Manager::run`]. Blocks while files are
/// read.
///
/// # Errors
/// The folder cannot be used, or the DNS server cannot listen.
pub fn open(config: AcmeConfig) -> Result<(Certificates, Manager), AcmeError> {
    let store = Store::open(&config.state_dir, &config.directory)?;
    let mut damaged = Vec::new();
    let key = Arc::new(store.account(&mut damaged)?);
    let zone = config.dns.as_ref().map(|dns| new_zone(&config.domain, dns)).transpose()?;
    let dns = match (&config.dns, &zone) {
        (Some(dns), Some(zone)) => {
            Some(DnsServer::bind(dns.listen, dns.reuse_port, Arc::clone(zone)).map_err(|error| {
                AcmeError::Listen { at: dns.listen, kind: error.kind(), message: error.to_string() }
            })?)
        }
        _ => None,
    };
    let table = Arc::new(CertificateTable::default());
    let publisher = Publisher { table: Arc::clone(&table), zone };
    let AcmeConfig { email, directory, trust, domain, .. } = config;
    let terms = OrderTerms { directory, email, trust, key, publisher };
    let (sender, demands) = bounded(MAX_DEMANDS);
    let certificates = Certificates::new(domain.clone(), table, sender);
    let schedule = Schedule::new(store.records(&mut damaged)?);
    let mut manager =
        Manager { domain, store, schedule, terms, demands, waiters: Waiters::default(), damaged, dns };
    manager.load()?;
    Ok((certificates, manager))
}

fn new_zone(domain: &str, dns: &DnsConfig) -> Result<Arc<RwLock<Zone>>, DomainNameError> {
    // Grows from start to start, and within one by the challenges.
    let serial = now() as u32;
    let mut zone = Zone::new(DomainName::parse(domain)?, serial);
    zone.set_addresses(dns.addresses.clone());
    Ok(Arc::new(RwLock::new(zone)))
}

impl Manager {
    /// Where the DNS server listens, if there is one.
    pub fn dns_addr(&self) -> Option<SocketAddr> {
        self.dns.as_ref().and_then(|dns| dns.local_addr().ok())
    }

    /// Orders and renews certificates until it is dropped.
    pub async fn run(mut self, hosts: Arc<dyn ServedHosts>, observe: impl Fn(AcmeEvent) + Send) {
        let dns = self.dns.take();
        let _answering = dns.map(|dns| spawn(dns.run()));
        self.damaged.drain(..).map(AcmeEvent::Damaged).for_each(&observe);
        self.schedule.want(&self.domain, now());
        let mut orders = FuturesUnordered::new();
        loop {
            while let Some(name) = self.schedule.poll_start(now()) {
                orders.extend(self.start(name, &*hosts));
            }
            let (demands, due) = (self.demands.clone(), self.schedule.poll_timeout(now()));
            let ended = async {
                match orders.is_empty() {
                    true => pending().await,
                    false => orders.next().await,
                }
            };
            let sleep =
                due.map_or(MAX_SLEEP, |at| Duration::from_secs(at.saturating_sub(now())).min(MAX_SLEEP));
            let (demand, timer) = (pin!(demands.recv()), Timer::after(sleep));
            match select(pin!(ended), select(demand, timer)).await {
                Either::Left((Some(ended), _)) => self.on_end(ended, &observe).await,
                Either::Left((None, _)) | Either::Right((Either::Right(_), _)) => {}
                Either::Right((Either::Left((Ok(demand), _)), _)) => self.on_demand(demand, &*hosts),
                // Nobody can ask any more.
                Either::Right((Either::Left((Err(_), _)), _)) => return,
            }
        }
    }

    /// Puts the certificates that were kept into use.
    fn load(&mut self) -> Result<(), StoreError> {
        for name in self.store.certificates()? {
            let names = self.names(&name);
            let Some(certificate) = self.store.certificate(&names, &mut self.damaged)? else { continue };
            let period = certificate.period;
            if period.not_after <= now() {
                self.store.remove(&name);
                continue;
            }
            self.terms.publisher.table.insert(&names, &certificate.certified);
            self.schedule.handle_present(&name, period.not_before, period.not_after, jitter());
        }
        Ok(())
    }

    /// All names of the certificate that is called by `name`.
    fn names(&self, name: &str) -> Vec<String> {
        let wildcard = self.is_dns_server().then(|| format!("*.{name}"));
        [Some(name.to_owned()), wildcard.filter(|_| name == self.domain)].into_iter().flatten().collect()
    }

    fn is_dns_server(&self) -> bool {
        self.terms.publisher.zone.is_some()
    }

    /// By which name the certificate is called that `host` needs.
    fn certificate_name<'a>(&'a self, host: &'a str) -> &'a str {
        let is_below = host.split_once('.').is_some_and(|(_, rest)| rest == self.domain);
        if is_below && self.is_dns_server() { &self.domain } else { host }
    }

    fn on_demand(&mut self, demand: Demand, hosts: &dyn ServedHosts) {
        let Demand::Host(host, waiter) = demand else { return self.schedule.retry_all() };
        let name = self.certificate_name(&host);
        if self.terms.publisher.table.certificate(&host).is_some()
            || (name != self.domain && !hosts.is_served(&host))
        {
            return;
        }
        let name = name.to_owned();
        match self.schedule.want(&name, now()) {
            WishResult::Accepted => self.waiters.insert(name, waiter),
            WishResult::Later(at) => tracing::debug!(%name, at, "a certificate is ordered later"),
            WishResult::Full => tracing::warn!(%name, "too many certificates: none is ordered"),
        }
    }

    /// Begins an order, unless nobody has its name any more.
    fn start(&mut self, name: String, hosts: &dyn ServedHosts) -> Option<Task<OrderEnd>> {
        let names = self.names(&name);
        if name != self.domain && !hosts.is_served(&name) {
            self.waiters.remove(&name);
            if !self.schedule.postpone(&name, now()) {
                self.terms.publisher.table.remove(&names);
                self.store.remove(&name);
            }
            return None;
        }
        let is_dns = name == self.domain && self.is_dns_server();
        let challenge = if is_dns { ChallengeKind::Dns01 } else { ChallengeKind::TlsAlpn01 };
        tracing::info!(?names, challenge = challenge.name(), "ordering a certificate");
        let terms = self.terms.clone();
        Some(spawn(async move {
            let result = issue(terms, names.clone(), challenge).await;
            OrderEnd { name, names, result }
        }))
    }

    async fn on_end(&mut self, ended: OrderEnd, observe: &impl Fn(AcmeEvent)) {
        let OrderEnd { name, names, result } = ended;
        match result {
            Ok(Issue { certificate, pem }) => {
                let period = certificate.period;
                self.terms.publisher.table.insert(&names, &certificate.certified);
                self.schedule.handle_issued(&name, now());
                self.schedule.handle_present(&name, period.not_before, period.not_after, jitter());
                let (store, kept) = (self.store.clone(), name.clone());
                let written = smol::unblock(move || store.keep(&kept, &pem)).await;
                written.err().map(AcmeEvent::NotKept).into_iter().for_each(observe);
                observe(AcmeEvent::Issued { names, not_after: period.not_after });
            }
            Err(error) => {
                let wait = error.retry_after().map(|wait| wait.as_secs());
                let retry_at = self.schedule.handle_failed(&name, wait, now());
                observe(AcmeEvent::Failed { names, error, retry_at });
            }
        }
        self.waiters.remove(&name);
        let (store, records) = (self.store.clone(), self.schedule.records(now()));
        let written = smol::unblock(move || store.keep_records(&records)).await;
        written.err().map(AcmeEvent::NotKept).into_iter().for_each(observe);
    }
}

/// How an order ended.
struct OrderEnd {
    name: String,
    names: Vec<String>,
    result: Result<Issue, OrderError>,
}

/// What the wall clock says.
fn now() -> UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn jitter() -> u16 {
    // Without entropy all are renewed at the same time, which works too.
    getrandom::u32().map_or(0, |random| random as u16)
}
