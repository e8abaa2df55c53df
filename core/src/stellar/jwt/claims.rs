//! The claims of a token, and their serialization: that of Python's `json.dumps(.., separators=(',', ':'))`, which every HVYM
//! program signs. Keys keep their order, and every character outside ASCII is written as `\uXXXX`.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};

use super::{DEFAULT_SERVICE, ISSUER, LIFETIME, Scope, SigningInput};
use crate::json::{Object, Value, to_json};
use crate::stellar::address::Address;
use crate::stellar::delegation::SignedDelegation;
use crate::time::UnixTime;

/// The claims of an agent for one relay, before they are signed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Claims {
    /// `iss`: relays accept [`ISSUER`] only.
    pub issuer: String,
    /// `sub`: the account that logs in. It signs, unless there is a delegation.
    pub subject: Address,
    /// `delegation`: lets another key, which is `kid` in the header, sign for the account.
    pub delegation: Option<Box<SignedDelegation>>,
    /// `aud`: the address of the relay; every other relay refuses the token.
    pub audience: String,
    /// `iat`: when the token was created.
    pub issued_at: UnixTime,
    /// `services`: the services that the agent wants to bind. Relays take a token without the claim for one of
    /// [`DEFAULT_SERVICE`].
    pub services: Vec<String>,
    /// `exp`: when the token expires, with a tolerance of [`SKEW`](super::SKEW). `None`: never.
    pub expires_at: Option<UnixTime>,
    /// Additional claims. One with the key of a claim above, or of an earlier one in this list, replaces that value in its
    /// place.
    pub extra: Vec<(String, ClaimValue)>,
}

/// The value of a claim, as compact JSON. A float with an exponent is not written as Python writes it; no claim of the
/// protocol has one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimValue(String);

impl From<&str> for ClaimValue {
    fn from(text: &str) -> Self {
        ClaimValue(to_json(Value::Text(text)))
    }
}

impl From<serde_json::Value> for ClaimValue {
    fn from(value: serde_json::Value) -> Self {
        ClaimValue(value.to_string())
    }
}

impl Claims {
    /// The claims of `subject` for the relay `audience`, with the default [`LIFETIME`] and [`DEFAULT_SERVICE`].
    pub fn new(subject: Address, audience: impl Into<String>, issued_at: UnixTime) -> Self {
        Claims {
            issuer: ISSUER.to_owned(),
            subject,
            delegation: None,
            audience: audience.into(),
            issued_at,
            services: vec![DEFAULT_SERVICE.to_owned()],
            expires_at: None,
            extra: Vec::new(),
        }
        .with_lifetime(Some(LIFETIME))
    }

    /// Requests these services and no other.
    #[must_use]
    pub fn with_services(mut self, services: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.services = services.into_iter().map(Into::into).collect();
        self
    }

    /// Sets `exp` to this long after `issued_at`, rounded up to seconds. `None` never expires, which is only safe together
    /// with a challenge.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.expires_at = lifetime.map(|lifetime| {
            let seconds = lifetime.as_secs().saturating_add(u64::from(lifetime.subsec_nanos() > 0));
            UnixTime::from_secs(self.issued_at.as_secs().saturating_add(seconds))
        });
        self
    }

    /// Lets the key of `delegation` sign for its owner.
    #[must_use]
    pub fn with_delegation(mut self, delegation: Option<SignedDelegation>) -> Self {
        self.delegation = delegation.map(Box::new);
        self
    }

    /// The account whose key signs.
    pub fn signer(&self) -> Address {
        self.delegation.as_ref().map_or(self.subject, |signed| signed.delegation.key)
    }

    /// Adds the challenge of a relay, which makes the token useless on any other link.
    #[must_use]
    pub fn with_challenge(mut self, challenge: &str) -> Self {
        self.extra.push(("challenge".to_owned(), challenge.into()));
        self
    }

    /// Adds the authority that the agent dialled: a relay of another name refuses the token, whoever passes it on.
    #[must_use]
    pub fn with_host(mut self, host: &str) -> Self {
        self.extra.push(("host".to_owned(), host.into()));
        self
    }

    /// Adds what the token is good for.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.extra.push(("scope".to_owned(), scope.as_str().into()));
        self
    }

    /// The same claims, made at `at` and good for as long.
    pub(super) fn reissued(&self, at: UnixTime) -> Self {
        let lifetime = |until: UnixTime| until.as_secs().saturating_sub(self.issued_at.as_secs());
        let until = |lifetime| UnixTime::from_secs(at.as_secs().saturating_add(lifetime));
        Self { issued_at: at, expires_at: self.expires_at.map(lifetime).map(until), ..self.clone() }
    }

    /// What the key of [`Self::signer`] must sign. Equal claims give equal bytes.
    pub fn signing_input(&self) -> SigningInput {
        let header = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{}"}}"#, self.signer());
        let mut text = Base64UrlUnpadded::encode_string(header.as_bytes());
        text.push('.');
        text.push_str(&Base64UrlUnpadded::encode_string(self.payload().as_bytes()));
        SigningInput { text, claims: self.clone(), asked_at: self.issued_at }
    }

    fn payload(&self) -> String {
        let subject = self.subject.to_string();
        let mut claims = vec![
            ("iss", Value::Text(&self.issuer)),
            ("sub", Value::Text(&subject)),
            ("aud", Value::Text(&self.audience)),
            ("iat", Value::Integer(self.issued_at.as_secs())),
            ("services", Value::Texts(&self.services)),
        ];
        claims.extend(self.expires_at.map(|at| ("exp", Value::Integer(at.as_secs()))));
        for (name, ClaimValue(json)) in &self.extra {
            match claims.iter_mut().find(|(known, _)| known == name) {
                Some((_, value)) => *value = Value::Raw(json),
                None => claims.push((name, Value::Raw(json))),
            }
        }
        let delegation = self.delegation.as_deref().map(SignedDelegation::to_json);
        claims.extend(delegation.as_ref().map(|json| ("delegation", Value::Raw(json))));
        let mut object = Object::new();
        for (name, value) in claims {
            object.put(name, value);
        }
        ascii(&object.finish())
    }
}

/// `json` with everything outside printable ASCII escaped. Compact JSON has such characters only in strings, so no parser is
/// needed.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a String does not fail");
                }
            }
        }
    }
    out
}
