//! The order and the pace of connection attempts to a host with several addresses (RFC 8305), without sockets and without
//! a clock.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use hvym_tunnel_core::time::Instant;

/// How long an attempt goes on alone before the next is begun beside it, the Connection Attempt Delay that RFC 8305
/// section 8 recommends: longer than most round trips, and too short for a person to notice a dead address.
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one host that are tried. All are begun within four seconds, before any caller gives up; more would only
/// hold more sockets at once.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// Attempts to connect to one host. The first that succeeds wins, and the others are to be dropped.
#[derive(Debug)]
pub(crate) struct HappyEyeballs {
    untried: VecDeque<SocketAddr>,
    in_progress: usize,
    /// From when on the next address may be tried beside those in progress.
    next_at: Instant,
}

impl HappyEyeballs {
    /// Tries `addresses`, which are in the resolver's order of preference (RFC 6724), alternating between the families
    /// (RFC 8305 section 4).
    pub(crate) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut untried = interleaved(addresses);
        untried.truncate(MAX_ADDRESSES);
        Self { untried, in_progress: 0, next_at: Instant::ZERO }
    }

    /// The address to try now. Every attempt ends in [`Self::handle_failure`] or wins.
    pub(crate) fn poll_attempt(&mut self, now: Instant) -> Option<SocketAddr> {
        if self.in_progress > 0 && now < self.next_at {
            return None;
        }
        let address = self.untried.pop_front()?;
        self.in_progress += 1;
        self.next_at = now + ATTEMPT_DELAY;
        Some(address)
    }

    /// When the next address is due though nothing failed; `None` if all were tried.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (!self.untried.is_empty()).then_some(self.next_at)
    }

    /// An attempt failed: the next is due at once (RFC 8305 section 5).
    pub(crate) fn handle_failure(&mut self, now: Instant) {
        self.in_progress = self.in_progress.saturating_sub(1);
        self.next_at = now;
    }
}

/// The addresses in the order of their families: one of each in turn, beginning with that of the first.
fn interleaved(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut all = Vec::new();
    for address in addresses {
        // Resolvers name an address once for each source that they know it from.
        if !all.contains(&address) {
            all.push(address);
        }
    }
    let is_first_v6 = all.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = all.into_iter().partition(|at| at.is_ipv6() == is_first_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = VecDeque::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `4a` is an IPv4 address, `6a` an IPv6 address.
    fn address(name: &str) -> SocketAddr {
        let (family, host) = name.split_at(1);
        let host = host.bytes().next().expect("a letter");
        match family {
            "4" => ([192, 0, 2, host], 443).into(),
            _ => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)], 443).into(),
        }
    }

    fn dial(names: &str) -> HappyEyeballs {
        HappyEyeballs::new(names.split_whitespace().map(address))
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn families_alternate_and_the_resolver_says_which_is_first() {
        for (resolved, tried) in [
            ("", ""),
            ("4a", "4a"),
            ("6a 6b 4a 4b", "6a 4a 6b 4b"),
            ("4a 4b 4c 6a", "4a 6a 4b 4c"),
            ("6a 4a 4b 4c", "6a 4a 4b 4c"),
            ("6a 4a 6a 4a", "6a 4a"),
        ] {
            let mut dial = dial(resolved);
            let order: Vec<_> = std::iter::from_fn(|| {
                dial.handle_failure(at(0));
                dial.poll_attempt(at(0))
            })
            .collect();
            assert_eq!(order, tried.split_whitespace().map(address).collect::<Vec<_>>(), "{resolved}");
        }
    }

    #[test]
    fn the_next_attempt_begins_after_the_delay_and_at_once_after_a_failure() {
        let mut dial = dial("6a 4a 6b");
        assert_eq!(dial.poll_attempt(at(1000)), Some(address("6a")));
        assert_eq!((dial.poll_attempt(at(1000)), dial.poll_timeout()), (None, Some(at(1250))));
        assert_eq!(dial.poll_attempt(at(1249)), None);
        assert_eq!(dial.poll_attempt(at(1250)), Some(address("4a")));
        assert_eq!((dial.poll_attempt(at(1300)), dial.poll_timeout()), (None, Some(at(1500))));
        dial.handle_failure(at(1300));
        assert_eq!(dial.poll_timeout(), Some(at(1300)));
        assert_eq!((dial.poll_attempt(at(1300)), dial.poll_timeout()), (Some(address("6b")), None));
        assert_eq!(dial.poll_attempt(at(9999)), None);
    }

    #[test]
    fn at_most_so_many_addresses_are_tried() {
        for count in [MAX_ADDRESSES - 1, MAX_ADDRESSES, MAX_ADDRESSES + 1] {
            let addresses = (1..=count).map(|last| ([192, 0, 2, u8::try_from(last).unwrap_or(0)], 1).into());
            let mut dial = HappyEyeballs::new(addresses);
            let tried = (0..count as u64).filter(|n| dial.poll_attempt(at(250 * n)).is_some()).count();
            assert_eq!(tried, count.min(MAX_ADDRESSES));
        }
    }
}
