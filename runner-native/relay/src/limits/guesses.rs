//! Who gave wrong keys and tokens lately, by address.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hvym_proxy::limits::{GuessLimits, VisitorKey};
use hvym_tunnel_core::time::Instant;

/// The delays of all addresses. Addresses of this machine have them too: nobody mistypes for ever.
#[derive(Default)]
pub(crate) struct Guesses(Mutex<GuessLimits>);

impl Guesses {
    /// Whether a key of this address is looked at now.
    ///
    /// # Errors
    /// How long none of this address is.
    pub(crate) fn check(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        self.lock().check(VisitorKey::new(from), now)
    }

    /// A key of this address was wrong. Returns how long none of its keys is looked at from now on.
    pub(crate) fn handle_wrong(&self, from: IpAddr, now: Instant) -> Duration {
        self.lock().handle_wrong(VisitorKey::new(from), now)
    }

    /// Addresses of which no key is looked at now.
    pub(crate) fn delayed(&self, now: Instant) -> usize {
        self.lock().delayed(now)
    }

    fn lock(&self) -> MutexGuard<'_, GuessLimits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
