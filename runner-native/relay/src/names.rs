//! The names that a relay gives to identities beside those made of their addresses: who has them, and how they are kept.
//!
//! Whether a host name may be claimed, [`proof`] finds out. Where names lead is asked of the table of sessions.

mod dns_message;
pub(crate) mod proof;
mod resolver;
mod store;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hvym_tunnel_core::names::{ClaimError, ClaimedName, Claims, CustomHost, PublicName};
use hvym_tunnel_core::relay::{BindRefusal, Owner};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::timer::Timer;

use crate::relay_state::RelayState;
use crate::state_dir::StateDir;

pub use proof::{DnsLookup, LookupError, Lookups};
pub(crate) use resolver::Resolver;
pub(crate) use store::NamesError;

/// How often names of owners that stayed away are looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3600);
/// Look-ups for proofs at once: each holds a socket for some seconds, and agents ask for as many as they like.
const MAX_LOOKUPS: usize = 32;

/// The claimed names of one relay.
pub(crate) struct NameRegistry {
    claims: Mutex<Claims>,
    folder: Option<StateDir>,
    /// Names have changed since the file was written.
    is_dirty: AtomicBool,
    /// Held while the file is written.
    writing: Mutex<()>,
    /// Cloned by each look-up, which counts them.
    lookups: Arc<()>,
}

impl NameRegistry {
    /// The names that this folder keeps, each for an owner that stays away no longer than `keep`.
    ///
    /// # Errors
    /// The file cannot be read, or not be set aside although it is no file of names.
    pub(crate) fn load(folder: Option<StateDir>, keep: Duration, now: UnixTime) -> Result<Self, NamesError> {
        let mut claims = Claims::new(keep);
        if let Some(folder) = &folder {
            let left_out = claims.restore(store::read(folder, now)?);
            if left_out > 0 {
                tracing::warn!(left_out, "there are more claimed names than a relay keeps");
            }
        }
        Ok(Self {
            claims: Mutex::new(claims),
            folder,
            is_dirty: AtomicBool::new(false),
            writing: Mutex::default(),
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

    fn claim(&self, state: &RelayState, name: PublicName, owner: Address) -> Result<(), ClaimError> {
        let now = state.clock.wall().unix;
        self.lock().claim(name, owner, |address| is_here(state, address), now)
    }

    fn lock(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the file, unless it is as it should be.
    fn write(&self) {
        let Some(folder) = &self.folder else { return };
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_dirty.swap(false, Ordering::AcqRel) {
            let claims = self.lock().clone();
            if let Err(error) = store::write(folder, &claims) {
                tracing::error!(%error, "the claimed names cannot be written, and are lost when the relay ends");
            }
        }
    }
}

fn is_here(state: &RelayState, address: &Address) -> bool {
    state.sessions.is_here(&Owner::Identity(*address))
}

/// Has the file written, in a thread of its own.
fn write_soon(state: &Arc<RelayState>) {
    if !state.names.is_dirty.swap(true, Ordering::AcqRel) {
        let state = Arc::clone(state);
        spawn(smol::unblock(move || state.names.write())).detach();
    }
}

/// A name that an agent asked for.
pub(crate) struct Request {
    pub(crate) state: Arc<RelayState>,
    pub(crate) owner: Address,
}

impl Request {
    /// Gives a label to the agent's identity. Returns its URL.
    ///
    /// # Errors
    /// What the agent's owner is told.
    pub(crate) fn label(&self, text: &str) -> Result<(ClaimedName, String), BindRefusal> {
        let state = &self.state;
        let name = ClaimedName::new(text).map_err(|error| refusal("bad_name", error.to_string()))?;
        match state.plugins.registry.may_claim(&self.owner, name.as_str()) {
            Some(Ok(())) => {}
            Some(Err(kept)) => return Err(refusal("not_allowed", kept.0)),
            None => state.names.check_offered(state)?,
        }
        if state.sessions.find_guest(name.as_str()).is_some() {
            return Err(refusal("taken", ClaimError::Taken.to_string()));
        }
        self.give(PublicName::Label(name.clone()))?;
        let url = state.claimed_url(&name, None);
        Ok((name, url))
    }

    /// Gives a host name to the agent's identity, if DNS says that it is. Returns its URL.
    ///
    /// # Errors
    /// What the agent's owner is told.
    pub(crate) async fn host(&self, text: &str) -> Result<String, BindRefusal> {
        let state = &self.state;
        state.names.check_offered(state)?;
        let host = CustomHost::new(text).map_err(|error| refusal("bad_name", error.to_string()))?;
        if host.is_within(&state.settings.options.ingress.domain)
            || state.info.names.contains(host.as_str(), false)
        {
            return Err(refusal("bad_name", "this host name is the relay's own".to_owned()));
        }
        let place = Arc::clone(&state.names.lookups);
        if Arc::strong_count(&place) > MAX_LOOKUPS + 1 {
            return Err(refusal("overloaded", "the relay looks up too many host names now".to_owned()));
        }
        let name = PublicName::Host(host.clone());
        match proof::is_proven(&*state.plugins.dns, &host, &proof::accepted(state, &self.owner)).await {
            Ok(true) => {}
            Ok(false) => {
                state.names.lose(state, &name, &self.owner);
                return Err(refusal("not_proven", proof::advice(state, &host, &self.owner)));
            }
            // Who had it by a proof keeps it while nobody can look.
            Err(_) if state.names.owner(&name) == Some(self.owner) => {}
            Err(error) => {
                return Err(refusal("lookup_failed", format!("{host} cannot be looked up: {error}")));
            }
        }
        // DNS says whose it is now, whoever had it before.
        if state.names.owner(&name).is_some_and(|owner| owner != self.owner) {
            state.names.lock().remove(&name);
        }
        self.give(name)?;
        Ok(state.url_of_host(host.as_str()))
    }

    fn give(&self, name: PublicName) -> Result<(), BindRefusal> {
        let state = &self.state;
        state.names.claim(state, name.clone(), self.owner).map_err(|error| {
            let code = match error {
                ClaimError::Taken => "taken",
                ClaimError::TooMany => "too_many",
                ClaimError::Full => "full",
            };
            refusal(code, error.to_string())
        })?;
        tracing::info!(owner = %self.owner, name = name.as_str(), "claimed");
        state.sessions.give_name(name, self.owner);
        write_soon(state);
        Ok(())
    }
}

impl NameRegistry {
    fn check_offered(&self, state: &RelayState) -> Result<(), BindRefusal> {
        match state.settings.options.names.claim_names {
            true => Ok(()),
            false => {
                let error = "this relay gives no names; its operator can offer them with --claim-names";
                Err(refusal("not_offered", error.to_owned()))
            }
        }
    }

    /// A host name is no longer proven to be this address's.
    fn lose(&self, state: &Arc<RelayState>, name: &PublicName, owner: &Address) {
        if self.owner(name) == Some(*owner) {
            self.lock().remove(name);
            state.sessions.withdraw_name(name);
            write_soon(state);
        }
    }
}

fn refusal(code: &'static str, error: String) -> BindRefusal {
    BindRefusal { code, error }
}

/// Frees names whose owners stayed away, as long as the relay runs.
pub(crate) async fn expire(state: Arc<RelayState>) {
    loop {
        let freed = state.names.lock().expire(|owner| is_here(&state, owner), state.clock.wall().unix);
        for name in &freed {
            tracing::info!(name = name.as_str(), "its owner stayed away: the name is free again");
            state.sessions.withdraw_name(name);
        }
        write_soon(&state);
        Timer::after(EXPIRY_INTERVAL).await;
    }
}
