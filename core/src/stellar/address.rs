//! A Stellar account's public key, and its two spellings: the strkey `G...` (SEP-23) and the DNS label.
//!
//! Knows no secret: a seed given by mistake is recognised, refused, and never repeated.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::strkey::{self, Kind};

/// The identity of an agent or a relay: a raw Ed25519 public key, shown as `G...`.
///
/// Any 32 bytes make an address. Bytes that are no point of the curve, or one of small order, are an
/// address for which no token can be verified.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 32]);

impl Address {
    /// Characters of an address: base32 of version, key and checksum, with no bits to spare.
    pub const CHARACTERS: usize = strkey::CHARACTERS;

    /// The address of this raw Ed25519 public key.
    pub const fn from_public_key(key: [u8; 32]) -> Self {
        Address(key)
    }

    /// The raw Ed25519 public key.
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.0
    }

    /// The address that a DNS label names. Host names are case-insensitive and base32 is upper case
    /// only, so any case is taken; the checksum catches a label that was mistyped.
    ///
    /// # Errors
    /// As for [`Address::from_str`].
    pub fn from_label(label: &str) -> Result<Self, AddressError> {
        label.to_ascii_uppercase().parse()
    }

    /// The address as a DNS label: lower case, as browsers send it; 56 of the 63 octets a label may have.
    pub fn label(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

/// Why a text is not a Stellar address. The text says what to do and never repeats what it was given.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum AddressError {
    /// Somebody pasted a secret where an address belongs.
    #[error(
        "this looks like a secret seed (S...), not an address: keep it private and give the public key, which starts with G"
    )]
    SecretSeed,
    /// A muxed account (SEP-23 `M...`) does not fit a DNS label and names no key of its own.
    #[error("this looks like a muxed address (M...): give the account's own address, which starts with G")]
    Muxed,
    /// Nothing at all, usually an empty setting.
    #[error("the address is empty: a Stellar address starts with G and has 56 characters")]
    Empty,
    /// Spaces or line ends, usually from copying.
    #[error("there is white space in the address: copy only its 56 characters")]
    WhiteSpace,
    /// So many characters instead of 56.
    #[error("a Stellar address has 56 characters, this has {0}")]
    Length(usize),
    /// Another kind of strkey, or no strkey.
    #[error("a Stellar address starts with G")]
    Kind,
    /// Base32 is upper case.
    #[error("a Stellar address is written in upper case")]
    LowerCase,
    /// A character outside the base32 alphabet.
    #[error("a Stellar address has only the characters A to Z and 2 to 7")]
    Character,
    /// Every character is possible, but they do not belong together.
    #[error("the checksum of the address does not match: a character was mistyped, copy it again")]
    Checksum,
}

impl AddressError {
    /// Why `text`, which is not an address, is none: the reason that helps most.
    fn of(text: &str) -> Self {
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

/// SEP-23: a muxed account carries eight more bytes.
const MUXED_CHARACTERS: usize = 69;

/// Whether `text` could be a secret seed, and so must never be shown. Rather too often than too seldom.
pub(super) fn looks_secret(text: &str) -> bool {
    let text = text.trim();
    // A character too many or too few is still nearly the whole secret.
    matches!(text.len(), 50..=62)
        && text.starts_with(['S', 's'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl FromStr for Address {
    type Err = AddressError;

    /// Takes exactly the 56 upper-case characters of a `G...` address.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() != Self::CHARACTERS {
            return Err(AddressError::of(text));
        }
        strkey::decode(Kind::Account, text.as_bytes()).map(Address).ok_or_else(|| AddressError::of(text))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = strkey::encode(Kind::Account, &self.0);
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
