//! Connections and connection rate of one IP address. Knows no socket and no clock.
//!
//! IPv6 addresses are counted by their /64, which a network assigns to one customer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_tunnel_core::time::Instant;

use crate::config::Limits;

/// Addresses that are kept for their rate, some 100 bytes each. A flood from more addresses is limited by the number
/// of connections alone.
const MAX_REMEMBERED: usize = 65_536;
/// The rate is counted in these fractions of a connection.
const PARTS: u64 = 1_000_000;

/// The limits of one address.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct IpLimits {
    /// Connections at once.
    pub(crate) at_once: usize,
    /// New connections per second, after the burst.
    pub(crate) per_second: u32,
    /// New connections at once, after a pause.
    pub(crate) burst: u32,
}

impl From<&Limits> for IpLimits {
    fn from(limits: &Limits) -> Self {
        let at_once = limits.visitor_connections.unwrap_or(Limits::DEFAULT_VISITOR_CONNECTIONS);
        Self {
            at_once,
            per_second: limits.visitor_rate.unwrap_or(Limits::DEFAULT_VISITOR_RATE),
            burst: u32::try_from(at_once).unwrap_or(u32::MAX),
        }
    }
}

/// Why a connection is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum IpLimitError {
    /// The address has its maximum of connections.
    TooMany,
    /// The address exceeds its rate.
    TooFast,
}

#[derive(Debug)]
struct Visits {
    open: usize,
    /// The token bucket's level, in millionths of a connection.
    level: u64,
    at: Instant,
}

/// The addresses with connections, and those with recent ones.
#[derive(Debug)]
pub(crate) struct IpLimiter {
    pace: IpLimits,
    visits: Mutex<BTreeMap<IpAddr, Visits>>,
}

/// One connection, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct IpPermit {
    ip_limiter: Arc<IpLimiter>,
    who: IpAddr,
}

impl Drop for IpPermit {
    fn drop(&mut self) {
        if let Some(visits) = self.ip_limiter.lock().get_mut(&self.who) {
            visits.open -= 1;
        }
    }
}

impl IpLimiter {
    /// No connections.
    pub(crate) fn new(pace: IpLimits) -> Self {
        Self { pace, visits: Mutex::default() }
    }

    /// Counts one connection from `from`.
    pub(crate) fn enter(self: &Arc<Self>, from: IpAddr, now: Instant) -> Result<IpPermit, IpLimitError> {
        let who = customer(from);
        let full = u64::from(self.pace.burst) * PARTS;
        let mut all = self.lock();
        if all.len() >= MAX_REMEMBERED && !all.contains_key(&who) {
            let pace = self.pace;
            all.retain(|_, visits| visits.open > 0 || visits.level_at(pace, now) < full);
            if all.len() >= MAX_REMEMBERED {
                // The map is full: drop the rate-limit state of addresses without an open connection.
                all.retain(|_, visits| visits.open > 0);
            }
        }
        let visits = all.entry(who).or_insert(Visits { open: 0, level: full, at: now });
        (visits.level, visits.at) = (visits.level_at(self.pace, now), visits.at.max(now));
        if visits.open >= self.pace.at_once {
            return Err(IpLimitError::TooMany);
        }
        visits.level = visits.level.checked_sub(PARTS).ok_or(IpLimitError::TooFast)?;
        visits.open += 1;
        Ok(IpPermit { ip_limiter: Arc::clone(self), who })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Visits>> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visits {
    fn level_at(&self, pace: IpLimits, now: Instant) -> u64 {
        let micros = u64::try_from((now - self.at).as_micros()).unwrap_or(u64::MAX);
        let earned = micros.saturating_mul(u64::from(pace.per_second));
        self.level.saturating_add(earned).min(u64::from(pace.burst) * PARTS)
    }
}

fn customer(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: IpLimits = IpLimits { at_once: 3, per_second: 2, burst: 4 };

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn turned(ip_limiter: &Arc<IpLimiter>, from: &str, now: Instant) -> Option<IpLimitError> {
        ip_limiter.enter(ip(from), now).err()
    }

    #[test]
    fn a_visitor_has_only_so_many_connections_at_once() {
        let ip_limiter = Arc::new(IpLimiter::new(PACE));
        let mut inside: Vec<IpPermit> = (0..3)
            .map(|_| ip_limiter.enter(ip("192.0.2.1"), Instant::ZERO).expect("there is room"))
            .collect();
        assert_eq!(turned(&ip_limiter, "192.0.2.1", Instant::ZERO), Some(IpLimitError::TooMany));
        assert_eq!(turned(&ip_limiter, "::ffff:192.0.2.1", Instant::ZERO), Some(IpLimitError::TooMany));
        assert_eq!(turned(&ip_limiter, "192.0.2.2", Instant::ZERO), None);
        inside.pop();
        assert_eq!(turned(&ip_limiter, "192.0.2.1", Instant::ZERO), None);
    }

    #[test]
    fn a_burst_is_let_in_and_then_so_many_a_second() {
        let ip_limiter = Arc::new(IpLimiter::new(PACE));
        let at = |millis| turned(&ip_limiter, "192.0.2.1", Instant::from_millis(millis));
        assert_eq!([at(0), at(0), at(0), at(0)], [None; 4]);
        assert_eq!(at(0), Some(IpLimitError::TooFast));
        assert_eq!(at(499), Some(IpLimitError::TooFast));
        assert_eq!((at(500), at(500)), (None, Some(IpLimitError::TooFast)));
        // Rest refills the burst, and no more than that.
        assert_eq!([at(60_000), at(60_000), at(60_000), at(60_000)], [None; 4]);
        assert_eq!(at(60_000), Some(IpLimitError::TooFast));
    }

    #[test]
    fn a_network_of_ipv6_is_one_visitor() {
        let ip_limiter = Arc::new(IpLimiter::new(PACE));
        for last in 1..=4 {
            assert_eq!(turned(&ip_limiter, &format!("2001:db8::{last}"), Instant::ZERO), None);
        }
        assert_eq!(turned(&ip_limiter, "2001:db8::ffff", Instant::ZERO), Some(IpLimitError::TooFast));
        assert_eq!(turned(&ip_limiter, "2001:db8:0:1::1", Instant::ZERO), None);
    }

    #[test]
    fn a_flood_of_addresses_is_forgotten_and_those_inside_are_not() {
        let ip_limiter = Arc::new(IpLimiter::new(PACE));
        let _inside: Vec<IpPermit> = (0..3)
            .map(|_| ip_limiter.enter(ip("192.0.2.1"), Instant::ZERO).expect("there is room"))
            .collect();
        for number in 0..2 * MAX_REMEMBERED {
            let from = IpAddr::from((0x0a00_0000 + u32::try_from(number).expect("it fits")).to_be_bytes());
            assert!(ip_limiter.enter(from, Instant::ZERO).is_ok());
            assert!(ip_limiter.lock().len() <= MAX_REMEMBERED);
        }
        assert_eq!(turned(&ip_limiter, "192.0.2.1", Instant::ZERO), Some(IpLimitError::TooMany));
    }
}
