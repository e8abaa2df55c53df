//! The checks of a token, in HVYM's order. The only place that makes a [`Verified`].

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

use super::error::shown;
use super::{DEFAULT_SERVICE, ISSUER, JwtError, MAX_TOKEN_BYTES, SKEW, Signature};
use crate::stellar::address::{Address, AddressError};
use crate::time::UnixTime;

/// What a token must be to be good here.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Expected<'a> {
    /// Our own address: a token for another relay is refused. It cannot be empty, so the check cannot be lost.
    pub audience: Address,
    /// The issuer, [`ISSUER`] but for tests.
    pub issuer: &'a str,
    /// The longest time since `iat`, whatever `exp` says, give or take [`SKEW`]. `None` trusts `exp` alone.
    pub max_age: Option<Duration>,
}

impl Expected<'_> {
    /// What the relay `audience` expects.
    pub fn of(audience: Address) -> Expected<'static> {
        Expected { audience, issuer: ISSUER, max_age: None }
    }
}

/// The proof that an account signed these claims for us, and that they held at the moment of the check.
///
/// Only [`Token::verify`](super::Token::verify) makes one. It does not prove that the token was not used before: the challenge does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    address: Address,
    services: Vec<String>,
    issued_at: UnixTime,
    expires_at: Option<UnixTime>,
    claims: BTreeMap<String, Value>,
}

impl Verified {
    /// Who signed.
    pub fn address(&self) -> Address {
        self.address
    }

    /// What the token asks for; [`DEFAULT_SERVICE`] when it has no `services` claim.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// The challenge that the token answers, if any.
    pub fn challenge(&self) -> Option<&str> {
        self.claim("challenge")?.as_str()
    }

    /// `iat`.
    pub fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// `exp`; `None` is never.
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// Any claim of the payload, as it was written. Inside it the last of two equal keys counts.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

pub(super) fn verify(token: &str, expected: &Expected<'_>, now: UnixTime) -> Result<Verified, JwtError> {
    let opened = Opened::from_token(token)?;
    opened.check_claims(expected, now)?;
    let address = opened.check_signature()?;
    opened.check_header(address)?;
    opened.into_verified(address, now)
}

/// A token taken apart and not yet believed.
struct Opened<'a> {
    header: BTreeMap<String, Value>,
    claims: BTreeMap<String, Value>,
    signature: Vec<u8>,
    signed: &'a [u8],
}

impl<'a> Opened<'a> {
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
        Ok(Opened {
            header: object("header", header)?,
            claims: object("payload", payload)?,
            signature: bytes("signature", signature)?,
            signed: &token.as_bytes()[..header.len() + 1 + payload.len()],
        })
    }

    /// Steps 2 to 7 of HVYM's verifier.
    fn check_claims(&self, expected: &Expected<'_>, now: UnixTime) -> Result<(), JwtError> {
        let algorithm = self.header.get("alg").unwrap_or(&Value::Null);
        if algorithm != "EdDSA" {
            return Err(JwtError::Algorithm(shown(algorithm)));
        }
        let (issuer, _, audience, _) =
            (self.required("iss")?, self.required("sub")?, self.required("aud")?, self.required("iat")?);
        if *audience != *expected.audience.to_string() {
            return Err(JwtError::Audience { expected: expected.audience, got: shown(audience) });
        }
        if *issuer != *expected.issuer {
            return Err(JwtError::Issuer { expected: expected.issuer.to_owned(), got: shown(issuer) });
        }
        let (now, skew) = (i128::from(now.as_secs()), i128::from(SKEW.as_secs()));
        if let Some(at) = self.seconds("exp")?
            && now > at + skew
        {
            return Err(JwtError::Expired { at, now });
        }
        if let Some(most) = expected.max_age
            && let Some(at) = self.seconds("iat")?
            && now - at > i128::from(most.as_secs()) + skew
        {
            return Err(JwtError::TooOld { age: now - at, most: most.as_secs() });
        }
        Ok(())
    }

    /// Steps 8 and 9: the account that `sub` names signed this.
    fn check_signature(&self) -> Result<Address, JwtError> {
        let subject = self.required("sub")?;
        let address: Address = match subject.as_str().map(str::parse) {
            Some(Ok(address)) => address,
            Some(Err(AddressError::SecretSeed)) => return Err(JwtError::SecretSubject),
            _ => return Err(JwtError::Subject(shown(subject))),
        };
        let signature = self.signature.as_slice().try_into().map_err(|_| JwtError::SignatureLength)?;
        if !Signature(signature).is_by(address, self.signed) {
            return Err(JwtError::Forged);
        }
        Ok(address)
    }

    fn check_header(&self, address: Address) -> Result<(), JwtError> {
        if self.header.get("kid").is_some_and(|kid| *kid != *address.to_string()) {
            return Err(JwtError::KeyId(address));
        }
        if self.header.contains_key("crit") {
            return Err(JwtError::Critical);
        }
        Ok(())
    }

    fn into_verified(self, address: Address, now: UnixTime) -> Result<Verified, JwtError> {
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
        Ok(Verified {
            address,
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

/// The bytes of one part. The decoder refuses padding, white space and spare bits, so a token has one spelling.
fn bytes(part: &'static str, text: &str) -> Result<Vec<u8>, JwtError> {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    // HVYM counts only the digits, so its text fits only where there is nothing else.
    if text.len() % 4 == 1 && text.bytes().all(digit) {
        return Err(JwtError::Base64Length(text.len()));
    }
    Base64UrlUnpadded::decode_vec(text).map_err(|_| JwtError::Base64(part))
}

/// The JSON object in one part.
fn object(part: &'static str, text: &str) -> Result<BTreeMap<String, Value>, JwtError> {
    let json = bytes(part, text)?;
    // Told apart by hand, because serde's own text for "not an object" would repeat the value, and that may be a secret.
    if json.trim_ascii_start().first() != Some(&b'{') {
        let is_json = serde_json::from_slice::<IgnoredAny>(&json).is_ok();
        return Err(if is_json { JwtError::NotObject(part) } else { JwtError::NotJson });
    }
    let Members(members) = serde_json::from_slice(&json).map_err(|error| {
        let reason = error.to_string();
        JwtError::Json { part, reason }
    })?;
    Ok(members)
}

/// A JSON object without two equal keys: readers disagree on which of the two counts, and a token must mean one thing.
struct Members(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;

        impl<'de> Visitor<'de> for Unique {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key appears twice"));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Unique)
    }
}
