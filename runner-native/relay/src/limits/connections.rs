//! How many connections the relay accepts, in all and from one IP address, and what one connection holds of the limits.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hvym_tunnel_net::clock::Clock;
use ipnet::IpNet;
use thiserror::Error;

use super::concurrency::ConcurrencyPermit;
use super::ip::{IpLimitError, IpLimiter, IpLimits, IpPermit};

/// Why a connection is not accepted.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum ConnectionLimitError {
    /// The relay has as many connections as it may have.
    #[error("the relay is full")]
    Full,
    /// Its IP address has.
    #[error("too many connections of one address")]
    TooMany,
    /// Its IP address opens them too fast.
    #[error("connections of one address come too fast")]
    TooFast,
}

/// Which IP addresses are not limited by themselves.
#[derive(Clone, Debug)]
pub(crate) struct ExemptAddresses {
    /// Proxies in front of the relay: behind one are many visitors, who come by one address.
    pub(crate) proxies: Vec<IpNet>,
    /// Addresses of this machine, where a proxy may stand that nobody told the relay of.
    pub(crate) loopback: bool,
}

impl ExemptAddresses {
    fn contains(&self, ip: IpAddr) -> bool {
        self.proxies.iter().any(|net| net.contains(&ip)) || (ip.is_loopback() && self.loopback)
    }
}

/// The limits for connections of visitors and agents.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    max: usize,
    open: AtomicUsize,
    ip_limiter: Arc<IpLimiter>,
    exempt: ExemptAddresses,
    clock: Clock,
}

/// What a connection holds for as long as it lives, upgraded or not.
pub(crate) struct ConnectionSlot {
    _open: OpenConnection,
    _ip_permit: Option<IpPermit>,
    /// Of the requests that upgraded it.
    permits: Mutex<Vec<ConcurrencyPermit>>,
}

/// One connection, counted until it is dropped.
struct OpenConnection(Arc<ConnectionLimit>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionLimit {
    /// `max` connections in all, and `per_ip` of each address that is not exempt.
    pub(crate) fn new(max: usize, per_ip: IpLimits, exempt: ExemptAddresses, clock: Clock) -> Self {
        let ip_limiter = Arc::new(IpLimiter::new(per_ip));
        Self { max, open: AtomicUsize::new(0), ip_limiter, exempt, clock }
    }

    /// A slot for one more connection.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub(crate) fn admit(
        self: &Arc<Self>,
        peer: SocketAddr,
    ) -> Result<Arc<ConnectionSlot>, ConnectionLimitError> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let open = OpenConnection(Arc::clone(self));
        if before >= self.max {
            return Err(ConnectionLimitError::Full);
        }
        let ip = peer.ip().to_canonical();
        let ip_permit = if self.exempt.contains(ip) {
            None
        } else {
            let entered = self.ip_limiter.enter(ip, self.clock.now());
            Some(entered.map_err(|error| match error {
                IpLimitError::TooMany => ConnectionLimitError::TooMany,
                IpLimitError::TooFast => ConnectionLimitError::TooFast,
            })?)
        };
        Ok(Arc::new(ConnectionSlot { _open: open, _ip_permit: ip_permit, permits: Mutex::default() }))
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl ConnectionSlot {
    /// Keeps the permit of a request that upgraded the connection, until the connection ends.
    pub(crate) fn hold(&self, permit: Option<ConcurrencyPermit>) {
        self.permits.lock().unwrap_or_else(PoisonError::into_inner).extend(permit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_IP: IpLimits = IpLimits { at_once: 1, per_second: 1, burst: 2 };

    fn limit(max: usize, loopback: bool) -> Arc<ConnectionLimit> {
        let proxies = vec!["192.0.2.0/24".parse().expect("a network")];
        let exempt = ExemptAddresses { proxies, loopback };
        Arc::new(ConnectionLimit::new(max, PER_IP, exempt, Clock::new()))
    }

    fn peer(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().expect("an address"), 9)
    }

    #[test]
    fn an_address_has_its_own_limit_and_a_trusted_proxy_has_none() {
        let limit = limit(10, false);
        for ip in ["198.51.100.1", "127.0.0.1", "::1"] {
            let first = limit.admit(peer(ip));
            assert!(first.is_ok());
            assert_eq!(limit.admit(peer(ip)).err(), Some(ConnectionLimitError::TooMany), "{ip}");
        }
        let behind_a_proxy: Vec<_> =
            ["192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"].map(|ip| limit.admit(peer(ip))).into();
        assert!(behind_a_proxy.iter().all(Result::is_ok));
    }

    #[test]
    fn loopback_may_be_exempt_from_its_own_limit_but_not_from_that_of_the_relay() {
        let limit = limit(2, true);
        let open: Vec<_> = (0..2).map(|_| limit.admit(peer("127.0.0.1"))).collect();
        assert!(open.iter().all(Result::is_ok));
        for ip in ["127.0.0.1", "192.0.2.1", "198.51.100.1"] {
            assert_eq!(limit.admit(peer(ip)).err(), Some(ConnectionLimitError::Full), "{ip}");
        }
        assert_eq!(limit.open(), 2);
        drop(open);
        assert_eq!(limit.open(), 0);
    }
}
