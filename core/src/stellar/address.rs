//! A Stellar account's public key, and its two text forms: the strkey `G...` (SEP-23) and the DNS label.
//!
//! A secret seed given by mistake is recognised, refused, and never repeated in an error.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::strkey::{self, StrkeyKind};

/// The identity of an agent or a relay: a raw Ed25519 public key, shown as `G...`.
///
/// Any 32 bytes are an address. No token can be verified for bytes that are not a curve point, or a point of small order.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 32]);

impl Address {
    /// Characters of an address in base32.
    pub const CHARACTERS: usize = strkey::CHARACTERS;

    /// The address of this raw Ed25519 public key.
    pub const fn from_public_key(key: [u8; 32]) -> Self {
        Address(key)
    }

    /// The raw Ed25519 public key.
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.0
    }

    /// The address in a DNS label. Host names are case-insensitive (RFC 4343), so any case is accepted; the checksum detects
    /// typing errors.
    ///
    /// # Errors
    /// As for [`Address::from_str`].
    pub fn from_label(label: &str) -> Result<Self, AddressError> {
        label.to_ascii_uppercase().parse()
    }

    /// The address as a DNS label: lower case, as browsers send it, with 56 of the 63 octets that a label may have.
    pub fn label(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

/// Why a text is not a Stellar address. The error says what to do and never repeats the text, which may be a secret.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// A secret seed (SEP-23 `S...`).
    #[error(
        "this looks like a secret seed (S...), not an address: keep it private and give the public key, which starts with G"
    )]
    SecretSeed,
    /// A muxed account (SEP-23 `M...`): it has no key of its own and does not fit into a DNS label.
    #[error("this looks like a muxed address (M...): give the account's own address, which starts with G")]
    Muxed,
    /// The text is empty.
    #[error("the address is empty: a Stellar address starts with G and has 56 characters")]
    Empty,
    /// The text contains white space.
    #[error("there is white space in the address: copy only its 56 characters")]
    WhiteSpace,
    /// The number of characters, which is not 56.
    #[error("a Stellar address has 56 characters, this has {0}")]
    Length(usize),
    /// Another kind of strkey, or not a strkey.
    #[error("a Stellar address starts with G")]
    Kind,
    /// Base32 in lower case.
    #[error("a Stellar address is written in upper case")]
    LowerCase,
    /// A character outside the base32 alphabet.
    #[error("a Stellar address has only the characters A to Z and 2 to 7")]
    Character,
    /// The checksum does not match.
    #[error("the checksum of the address does not match: a character was mistyped, copy it again")]
    Checksum,
}

impl AddressError {
    /// The most helpful reason why `text` is not an address.
    fn for_text(text: &str) -> Self {
        if looks_secret(text) {
            return AddressError::SecretSeed;
        }
        let characters = text.chars().count();
        match text.as_bytes() {
            [] => AddressError::Empty,
            _ if text.contains(char::is_whitespace) => AddressError::WhiteSpace,
            [b'M' | b'm', ..] if characters == MUXED_CHARACTERS => AddressError::Muxed,
            _ if characters != Address::CHARACTERS => AddressError::Length(characters),
            [b'g', ..] => AddressError::LowerCase,
            [b'G', rest @ ..] => match rest.iter().find(|byte| !matches!(byte, b'A'..=b'Z' | b'2'..=b'7')) {
                None => AddressError::Checksum,
                Some(byte) if byte.is_ascii_lowercase() => AddressError::LowerCase,
                Some(_) => AddressError::Character,
            },
            _ => AddressError::Kind,
        }
    }
}

/// Characters of a muxed account (SEP-23), which has eight more bytes.
const MUXED_CHARACTERS: usize = 69;

/// Whether `text` could be a secret seed and must not be shown. Prefers false positives.
pub(super) fn looks_secret(text: &str) -> bool {
    let text = text.trim();
    // A few characters more or less still reveal nearly the whole secret.
    matches!(text.len(), 50..=62)
        && text.starts_with(['S', 's'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl FromStr for Address {
    type Err = AddressError;

    /// Accepts exactly the 56 upper-case characters of a `G...` address.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() != Self::CHARACTERS {
            return Err(AddressError::for_text(text));
        }
        strkey::decode(StrkeyKind::Account, text.as_bytes())
            .map(Address)
            .ok_or_else(|| AddressError::for_text(text))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = strkey::encode(StrkeyKind::Account, &self.0);
        f.pad(core::str::from_utf8(&text).expect("base32 is ASCII"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a Stellar address (G...)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}
