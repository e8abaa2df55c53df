//! Who signs the logins of an agent: a key pair that it holds, or another program that is asked.

use std::fmt;
use std::sync::Arc;

use hvym_tunnel_core::stellar::delegation::{Delegation, DelegationId, Scopes, SignedDelegation};
use hvym_tunnel_core::stellar::{Address, Signature, SigningInput};
use hvym_tunnel_core::time::UnixTime;

use crate::clock::{self, Clock};
use crate::external_signer::{ExternalSigner, SignerError};
use crate::key::Identity;

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// A signer. Clones are the same one.
#[derive(Clone)]
pub struct Signer {
    holder: Holder,
    /// What lets the key act for somebody else.
    delegation: Option<Arc<SignedDelegation>>,
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
        let Some(days) = external.delegate_days() else { return Ok(Self::asked_each_time(external)) };
        let key = Identity::generate().map_err(|error| SignerError::Unreachable(error.to_string()))?;
        let now = Clock::new().wall().unix;
        let mut id = [0; 16];
        id.copy_from_slice(&clock::seed()[..16]);
        let signed = external.delegate(Delegation {
            owner: external.address(),
            key: key.address(),
            may: Scopes::ALL,
            services: Vec::new(),
            relay,
            from: now,
            until: UnixTime::from_secs(now.as_secs() + days * DAY),
            id: DelegationId(id),
        })?;
        Ok(Self { holder: Holder::Here(Arc::new(key)), delegation: Some(Arc::new(signed)) })
    }

    /// Has `external` sign each login, or each token, whatever it prefers.
    pub fn asked_each_time(external: ExternalSigner) -> Self {
        Self { holder: Holder::Elsewhere(Arc::new(external)), delegation: None }
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
        Self { holder: Holder::Here(identity), delegation: None }
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
