//! The names that a relay gives to identities beside those made of their addresses: who has them, and how they are kept.
//!
//! Whether a host name may be claimed, [`proof`] finds out. It knows neither sessions nor agents.

pub(crate) mod proof;
mod resolver;
mod store;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hvym_tunnel_core::names::{ClaimError, ClaimRegistry, PublicName};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::state_dir::StateDir;

pub use proof::{DnsLookup, LookupError, Lookups};
pub(crate) use resolver::Resolver;
pub(crate) use store::NamesError;

/// Look-ups for proofs at once: each holds a socket for some seconds, and agents ask for as many as they like.
const MAX_LOOKUPS: usize = 32;

/// The claimed names of one relay.
pub(crate) struct NameRegistry {
    claims: Mutex<ClaimRegistry>,
    folder: Option<StateDir>,
    /// Names have changed since the file was written.
    is_dirty: AtomicBool,
    /// Held while the file is written.
    writing: smol::lock::Mutex<()>,
    /// Cloned by each look-up, which counts them.
    lookups: Arc<()>,
}

impl NameRegistry {
    /// The names that this folder keeps, each for an owner that stays away no longer than `keep`.
    ///
    /// # Errors
    /// The file cannot be read, or not be set aside although it is no file of names.
    pub(crate) fn load(folder: Option<StateDir>, keep: Duration) -> Result<Self, NamesError> {
        let mut claims = ClaimRegistry::new(keep);
        if let Some(folder) = &folder {
            let left_out = claims.restore(store::read(folder)?);
            if left_out > 0 {
                tracing::warn!(left_out, "there are more claimed names than a relay keeps");
            }
        }
        Ok(Self {
            claims: Mutex::new(claims),
            folder,
            is_dirty: AtomicBool::new(false),
            writing: smol::lock::Mutex::default(),
            lookups: Arc::default(),
        })
    }

    /// All names and their owners.
    pub(crate) fn all(&self) -> Vec<(PublicName, Address)> {
        self.lock().iter().map(|(name, claim)| (name.clone(), claim.owner)).collect()
    }

    /// Who has a name.
    pub(crate) fn owner(&self, name: &PublicName) -> Option<Address> {
        self.lock().owner(name)
    }

    /// As [`ClaimRegistry::claim`].
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn claim(
        &self,
        name: PublicName,
        owner: Address,
        is_here: impl Fn(&Address) -> bool,
        now: UnixTime,
    ) -> Result<(), ClaimError> {
        self.lock().claim(name, owner, is_here, now)
    }

    /// As [`ClaimRegistry::remove`].
    pub(crate) fn remove(&self, name: &PublicName) {
        self.lock().remove(name);
    }

    /// As [`ClaimRegistry::expire`].
    pub(crate) fn expire(&self, is_here: impl Fn(&Address) -> bool, now: UnixTime) -> Vec<PublicName> {
        self.lock().expire(is_here, now)
    }

    /// One of the look-ups that may be under way at once; `None`: there are too many.
    pub(crate) fn lookup(&self) -> Option<Arc<()>> {
        let place = Arc::clone(&self.lookups);
        // One reference is the registry's own, and one this.
        (Arc::strong_count(&place) <= MAX_LOOKUPS + 1).then_some(place)
    }

    /// Names have changed: writes them, in a thread of its own, unless somebody else does meanwhile. Returns when they are
    /// written, or cannot be.
    pub(crate) async fn keep(self: &Arc<Self>) {
        self.is_dirty.store(true, Ordering::Release);
        let _alone = self.writing.lock().await;
        let names = Arc::clone(self);
        smol::unblock(move || names.write()).await;
    }

    fn write(&self) {
        let Some(folder) = &self.folder else { return };
        if self.is_dirty.swap(false, Ordering::AcqRel) {
            let claims = self.lock().clone();
            if let Err(error) = store::write(folder, &claims) {
                tracing::error!(%error, "the claimed names cannot be written, and are lost when the relay ends");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ClaimRegistry> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
