//! Verification of a token, in the order of HVYM's verifier. The only code that creates a [`Verified`].

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::error::quoted;
use super::{DEFAULT_SERVICE, ISSUER, JwtError, MAX_TOKEN_BYTES, SKEW, Scope, Signature};
use crate::stellar::address::{Address, AddressError};
use crate::stellar::delegation::{SignedDelegation, VerifiedDelegation};
use crate::time::UnixTime;

/// What a relay requires of a token.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Expected<'a> {
    /// The address of this relay: a token for another audience is refused. Not optional, so that the check cannot be omitted.
    pub audience: Address,
    /// The required issuer, [`ISSUER`] except in tests.
    pub issuer: &'a str,
    /// Maximum time since `iat`, whatever `exp` says, with a tolerance of [`SKEW`]. `None`: only `exp` limits the lifetime.
    pub max_age: Option<Duration>,
    /// Maximum time from `iat` to `exp`, except for a token with a `challenge` and without a `scope`: that is good once, and made by
    /// a program of an older system. `None`: no limit.
    pub max_lifetime: Option<Duration>,
}

impl Expected<'_> {
    /// The requirements of the relay `audience`: the usual issuer, and no limit besides `exp`.
    pub fn for_audience(audience: Address) -> Expected<'static> {
        Expected { audience, issuer: ISSUER, max_age: None, max_lifetime: None }
    }
}

/// The claims of a token whose signature and claims were verified at one moment.
///
/// Only [`Token::verify`](super::Token::verify) creates one. It does not prove that the token was not used before; a challenge
/// does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    address: Address,
    delegation: Option<VerifiedDelegation>,
    services: Vec<String>,
    host: Option<String>,
    scope: Option<Scope>,
    issued_at: UnixTime,
    expires_at: Option<UnixTime>,
    claims: BTreeMap<String, Value>,
}

impl Verified {
    /// The account that logs in (`sub`). Its key signed the token, unless there is a [`Self::delegation`].
    pub fn address(&self) -> Address {
        self.address
    }

    /// What lets another key sign for the account; `None` where the account signed itself.
    pub fn delegation(&self) -> Option<&VerifiedDelegation> {
        self.delegation.as_ref()
    }

    /// The account whose key signed the token.
    pub fn key(&self) -> Address {
        self.delegation().map_or(self.address, |delegation| delegation.delegation().key)
    }

    /// The requested services; [`DEFAULT_SERVICE`] if there is no `services` claim.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// The `challenge` claim, if any.
    pub fn challenge(&self) -> Option<&str> {
        self.claim("challenge")?.as_str()
    }

    /// `host`: the authority that the signer dialled; tokens of older systems do not say.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether a delegation allows what the token is for. The relay that was dialled is the one of `host`, and a token without
    /// `scope` could be taken for anything.
    fn check_delegation(&self, now: UnixTime) -> Result<(), JwtError> {
        let Some(delegation) = &self.delegation else { return Ok(()) };
        delegation.check_time(now)?;
        delegation.check_relay(self.host())?;
        delegation.check_scope(self.scope.ok_or(JwtError::Missing("scope"))?)?;
        Ok(())
    }

    /// `scope`: what the token is good for; tokens of older systems do not say.
    pub fn scope(&self) -> Option<Scope> {
        self.scope
    }

    /// `iat`: when the token was created.
    pub fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// `exp`: when the token expires; `None`: never.
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// Any claim of the payload. In nested objects, the last of two equal keys counts.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

pub(super) fn verify(token: &str, expected: &Expected<'_>, now: UnixTime) -> Result<Verified, JwtError> {
    let unverified = Unverified::from_token(token)?;
    unverified.check_claims(expected, now)?;
    let address = unverified.subject()?;
    let delegation = unverified.delegation(address)?;
    let key = delegation.as_ref().map_or(address, |delegation| delegation.delegation().key);
    unverified.check_signature(key)?;
    unverified.check_header(key, delegation.is_some())?;
    unverified.check_lifetime(expected)?;
    let verified = unverified.into_verified(address, delegation, now)?;
    verified.check_delegation(now)?;
    Ok(verified)
}

/// A decoded token before its verification.
struct Unverified<'a> {
    header: BTreeMap<String, Value>,
    claims: BTreeMap<String, Value>,
    signature: Vec<u8>,
    signed: &'a [u8],
}

impl<'a> Unverified<'a> {
    fn from_token(token: &'a str) -> Result<Self, JwtError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwtError::TooLarge(token.len()));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwtError::Format);
        };
        Ok(Unverified {
            header: object("header", header)?,
            claims: object("payload", payload)?,
            signature: bytes("signature", signature)?,
            signed: &token.as_bytes()[..header.len() + 1 + payload.len()],
        })
    }

    /// Checks 2 to 7 of HVYM's verifier.
    fn check_claims(&self, expected: &Expected<'_>, now: UnixTime) -> Result<(), JwtError> {
        let algorithm = self.header.get("alg").unwrap_or(&Value::Null);
        if algorithm != "EdDSA" {
            return Err(JwtError::Algorithm(quoted(algorithm)));
        }
        let (issuer, _, audience, _) =
            (self.required("iss")?, self.required("sub")?, self.required("aud")?, self.required("iat")?);
        if *audience != *expected.audience.to_string() {
            return Err(JwtError::Audience { expected: expected.audience, got: quoted(audience) });
        }
        if *issuer != *expected.issuer {
            return Err(JwtError::Issuer { expected: expected.issuer.to_owned(), got: quoted(issuer) });
        }
        let (now, skew) = (i128::from(now.as_secs()), i128::from(SKEW.as_secs()));
        if let Some(at) = self.seconds("exp")?
            && now > at + skew
        {
            return Err(JwtError::Expired { at, now });
        }
        if let Some(max) = expected.max_age
            && let Some(at) = self.seconds("iat")?
            && now - at > i128::from(max.as_secs()) + skew
        {
            return Err(JwtError::TooOld { age: now - at, max: max.as_secs() });
        }
        Ok(())
    }

    /// Check 8: `sub` is an account.
    fn subject(&self) -> Result<Address, JwtError> {
        let subject = self.required("sub")?;
        match subject.as_str().map(str::parse) {
            Some(Ok(address)) => Ok(address),
            Some(Err(AddressError::SecretSeed)) => Err(JwtError::SecretSubject),
            _ => Err(JwtError::Subject(quoted(subject))),
        }
    }

    /// What `owner` has signed to let another key sign for it.
    fn delegation(&self, owner: Address) -> Result<Option<VerifiedDelegation>, JwtError> {
        let Some(claim) = self.claims.get("delegation") else { return Ok(None) };
        let verified = SignedDelegation::from_json(claim.to_string().as_bytes())?.verify()?;
        verified.check_owner(owner)?;
        Ok(Some(verified))
    }

    /// Check 9: this key signed the token.
    fn check_signature(&self, key: Address) -> Result<(), JwtError> {
        let signature = self.signature.as_slice().try_into().map_err(|_| JwtError::SignatureLength)?;
        if Signature(signature).is_by(key, self.signed) { Ok(()) } else { Err(JwtError::Forged) }
    }

    /// `kid` is the key that signed. It may be missing, but not where it is another key than that of `sub`.
    fn check_header(&self, key: Address, is_delegated: bool) -> Result<(), JwtError> {
        let is_wrong = |kid: &Value| *kid != *key.to_string();
        if self.header.get("kid").map_or(is_delegated, is_wrong) {
            return Err(JwtError::KeyId(key));
        }
        if self.header.contains_key("crit") {
            return Err(JwtError::Critical);
        }
        Ok(())
    }

    fn check_lifetime(&self, expected: &Expected<'_>) -> Result<(), JwtError> {
        let is_single_use = self.claims.contains_key("challenge") && !self.claims.contains_key("scope");
        let Some(max) = expected.max_lifetime.filter(|_| !is_single_use).map(|max| max.as_secs()) else {
            return Ok(());
        };
        match (self.seconds("iat")?, self.seconds("exp")?) {
            (Some(from), Some(to)) if to - from > i128::from(max) => {
                Err(JwtError::Lifetime { lifetime: to - from, max })
            }
            // Tokens of older systems that answer a challenge may have no end; one that says what it is good for says for how long.
            (_, None) if self.claims.contains_key("challenge") => Err(JwtError::Missing("exp")),
            _ => Ok(()),
        }
    }

    /// A claim that must be a text.
    fn text(&self, name: &str, error: JwtError) -> Result<Option<&str>, JwtError> {
        self.claims.get(name).map(|value| value.as_str().ok_or(error)).transpose()
    }

    fn into_verified(
        self,
        address: Address,
        delegation: Option<VerifiedDelegation>,
        now: UnixTime,
    ) -> Result<Verified, JwtError> {
        let issued_at = self.seconds("iat")?.ok_or(JwtError::Missing("iat"))?;
        let (now, skew) = (i128::from(now.as_secs()), i128::from(SKEW.as_secs()));
        if issued_at > now + skew {
            return Err(JwtError::Future { at: issued_at, now });
        }
        if let Some(at) = self.seconds("nbf")?
            && at > now + skew
        {
            return Err(JwtError::NotYet { at, now });
        }
        let unix = |name, seconds| {
            u64::try_from(seconds).map(UnixTime::from_secs).map_err(|_| JwtError::Seconds(name))
        };
        let scope = self.text("scope", JwtError::Scope)?.map(str::parse).transpose();
        Ok(Verified {
            address,
            delegation,
            host: self.text("host", JwtError::Host)?.map(str::to_owned),
            scope: scope.map_err(|_| JwtError::Scope)?,
            services: services(self.claims.get("services"))?,
            issued_at: unix("iat", issued_at)?,
            expires_at: self.seconds("exp")?.map(|at| unix("exp", at)).transpose()?,
            claims: self.claims,
        })
    }

    fn required(&self, name: &'static str) -> Result<&Value, JwtError> {
        self.claims.get(name).ok_or(JwtError::Missing(name))
    }

    fn seconds(&self, name: &'static str) -> Result<Option<i128>, JwtError> {
        let Some(value) = self.claims.get(name) else {
            return Ok(None);
        };
        let unsigned = value.as_u64().map(i128::from);
        let seconds = unsigned.or_else(|| value.as_i64().map(i128::from));
        seconds.map(Some).ok_or(JwtError::Seconds(name))
    }
}

fn services(claim: Option<&Value>) -> Result<Vec<String>, JwtError> {
    let Some(claim) = claim else {
        return Ok(vec![DEFAULT_SERVICE.to_owned()]);
    };
    let names = claim.as_array().ok_or(JwtError::Services)?;
    names.iter().map(|name| name.as_str().map(str::to_owned).ok_or(JwtError::Services)).collect()
}

/// Decodes one part. Padding, white space and non-zero trailing bits are refused, so a token has one text form.
fn bytes(part: &'static str, text: &str) -> Result<Vec<u8>, JwtError> {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    // HVYM counts base64 characters only, so its error text applies only if there are no others.
    if text.len() % 4 == 1 && text.bytes().all(digit) {
        return Err(JwtError::Base64Length(text.len()));
    }
    Base64UrlUnpadded::decode_vec(text).map_err(|_| JwtError::Base64(part))
}

/// Decodes the JSON object in one part.
fn object(part: &'static str, text: &str) -> Result<BTreeMap<String, Value>, JwtError> {
    let json = bytes(part, text)?;
    // Checked by hand, because serde's error for another type would repeat the value, which may be a secret.
    if json.trim_ascii_start().first() != Some(&b'{') {
        let is_json = serde_json::from_slice::<IgnoredAny>(&json).is_ok();
        return Err(if is_json { JwtError::NotObject(part) } else { JwtError::NotJson });
    }
    let UniqueKeys(claims) = serde_json::from_slice(&json).map_err(|error| {
        let reason = error.to_string();
        JwtError::Json { part, reason }
    })?;
    Ok(claims)
}

/// A JSON object without duplicate keys: parsers disagree on which of two counts (RFC 7519 section 4).
struct UniqueKeys(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UniqueKeysVisitor;

        impl<'de> Visitor<'de> for UniqueKeysVisitor {
            type Value = UniqueKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueKeys, A::Error> {
                let mut claims = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if claims.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key appears twice"));
                    }
                }
                Ok(UniqueKeys(claims))
            }
        }

        deserializer.deserialize_map(UniqueKeysVisitor)
    }
}
