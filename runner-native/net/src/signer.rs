//! Who signs the logins of an agent: a key pair that it holds, or another program that is asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::stellar::delegation::{Delegation, DelegationId, Scopes, SignedDelegation};
use hvym_tunnel_core::stellar::{Address, Signature, SigningInput};
use hvym_tunnel_core::time::UnixTime;

use crate::clock::{self, Clock};
use crate::external_signer::{ExternalSigner, SignerError};
use crate::key::Identity;

/// Of so many parts of a delegation's time the last one is left for the next to be asked for: its owner may sleep, or be away.
const RENEWAL_SHARE: u64 = 10;

/// A signer. Clones are the same one.
#[derive(Clone)]
pub struct Signer {
    holder: Holder,
    /// What lets the key act for somebody else.
    delegation: Option<Arc<SignedDelegation>>,
    /// Who gave that, and gives the next one.
    delegator: Option<Arc<Delegator>>,
}

/// A signer that wants to be asked once and not for each login.
struct Delegator {
    external: ExternalSigner,
    lasts: Duration,
    relay: Option<String>,
}

#[derive(Clone)]
enum Holder {
    Here(Arc<Identity>),
    Elsewhere(Arc<ExternalSigner>),
}

impl Signer {
    /// Has `external` sign: each login, or, if it prefers that, a delegation to a key that is forgotten at the end of this process.
    /// The delegation is good for `relay` alone, if one is named. Blocks while it is asked.
    ///
    /// # Errors
    /// [`SignerError`]
    pub fn external(external: ExternalSigner, relay: Option<String>) -> Result<Self, SignerError> {
        match external.delegate_for() {
            Some(lasts) => Self::delegated(Arc::new(Delegator { external, lasts, relay })),
            None => Ok(Self::asked_each_time(external)),
        }
    }

    /// Asks for a delegation to a key that is made now.
    fn delegated(delegator: Arc<Delegator>) -> Result<Self, SignerError> {
        let key = Identity::generate().map_err(|error| SignerError::Unreachable(error.to_string()))?;
        let now = Clock::new().wall().unix;
        let mut id = [0; 16];
        id.copy_from_slice(&clock::seed()[..16]);
        let signed = delegator.external.delegate(Delegation {
            owner: delegator.external.address(),
            key: key.address(),
            may: Scopes::ALL,
            services: Vec::new(),
            relay: delegator.relay.clone(),
            from: now,
            until: UnixTime::from_secs(now.as_secs() + delegator.lasts.as_secs()),
            id: DelegationId(id),
        })?;
        let (holder, delegation) = (Holder::Here(Arc::new(key)), Some(Arc::new(signed)));
        Ok(Self { holder, delegation, delegator: Some(delegator) })
    }

    /// When to ask for the next delegation, so that its owner has a tenth of the time of this one to answer. `None` where none was
    /// asked for.
    pub fn renewal_at(&self) -> Option<UnixTime> {
        let delegation = &self.delegation.as_ref().filter(|_| self.delegator.is_some())?.delegation;
        let left = delegation.until.as_secs().saturating_sub(delegation.from.as_secs()) / RENEWAL_SHARE;
        Some(UnixTime::from_secs(delegation.until.as_secs() - left))
    }

    /// The same signer with another delegation, for another key, from now on. Blocks while it is asked.
    ///
    /// # Errors
    /// [`SignerError`]; without a delegation there is none to renew, and the signer is as it was.
    pub fn renewed(&self) -> Result<Self, SignerError> {
        match &self.delegator {
            Some(delegator) => Self::delegated(Arc::clone(delegator)),
            None => Ok(self.clone()),
        }
    }

    /// Has `external` sign each login, or each token, whatever it prefers.
    pub fn asked_each_time(external: ExternalSigner) -> Self {
        Self { holder: Holder::Elsewhere(Arc::new(external)), delegation: None, delegator: None }
    }

    /// Who logs in: the account of the key, or the one that it acts for.
    pub fn address(&self) -> Address {
        match &self.delegation {
            Some(signed) => signed.delegation.owner,
            None => self.key_address(),
        }
    }

    /// The account whose key signs.
    pub fn key_address(&self) -> Address {
        match &self.holder {
            Holder::Here(identity) => identity.address(),
            Holder::Elsewhere(external) => external.address(),
        }
    }

    /// What lets the key act for another account, where the signer has given one.
    pub fn delegation(&self) -> Option<&SignedDelegation> {
        self.delegation.as_deref()
    }

    /// The key pair, if it is held here.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match &self.holder {
            Holder::Here(identity) => Some(identity),
            Holder::Elsewhere(_) => None,
        }
    }

    /// The signature. Blocks while another program is asked.
    ///
    /// # Errors
    /// [`SignerError`]
    pub fn sign(&self, input: &SigningInput) -> Result<Signature, SignerError> {
        match &self.holder {
            Holder::Here(identity) => Ok(identity.sign(input)),
            Holder::Elsewhere(external) => external.sign(input),
        }
    }
}

impl From<Arc<Identity>> for Signer {
    fn from(identity: Arc<Identity>) -> Self {
        Self { holder: Holder::Here(identity), delegation: None, delegator: None }
    }
}

impl From<Identity> for Signer {
    fn from(identity: Identity) -> Self {
        Arc::new(identity).into()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("address", &self.address()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use hvym_tunnel_core::stellar::delegation::SignatureForm;

    use super::*;
    use crate::external_signer::SignerPlace;

    #[test]
    fn a_tenth_of_the_time_is_left_when_the_next_delegation_is_to_be_asked_for() {
        let owner = Identity::generate().expect("randomness");
        let key = Arc::new(Identity::generate().expect("randomness"));
        assert_eq!(Signer::from(Arc::clone(&key)).renewal_at(), None);
        let answer = format!(r#"{{"address":"{}","delegate_days":7}}"#, owner.address());
        let place = ["sh", "-c", &format!("read question; echo '{answer}'")].map(str::to_owned);
        let external = ExternalSigner::connect(SignerPlace::Command(place.into())).expect("a signer");
        let (from, lasts) = (UnixTime::from_secs(1000), Duration::from_secs(7 * 86_400));
        let delegation = Delegation {
            owner: owner.address(),
            key: key.address(),
            may: Scopes::ALL,
            services: Vec::new(),
            relay: None,
            from,
            until: UnixTime::from_secs(1000 + lasts.as_secs()),
            id: DelegationId([0; 16]),
        };
        let signed = delegation.signed(Signature([0; 64]), SignatureForm::Raw);
        let signer = Signer {
            holder: Holder::Here(key),
            delegation: Some(Arc::new(signed)),
            delegator: Some(Arc::new(Delegator { external, lasts, relay: None })),
        };
        assert_eq!(signer.renewal_at(), Some(UnixTime::from_secs(1000 + 9 * lasts.as_secs() / 10)));
        // One that came by a file is its owner's business.
        assert_eq!(Signer { delegator: None, ..signer }.renewal_at(), None);
    }
}
