//! Delegations with a signature, before and after it was checked, and what a checked one allows.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

use super::{Delegation, DelegationError};
use crate::json::{FieldReader, JsonError, Object, Value, fields};
use crate::stellar::address::Address;
use crate::stellar::scope::Scope;
use crate::stellar::signature::Signature;
use crate::time::{SKEW, UnixTime};

/// What stands before a message that a wallet signs (SEP-53), so that it can be no transaction.
pub const SEP53_PREFIX: &str = "Stellar Signed Message:\n";

/// What an owner signs of the text.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SignatureForm {
    /// Its bytes.
    Raw,
    /// The SHA-256 of [`SEP53_PREFIX`] and its bytes.
    Sep53,
}

impl SignatureForm {
    /// Its name in the claim.
    pub const fn name(self) -> &'static str {
        match self {
            SignatureForm::Raw => "raw",
            SignatureForm::Sep53 => "sep53",
        }
    }

    /// Whether `signer` signed `text` in this form.
    pub fn is_signed(self, signer: Address, text: &str, signature: &Signature) -> bool {
        match self {
            SignatureForm::Raw => signature.is_by(signer, text.as_bytes()),
            SignatureForm::Sep53 => {
                let hash = Sha256::new().chain_update(SEP53_PREFIX).chain_update(text).finalize();
                signature.is_by(signer, &hash)
            }
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Raw, Self::Sep53].into_iter().find(|form| form.name() == name)
    }
}

/// A delegation with a signature that was not checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedDelegation {
    /// What is allowed.
    pub delegation: Delegation,
    /// By the owner, if it is right.
    pub signature: Signature,
    /// What was signed.
    pub form: SignatureForm,
}

impl SignedDelegation {
    /// Checks the form of the text and the signature of the owner. Nothing is said about the time, the key or the relay.
    ///
    /// # Errors
    /// [`DelegationError::Malformed`] and [`DelegationError::Forged`].
    pub fn verify(self) -> Result<VerifiedDelegation, DelegationError> {
        self.delegation.check()?;
        let (owner, text) = (self.delegation.owner, self.delegation.to_string());
        if self.form.is_signed(owner, &text, &self.signature) {
            Ok(VerifiedDelegation(self))
        } else {
            Err(DelegationError::Forged(owner))
        }
    }

    /// As the claim `delegation` of a token has it, and a file: `{"text":"..","signature":"..","form":"raw"}`.
    pub fn to_json(&self) -> String {
        let mut object = Object::new();
        object.put("text", Value::Text(&self.delegation.to_string()));
        object.put("signature", Value::Text(&self.signature.to_string()));
        object.put("form", Value::Text(self.form.name()));
        object.finish()
    }

    /// Reads [`Self::to_json`].
    ///
    /// # Errors
    /// [`DelegationError::Malformed`].
    pub fn from_json(json: &[u8]) -> Result<Self, DelegationError> {
        let (text, signature, form) = read(json)
            .map_err(|_| DelegationError::Malformed("it is not an object with text, signature and form"))?;
        Self::from_parts(&text, &signature, &form)
    }

    /// Reads the text, the signature in base64url, and the name of its form.
    ///
    /// # Errors
    /// [`DelegationError::Malformed`].
    pub fn from_parts(text: &str, signature: &str, form: &str) -> Result<Self, DelegationError> {
        let mut bytes = [0; 64];
        match Base64UrlUnpadded::decode(signature, &mut bytes) {
            Ok(decoded) if decoded.len() == 64 => {}
            _ => return Err(DelegationError::Malformed("its signature is not 64 bytes in base64url")),
        }
        let form = SignatureForm::named(form)
            .ok_or(DelegationError::Malformed("its signature has a form that is not known here"))?;
        Ok(text.parse::<Delegation>()?.signed(Signature(bytes), form))
    }

    /// Whether it lets `key` call `service` of its own signer, `owner`, at `now`: what an owner checks who does not take the
    /// relay's word alone.
    ///
    /// # Errors
    /// What it does not allow.
    pub fn check_call_of_owner(
        &self,
        owner: Address,
        key: Address,
        service: &str,
        now: UnixTime,
    ) -> Result<(), DelegationError> {
        let verified = self.clone().verify()?;
        verified.check_owner(owner)?;
        verified.check_key(key)?;
        verified.check_time(now)?;
        verified.check_call(owner, service)
    }
}

fn read(json: &[u8]) -> Result<(String, String, String), JsonError> {
    let [text, signature, form] = fields(json, ["text", "signature", "form"])?;
    let mut reader = FieldReader::default();
    let read = (reader.text(text), reader.text(signature), reader.text(form));
    reader.finish(read)
}

/// A delegation that its owner signed.
///
/// Only [`SignedDelegation::verify`] creates one. It may be over, for another relay, or revoked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedDelegation(SignedDelegation);

impl VerifiedDelegation {
    /// What is allowed.
    pub fn delegation(&self) -> &Delegation {
        &self.0.delegation
    }

    /// The same, to pass it on.
    pub fn signed(&self) -> &SignedDelegation {
        &self.0
    }

    /// Whether it is by `owner`.
    ///
    /// # Errors
    /// [`DelegationError::WrongOwner`].
    pub fn check_owner(&self, owner: Address) -> Result<(), DelegationError> {
        match self.delegation().owner {
            signer if signer == owner => Ok(()),
            signer => Err(DelegationError::WrongOwner(signer)),
        }
    }

    /// Whether it lets `key` act.
    ///
    /// # Errors
    /// [`DelegationError::WrongKey`].
    pub fn check_key(&self, key: Address) -> Result<(), DelegationError> {
        match self.delegation().key {
            named if named == key => Ok(()),
            named => Err(DelegationError::WrongKey(named)),
        }
    }

    /// Whether it is valid at `now`. Clocks may differ by [`SKEW`] at the beginning; an end is an end.
    ///
    /// # Errors
    /// [`DelegationError::NotYet`] and [`DelegationError::Expired`].
    pub fn check_time(&self, now: UnixTime) -> Result<(), DelegationError> {
        let Delegation { from, until, .. } = *self.delegation();
        if from.as_secs() > now.as_secs().saturating_add(SKEW.as_secs()) {
            return Err(DelegationError::NotYet { from, now });
        }
        if now >= until {
            return Err(DelegationError::Expired { until, now });
        }
        Ok(())
    }

    /// Whether it is good at the relay that was dialled as `host`; `None` is a login that does not say.
    ///
    /// # Errors
    /// [`DelegationError::Relay`].
    pub fn check_relay(&self, host: Option<&str>) -> Result<(), DelegationError> {
        match &self.delegation().relay {
            Some(relay) if host != Some(relay) => Err(DelegationError::Relay(relay.clone())),
            _ => Ok(()),
        }
    }

    /// Whether it allows logins of this kind.
    ///
    /// # Errors
    /// [`DelegationError::Scope`].
    pub fn check_scope(&self, scope: Scope) -> Result<(), DelegationError> {
        match self.delegation().may.has(scope) {
            true => Ok(()),
            false => Err(DelegationError::Scope(scope)),
        }
    }

    /// Whether it names this service of the owner, or none.
    ///
    /// # Errors
    /// [`DelegationError::Service`].
    pub fn check_service(&self, service: &str) -> Result<(), DelegationError> {
        let services = &self.delegation().services;
        match services.is_empty() || services.iter().any(|name| name == service) {
            true => Ok(()),
            false => Err(DelegationError::Service(service.to_owned())),
        }
    }

    /// Whether it lets its key call `service` of `to`. A service without an address is the owner's own: the friends of an owner
    /// have let in the owner, not everybody to whom the owner showed one of its own services.
    ///
    /// # Errors
    /// [`DelegationError::Scope`] and [`DelegationError::Service`].
    pub fn check_call(&self, to: Address, service: &str) -> Result<(), DelegationError> {
        self.check_scope(Scope::Call)?;
        let Delegation { owner, services, .. } = self.delegation();
        if to == *owner {
            return self.check_service(service);
        }
        let is_named = |named: &String| {
            named.split_once('/').is_some_and(|(whose, name)| name == service && to.to_string() == whose)
        };
        match services.is_empty() || services.iter().any(is_named) {
            true => Ok(()),
            false => Err(DelegationError::Service(service.to_owned())),
        }
    }
}
