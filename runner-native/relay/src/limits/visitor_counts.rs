//! What visitors have open and under way, counted by [`VisitorLimits`], and given back when it is dropped.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_proxy::limits::{LimitError, Use, VisitorKey, VisitorLimits, VisitorLimitsConfig};
use hvym_tunnel_core::relay::Name;
use hvym_tunnel_net::clock::Clock;
use ipnet::IpNet;

/// Which addresses are not limited by themselves.
#[derive(Clone, Debug)]
pub(crate) struct ExemptAddresses {
    /// Proxies in front of the relay: behind one are many visitors, who are counted by what it says of them.
    pub(crate) proxies: Vec<IpNet>,
    /// Addresses of this machine, where a proxy may stand that nobody told the relay of.
    pub(crate) loopback: bool,
}

impl ExemptAddresses {
    fn contains(&self, ip: IpAddr) -> bool {
        self.proxies.iter().any(|net| net.contains(&ip)) || (ip.is_loopback() && self.loopback)
    }
}

/// The counters of a relay. A service is counted by its name: the first one of an agent has two.
pub(crate) struct VisitorCounts {
    counts: Mutex<VisitorLimits<Arc<Name>>>,
    exempt: ExemptAddresses,
    clock: Clock,
}

/// A connection, counted until it is dropped.
pub(crate) struct ConnectionSlot {
    counts: Arc<VisitorCounts>,
    visitor: Option<VisitorKey>,
    /// Of the requests that upgraded it.
    permits: Mutex<Vec<RequestPermit>>,
}

/// A request or tunnel, counted until it is dropped.
pub(crate) struct RequestPermit {
    counts: Arc<VisitorCounts>,
    visitor: Option<VisitorKey>,
    service: Arc<Name>,
    kind: Use,
    is_over: bool,
    is_pressed: bool,
}

impl VisitorCounts {
    /// Nothing is under way.
    pub(crate) fn new(config: VisitorLimitsConfig, exempt: ExemptAddresses, clock: Clock) -> Self {
        Self { counts: Mutex::new(VisitorLimits::new(config)), exempt, clock }
    }

    /// What the visitor at `ip` is counted by; `None`: by nothing of its own.
    pub(crate) fn key(&self, ip: IpAddr) -> Option<VisitorKey> {
        let ip = ip.to_canonical();
        (!self.exempt.contains(ip)).then(|| VisitorKey::new(ip))
    }

    /// A slot for one more connection from `peer`.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub(crate) fn connect(self: &Arc<Self>, peer: SocketAddr) -> Result<Arc<ConnectionSlot>, LimitError> {
        let visitor = self.key(peer.ip());
        self.lock().open(visitor, self.clock.now())?;
        Ok(Arc::new(ConnectionSlot { counts: Arc::clone(self), visitor, permits: Mutex::default() }))
    }

    /// As [`Self::connect`], for a connection of the reserve, which all do not fill.
    ///
    /// # Errors
    /// The limit of the visitor that it would exceed.
    pub(crate) fn connect_beyond(
        self: &Arc<Self>,
        peer: SocketAddr,
    ) -> Result<Arc<ConnectionSlot>, LimitError> {
        let visitor = self.key(peer.ip());
        self.lock().open_beyond(visitor, self.clock.now())?;
        Ok(Arc::new(ConnectionSlot { counts: Arc::clone(self), visitor, permits: Mutex::default() }))
    }

    /// A permit for one more request or tunnel of `visitor`.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub(crate) fn enter(
        self: &Arc<Self>,
        visitor: Option<VisitorKey>,
        service: &Arc<Name>,
        kind: Use,
    ) -> Result<RequestPermit, LimitError> {
        let mut counts = self.lock();
        counts.enter(visitor, service, kind, self.clock.now())?;
        let is_pressed = counts.is_pressed(service);
        drop(counts);
        let (counts, service) = (Arc::clone(self), Arc::clone(service));
        Ok(RequestPermit { counts, visitor, service, kind, is_over: false, is_pressed })
    }

    /// Counts by other limits from now on. What is open beyond a lower one stays open.
    pub(crate) fn set_config(&self, config: VisitorLimitsConfig) {
        self.lock().set_config(config);
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.lock().connections()
    }

    /// The limits that hold now, and how many requests are under way.
    pub(crate) fn config(&self) -> (VisitorLimitsConfig, usize) {
        let counts = self.lock();
        (*counts.config(), counts.requests())
    }

    fn lock(&self) -> MutexGuard<'_, VisitorLimits<Arc<Name>>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Keeps the permit of a request that upgraded the connection, until the connection ends.
    pub(crate) fn hold(&self, permit: Option<RequestPermit>) {
        let permit = permit.map(RequestPermit::over);
        self.permits.lock().unwrap_or_else(PoisonError::into_inner).extend(permit);
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.counts.lock().close(self.visitor);
    }
}

impl RequestPermit {
    /// The request was answered, or it is a tunnel: its end is no reset any more. Dropped before, it is one that its
    /// visitor broke off.
    #[must_use]
    pub(crate) fn over(mut self) -> Self {
        self.is_over = true;
        self
    }

    /// Whether more than half of the places were taken when it came, itself included: whoever is slow then is in the way of
    /// others. Those who came before hold half of the places at most.
    pub(crate) const fn is_pressed(&self) -> bool {
        self.is_pressed
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        let now = self.counts.clock.now();
        let mut counts = self.counts.lock();
        if !self.is_over {
            counts.handle_reset(self.visitor, now);
        }
        counts.leave(self.visitor, &self.service, self.kind);
    }
}

#[cfg(test)]
mod tests {
    use hvym_proxy::limits::{VisitorRate, VisitorShare};
    use hvym_tunnel_core::stellar::Address;

    use super::*;

    const RATE: VisitorRate = VisitorRate { per_second: 1, burst: 2 };
    const SHARE: VisitorShare = VisitorShare {
        connections: 1,
        connection_rate: RATE,
        requests: 10,
        service_requests: 10,
        service_tunnels: 1,
        reset_rate: RATE,
    };

    fn counts(connections: usize, loopback: bool) -> Arc<VisitorCounts> {
        let config =
            VisitorLimitsConfig { connections, requests: 100, service_requests: 100, visitor: SHARE };
        let proxies = vec!["203.0.113.0/24".parse().expect("a network")];
        Arc::new(VisitorCounts::new(config, ExemptAddresses { proxies, loopback }, Clock::new()))
    }

    fn peer(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().expect("an address"), 9)
    }

    fn service() -> Arc<Name> {
        Arc::new(Name { owner: Address::from_public_key([1; 32]).into(), service: None })
    }

    #[test]
    fn an_address_has_its_own_limit_and_a_trusted_proxy_has_none() {
        let counts = counts(10, false);
        for ip in ["198.51.100.1", "127.0.0.1", "::1"] {
            let first = counts.connect(peer(ip));
            assert!(first.is_ok());
            assert_eq!(counts.connect(peer(ip)).err(), Some(LimitError::VisitorConnections), "{ip}");
        }
        let behind_a_proxy: Vec<_> =
            ["203.0.113.1", "203.0.113.1", "::ffff:203.0.113.1"].map(|ip| counts.connect(peer(ip))).into();
        assert!(behind_a_proxy.iter().all(Result::is_ok));
    }

    #[test]
    fn loopback_may_be_exempt_from_its_own_limit_but_not_from_that_of_the_relay() {
        let counts = counts(2, true);
        let open: Vec<_> = (0..2).map(|_| counts.connect(peer("127.0.0.1"))).collect();
        assert!(open.iter().all(Result::is_ok));
        for ip in ["127.0.0.1", "203.0.113.1", "198.51.100.1"] {
            assert_eq!(counts.connect(peer(ip)).err(), Some(LimitError::Connections), "{ip}");
        }
        assert_eq!(counts.connections(), 2);
        drop(open);
        assert_eq!(counts.connections(), 0);
    }

    #[test]
    fn only_what_its_visitor_broke_off_counts_as_a_reset() {
        let counts = counts(10, false);
        let (_slot, visitor) = (counts.connect(peer("192.0.2.1")), counts.key(peer("192.0.2.1").ip()));
        for _ in 0..10 {
            let permit = counts.enter(visitor, &service(), Use::Request).expect("it breaks off nothing");
            drop(permit.over());
        }
        for _ in 0..2 {
            drop(counts.enter(visitor, &service(), Use::Request).expect("it broke off less"));
        }
        let refused = counts.enter(visitor, &service(), Use::Request);
        assert_eq!(refused.err(), Some(LimitError::ResetRate));
    }

    #[test]
    fn an_upgraded_connection_keeps_its_place_until_it_ends() {
        let counts = counts(10, false);
        let slot = counts.connect(peer("192.0.2.1")).expect("there is room");
        let visitor = counts.key(peer("192.0.2.1").ip());
        slot.hold(counts.enter(visitor, &service(), Use::Tunnel).ok());
        let refused = counts.enter(visitor, &service(), Use::Tunnel);
        assert_eq!(refused.err(), Some(LimitError::VisitorTunnels));
        drop(slot);
        assert!(counts.enter(visitor, &service(), Use::Tunnel).is_ok());
    }
}
