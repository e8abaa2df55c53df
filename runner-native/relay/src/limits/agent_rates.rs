//! The rates of requests that the operator gave to single identities: one for all sessions of an identity.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hvym_proxy::limits::{RateLimiter, VisitorRate};
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::time::Instant;

/// How many seconds of a rate may come at once, after a pause: a page asks for a dozen things at once.
const BURST_SECONDS: u32 = 5;

/// What the sessions of one identity share.
pub(crate) struct AgentRate {
    per_second: u32,
    limiter: Mutex<RateLimiter>,
}

impl AgentRate {
    /// Whether one more request is within the rate.
    pub(crate) fn takes_request(&self, now: Instant) -> bool {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

/// The rates of a relay, as long as a session holds them.
#[derive(Default)]
pub(crate) struct AgentRates(Mutex<BTreeMap<Owner, Weak<AgentRate>>>);

impl AgentRates {
    /// The rate of `owner`, which its other sessions have too. After the operator changed it, new sessions share the new one.
    pub(crate) fn share(&self, owner: &Owner, per_second: u32, now: Instant) -> Arc<AgentRate> {
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rates.retain(|_, rate| rate.strong_count() > 0);
        let shared = rates.get(owner).and_then(Weak::upgrade).filter(|rate| rate.per_second == per_second);
        shared.unwrap_or_else(|| {
            let rate = VisitorRate { per_second, burst: per_second.saturating_mul(BURST_SECONDS) };
            let limiter = Mutex::new(RateLimiter::new(rate, now));
            let fresh = Arc::new(AgentRate { per_second, limiter });
            rates.insert(owner.clone(), Arc::downgrade(&fresh));
            fresh
        })
    }
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_core::stellar::Address;

    use super::*;

    const NOW: Instant = Instant::ZERO;

    fn owner(seed: u8) -> Owner {
        Owner::Identity(Address::from_public_key([seed; 32]))
    }

    fn taken(rate: &AgentRate) -> usize {
        std::iter::repeat_with(|| rate.takes_request(NOW)).take_while(|taken| *taken).count()
    }

    #[test]
    fn the_sessions_of_an_identity_share_one_rate_and_others_have_their_own() {
        let rates = AgentRates::default();
        let (first, second) = (rates.share(&owner(1), 2, NOW), rates.share(&owner(1), 2, NOW));
        let other = rates.share(&owner(2), 2, NOW);
        assert_eq!((taken(&first), taken(&second), taken(&other)), (10, 0, 10));
        let changed = rates.share(&owner(1), 3, NOW);
        assert_eq!((taken(&changed), taken(&rates.share(&owner(1), 3, NOW))), (15, 0));
        drop((first, second, other, changed));
        assert_eq!(taken(&rates.share(&owner(1), 2, NOW)), 10, "nobody had it any more");
        assert_eq!(rates.0.lock().expect("no panic").len(), 1, "what nobody has is forgotten");
    }
}
