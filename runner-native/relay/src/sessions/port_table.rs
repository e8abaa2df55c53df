//! Which service has which public TCP port, and the task that listens there. The rules are the core's ([`Ports`]); this
//! binds them to listeners. It accepts nobody.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_proxy::limits::VisitorKey;
use hvym_tunnel_core::relay::{BindRefusal, Name, Owner, PortError, PortQuota, Ports};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::runtime::Task;

use crate::config::RelayOptions;

/// How many identities' shares of ports one network may have.
const NETWORK_SHARES: usize = 2;
/// Ports that are found taken by other programs before a service is refused. Each costs a few system calls.
const MAX_TRIES: usize = 64;

/// The TCP ports of one relay.
pub(crate) struct PortTable {
    /// The IP address that the relay and its ports listen on.
    ip: IpAddr,
    /// `None`: this relay offers no ports.
    rows: Option<Mutex<Rows>>,
    /// Ports that are a tunnel's, whoever serves it.
    tunnels: BTreeMap<u16, Arc<str>>,
}

struct Rows {
    ports: Ports,
    /// Dropping a task stops listening.
    listeners: BTreeMap<u16, Task<()>>,
}

impl PortTable {
    /// The ports of a relay with these options; nothing listens yet.
    pub(crate) fn new(options: &RelayOptions) -> Self {
        let rows = |range| Mutex::new(Rows { ports: Ports::new(range), listeners: BTreeMap::new() });
        let tunnels = options.tunnel_ports.ports.iter();
        Self {
            ip: options.ingress.listen.ip(),
            rows: options.ingress.tcp_ports.clone().map(rows),
            tunnels: tunnels.map(|port| (port.at.port(), Arc::clone(&port.tunnel))).collect(),
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Rows>> {
        self.rows.as_ref().map(|rows| rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The service that has `port`.
    pub(crate) fn owner(&self, port: u16) -> Option<Name> {
        if let Some(tunnel) = self.tunnels.get(&port) {
            return Some(Name { owner: Owner::Named(Arc::clone(tunnel)), service: None });
        }
        let rows = self.lock()?;
        let (address, service) = rows.ports.owner(port)?;
        Some(Name { owner: Owner::Identity(address), service: Some(service.to_owned()) })
    }

    /// The port that a service of this owner has.
    pub(crate) fn port(&self, owner: &Owner, service: &str) -> Option<u16> {
        let Owner::Identity(address) = owner else { return None };
        let rows = self.lock()?;
        let is_theirs = |port: &u16| rows.ports.owner(*port) == Some((*address, service));
        rows.listeners.keys().copied().find(is_theirs)
    }

    /// How many ports are taken; `None` if this relay offers none.
    pub(crate) fn taken(&self) -> Option<usize> {
        self.lock().map(|rows| rows.listeners.len())
    }

    /// Assigns a port to a service and has `listen` accept there, unless something listens there already. `share` is what the
    /// operator lets the address have; `None` is what every address may have, within the share of the network that it comes from.
    ///
    /// # Errors
    /// The refusal that the agent's owner is told.
    pub(crate) fn bind(
        &self,
        address: Address,
        service: &str,
        share: Option<usize>,
        from: Option<VisitorKey>,
        now: Instant,
        listen: impl Fn(SocketAddr) -> io::Result<Task<()>>,
    ) -> Result<u16, BindRefusal> {
        let Some(mut rows) = self.lock() else {
            let error = "this relay serves HTTP services only; its operator can offer ports with --tcp-ports";
            return Err(BindRefusal { code: "not_offered", error: error.to_owned() });
        };
        let usual = rows.ports.share();
        // Whom the operator named, its network does not matter.
        let from = from.filter(|_| share.is_none());
        let quota = PortQuota {
            address: share.unwrap_or(usual),
            network: from.map(|from| (from.as_u64(), NETWORK_SHARES * usual)),
        };
        for _ in 0..MAX_TRIES {
            let port = rows.ports.take_within(address, service, quota).map_err(refusal)?;
            if rows.listeners.contains_key(&port) {
                return Ok(port);
            }
            // Under the lock, so that nobody else tries the same port. Binding and listening do not block.
            match listen(SocketAddr::new(self.ip, port)) {
                Ok(accepting) => {
                    rows.listeners.insert(port, accepting);
                    return Ok(port);
                }
                Err(error) => {
                    tracing::warn!(port, %error, "cannot listen at a port of --tcp-ports");
                    rows.ports.quarantine(port, now);
                }
            }
        }
        Err(refusal(PortError::Exhausted))
    }

    /// No session serves a service any more: its port is held for it until the time returned.
    pub(crate) fn release(&self, address: &Address, service: &str, now: Instant) -> Option<Instant> {
        self.lock().and_then(|mut rows| rows.ports.release(address, service, now))
    }

    /// Frees the ports whose hold is over, and stops listening there.
    pub(crate) fn expire(&self, now: Instant) {
        let Some(mut rows) = self.lock() else { return };
        for port in rows.ports.expire(now) {
            tracing::info!(port, "its agent stayed away: the port is free again");
            rows.listeners.remove(&port);
        }
    }

    /// Assigns a port at which nothing listens.
    #[cfg(test)]
    pub(crate) fn assign(&self, address: Address, service: &str) -> Option<u16> {
        self.lock()?.ports.take(address, service).ok()
    }
}

fn refusal(error: PortError) -> BindRefusal {
    let (code, hint) = match error {
        PortError::Exhausted => ("no_port", "; its operator can offer more with --tcp-ports"),
        PortError::TooMany(_) | PortError::NetworkTooMany(_) => ("too_many", ""),
    };
    BindRefusal { code, error: format!("{error}{hint}") }
}
