//! Why a token is refused, in words: HVYM's own where its verifier refuses too, because people and programs know them.

use alloc::string::String;
use core::fmt::{self, Write};

use serde_json::Value;
use thiserror::Error;

use super::MAX_TOKEN_BYTES;
use crate::stellar::address::{Address, AddressError, looks_secret};

/// Why a token was refused, or could not be made. Values of the token are shown cut, and a secret never.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum JwtError {
    /// More than [`MAX_TOKEN_BYTES`]; nothing was decoded.
    #[error("Failed to parse JWT: the token has {0} bytes, at most {MAX_TOKEN_BYTES} are read")]
    TooLarge(usize),
    /// Not `header.payload.signature`.
    #[error("Invalid JWT format: expected 3 parts")]
    Format,
    /// No bytes have a base64 form of this many characters.
    #[error(
        "Failed to parse JWT: Invalid base64-encoded string: number of data characters ({0}) cannot be 1 more than a multiple of 4"
    )]
    Base64Length(usize),
    /// A part has padding, a foreign character or spare bits that are not zero.
    #[error("Failed to parse JWT: the {0} is not base64url in its one canonical spelling, without padding")]
    Base64(&'static str),
    /// A part does not even begin as JSON.
    #[error("Invalid JSON in JWT: Expecting value: line 1 column 1 (char 0)")]
    NotJson,
    /// A part is JSON, but no object.
    #[error("Invalid JSON in JWT: the {0} is not an object")]
    NotObject(&'static str),
    /// An object breaks off, is badly written, or has a key twice.
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
    /// A claim that every token has is absent.
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
    /// Another program's token.
    #[error("Issuer mismatch: expected {expected}, got {got}")]
    Issuer {
        /// The issuer that is known here.
        expected: String,
        /// `iss`.
        got: String,
    },
    /// `exp` and the skew are over.
    #[error("Token expired at {at} (current time: {now})")]
    Expired {
        /// `exp`, Unix seconds.
        at: i128,
        /// The verifier's clock, Unix seconds.
        now: i128,
    },
    /// `iat` is too long ago for [`Expected::max_age`](super::Expected::max_age).
    #[error("Token too old: {age}s > {most}s")]
    TooOld {
        /// Seconds since `iat`.
        age: i128,
        /// The most there may be, without the skew.
        most: u64,
    },
    /// A time that is a text, a fraction, negative or beyond any calendar.
    #[error("Invalid time in JWT: the claim {0} must be a whole number of seconds since 1970")]
    Seconds(&'static str),
    /// `sub` is not an address.
    #[error("Invalid Stellar address in sub claim: Invalid Ed25519 Public Key: {0}")]
    Subject(String),
    /// `sub` is a secret seed, which is now known to whoever saw the token.
    #[error("Invalid Stellar address in sub claim: {}", AddressError::SecretSeed)]
    SecretSubject,
    /// The third part is not 64 bytes.
    #[error("Signature verification failed: The signature must be exactly 64 bytes long")]
    SignatureLength,
    /// The key of `sub` did not sign this.
    #[error("Signature verification failed: Signature was forged or corrupt")]
    Forged,
    /// `kid` names another account than `sub`.
    #[error("Key mismatch: the token is for {0}, but its header names another key")]
    KeyId(Address),
    /// RFC 7515 section 4.1.11: what is critical and not understood must be refused.
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
    /// `services` is not a list of texts.
    #[error("Invalid services in JWT: the claim services must be a list of names")]
    Services,
    /// A token was to be made, and the signature is not by the key that had to sign.
    #[error("the signature is not by {0}: the signer used another key")]
    WrongSigner(Address),
}

/// The most characters of a stranger's value that a text repeats: two addresses fit, a page of log does not.
const MAX_SHOWN: usize = 160;

/// `value` as Python's `str()` shows it, which is what HVYM's texts have: cut to [`MAX_SHOWN`] characters, without control
/// characters (they would forge lines in a log), and never a secret seed.
pub(super) fn shown(value: &Value) -> String {
    let mut out = Shown(String::new(), MAX_SHOWN);
    // The only error is that the room is used up, and then the rest is cut.
    let _cut = match value {
        Value::String(text) => out.write_str(concealed(text)),
        value => out.nested(value),
    };
    out.0
}

fn concealed(text: &str) -> &str {
    if looks_secret(text) { "(a secret seed)" } else { text }
}

/// A text with room for so many more characters.
struct Shown(String, usize);

impl Shown {
    fn nested(&mut self, value: &Value) -> fmt::Result {
        match value {
            Value::Null => self.write_str("None"),
            Value::Bool(true) => self.write_str("True"),
            Value::Bool(false) => self.write_str("False"),
            Value::Number(number) => write!(self, "{number}"),
            Value::String(text) => write!(self, "'{}'", concealed(text)),
            Value::Array(items) => {
                self.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    self.write_str(if index == 0 { "" } else { ", " })?;
                    self.nested(item)?;
                }
                self.write_char(']')
            }
            Value::Object(members) => {
                self.write_char('{')?;
                for (index, (key, item)) in members.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(self, "{comma}'{}': ", concealed(key))?;
                    self.nested(item)?;
                }
                self.write_char('}')
            }
        }
    }
}

impl Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.1 = self.1.checked_sub(1).ok_or(fmt::Error)?;
            self.0.push(if character.is_control() { char::REPLACEMENT_CHARACTER } else { character });
        }
        Ok(())
    }
}
