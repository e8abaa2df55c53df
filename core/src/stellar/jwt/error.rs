//! Why a token is refused. The texts are those of HVYM's verifier where it refuses, too, because programs match them.

use alloc::string::String;
use core::fmt::{self, Write};

use serde_json::Value;
use thiserror::Error;

use super::MAX_TOKEN_BYTES;
use crate::stellar::address::{Address, AddressError, looks_secret};
use crate::stellar::delegation::DelegationError;
use crate::time::Validity;

/// Why a token was refused or could not be created. Values of the token are truncated, and a secret seed is never shown.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum JwtError {
    /// More than [`MAX_TOKEN_BYTES`]; nothing was decoded.
    #[error("Failed to parse JWT: the token has {0} bytes, at most {MAX_TOKEN_BYTES} are read")]
    TooLarge(usize),
    /// Not `header.payload.signature`.
    #[error("Invalid JWT format: expected 3 parts")]
    Format,
    /// A part has a number of characters that is impossible in base64.
    #[error(
        "Failed to parse JWT: Invalid base64-encoded string: number of data characters ({0}) cannot be 1 more than a multiple of 4"
    )]
    Base64Length(usize),
    /// A part has padding, a character outside of the alphabet, or non-zero trailing bits.
    #[error("Failed to parse JWT: the {0} is not base64url in its one canonical spelling, without padding")]
    Base64(&'static str),
    /// A part is not JSON.
    #[error("Invalid JSON in JWT: Expecting value: line 1 column 1 (char 0)")]
    NotJson,
    /// A part is JSON, but not an object.
    #[error("Invalid JSON in JWT: the {0} is not an object")]
    NotObject(&'static str),
    /// An object is malformed, incomplete, or has a duplicate key.
    #[error("Invalid JSON in JWT: {reason} of the {part}")]
    Json {
        /// Which part.
        part: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// `alg` is not `EdDSA`.
    #[error("Unsupported algorithm: {0}")]
    Algorithm(String),
    /// A required claim is missing.
    #[error("Missing required claim: {0}")]
    Missing(&'static str),
    /// The token is for another relay.
    #[error("Audience mismatch: expected {expected}, got {got}")]
    Audience {
        /// The relay that reads the token.
        expected: Address,
        /// `aud`.
        got: String,
    },
    /// `iss` is another issuer.
    #[error("Issuer mismatch: expected {expected}, got {got}")]
    Issuer {
        /// The issuer that is known here.
        expected: String,
        /// `iss`.
        got: String,
    },
    /// `exp` and the tolerated skew have passed.
    #[error("Token expired at {at} (current time: {now})")]
    Expired {
        /// `exp`, Unix seconds.
        at: i128,
        /// The verifier's clock, Unix seconds.
        now: i128,
    },
    /// `iat` is too long ago for [`Expected::max_age`](super::Expected::max_age).
    #[error("Token too old: {age}s > {max}s")]
    TooOld {
        /// Seconds since `iat`.
        age: i128,
        /// The limit in seconds, without the skew.
        max: u64,
    },
    /// A time claim that is not an integer number of seconds since 1970.
    #[error("Invalid time in JWT: the claim {0} must be a whole number of seconds since 1970")]
    Seconds(&'static str),
    /// `sub` is not a Stellar address.
    #[error("Invalid Stellar address in sub claim: Invalid Ed25519 Public Key: {0}")]
    Subject(String),
    /// `sub` is a secret seed, which everybody who saw the token now knows.
    #[error("Invalid Stellar address in sub claim: {}", AddressError::SecretSeed)]
    SecretSubject,
    /// The signature is not 64 bytes long.
    #[error("Signature verification failed: The signature must be exactly 64 bytes long")]
    SignatureLength,
    /// The signature is not by the key of `sub`.
    #[error("Signature verification failed: Signature was forged or corrupt")]
    Forged,
    /// `kid` names another account than `sub`.
    #[error("Key mismatch: the token is for {0}, but its header names another key")]
    KeyId(Address),
    /// The header has `crit`: extensions that must be understood (RFC 7515 section 4.1.11).
    #[error("Unsupported extensions: the header marks extensions as critical (crit), and none is supported")]
    Critical,
    /// `iat` is ahead of our clock by more than the skew.
    #[error("Token issued in the future at {at} (current time: {now}): check the clocks of both machines")]
    Future {
        /// `iat`, Unix seconds.
        at: i128,
        /// The verifier's clock, Unix seconds.
        now: i128,
    },
    /// `nbf` is ahead of our clock by more than the skew.
    #[error("Token not valid before {at} (current time: {now})")]
    NotYet {
        /// `nbf`, Unix seconds.
        at: i128,
        /// The verifier's clock, Unix seconds.
        now: i128,
    },
    /// `services` is not an array of strings.
    #[error("Invalid services in JWT: the claim services must be a list of names")]
    Services,
    /// `host` is no text.
    #[error("Invalid host in JWT: the claim host must be a text")]
    Host,
    /// `scope` is no scope that is known here.
    #[error("Invalid scope in JWT: the claim scope must be agent, call or api")]
    Scope,
    /// `exp` is too long after `iat` for [`Expected::max_lifetime`](super::Expected::max_lifetime).
    #[error("Token valid for too long: {lifetime}s > {max}s")]
    Lifetime {
        /// Seconds from `iat` to `exp`.
        lifetime: i128,
        /// The limit in seconds.
        max: u64,
    },
    /// The delegation by which another key signed does not allow it.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// A token could not be created: the signature is not by the key that had to sign.
    #[error("the signature is not by {0}: the signer used another key")]
    WrongSigner(Address),
}

impl JwtError {
    /// Whether the token was refused for its times alone: it may be good by another clock.
    pub fn validity(&self) -> Option<Validity> {
        match self {
            JwtError::Expired { .. } | JwtError::TooOld { .. } => Some(Validity::Expired),
            JwtError::Future { .. } | JwtError::NotYet { .. } => Some(Validity::NotYetValid),
            _ => None,
        }
    }
}

/// Maximum characters of an unverified value that an error repeats: enough for two addresses.
const MAX_QUOTED_CHARACTERS: usize = 160;

/// `value` as Python's `str()` formats it, as in HVYM's texts: truncated to [`MAX_QUOTED_CHARACTERS`], without control
/// characters, which could forge lines in a log, and without secret seeds.
pub(super) fn quoted(value: &Value) -> String {
    let mut out = Truncated { text: String::new(), remaining: MAX_QUOTED_CHARACTERS };
    // The only error is that the limit is reached; the rest is dropped.
    let _truncated = match value {
        Value::String(text) => out.write_str(redacted(text)),
        value => out.nested(value),
    };
    out.text
}

fn redacted(text: &str) -> &str {
    if looks_secret(text) { "(a secret seed)" } else { text }
}

/// A string that accepts a limited number of characters.
struct Truncated {
    text: String,
    remaining: usize,
}

impl Truncated {
    fn nested(&mut self, value: &Value) -> fmt::Result {
        match value {
            Value::Null => self.write_str("None"),
            Value::Bool(true) => self.write_str("True"),
            Value::Bool(false) => self.write_str("False"),
            Value::Number(number) => write!(self, "{number}"),
            Value::String(text) => write!(self, "'{}'", redacted(text)),
            Value::Array(items) => {
                self.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    self.write_str(if index == 0 { "" } else { ", " })?;
                    self.nested(item)?;
                }
                self.write_char(']')
            }
            Value::Object(fields) => {
                self.write_char('{')?;
                for (index, (key, item)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(self, "{comma}'{}': ", redacted(key))?;
                    self.nested(item)?;
                }
                self.write_char('}')
            }
        }
    }
}

impl Write for Truncated {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.remaining = self.remaining.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(if character.is_control() { char::REPLACEMENT_CHARACTER } else { character });
        }
        Ok(())
    }
}
