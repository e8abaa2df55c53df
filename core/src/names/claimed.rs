//! Names that a relay gives to who asks first.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::borrow::Borrow;
use core::fmt;

use thiserror::Error;

use super::label::is_label;
use super::short_label::ShortLabel;
use crate::stellar::Address;

/// The lengths of a claimed name: shorter ones are scarce, and longer ones leave no room for a service beside them.
const CHARACTERS: core::ops::RangeInclusive<usize> = 3..=40;

/// Names by which programs and people find infrastructure, or which look as if the relay's operator spoke. Sorted.
const RESERVED: [&str; 48] = [
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "api",
    "auth",
    "autoconfig",
    "autodiscover",
    "cdn",
    "connect",
    "console",
    "dashboard",
    "dns",
    "ftp",
    "health",
    "help",
    "hostmaster",
    "imap",
    "info",
    "isatap",
    "localdomain",
    "localhost",
    "login",
    "mail",
    "mta-sts",
    "noc",
    "ns1",
    "ns2",
    "official",
    "pop3",
    "postmaster",
    "proxy",
    "relay",
    "root",
    "security",
    "smtp",
    "ssl",
    "sso",
    "static",
    "status",
    "support",
    "tunnel",
    "usenet",
    "webmaster",
    "whois",
    "wpad",
    "www",
];

/// A name that an address may claim: one DNS label, never one that stands for an address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClaimedName(String);

impl ClaimedName {
    /// The name, if `text` can be one. Host names are case-insensitive, so any case is accepted.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, ClaimedNameError> {
        let text = text.to_ascii_lowercase();
        if !CHARACTERS.contains(&text.len()) {
            return Err(ClaimedNameError::Length);
        }
        if !is_label(&text) || text.contains("--") {
            return Err(ClaimedNameError::Characters);
        }
        if ShortLabel::parse(&text).is_some() || text.len() == Address::CHARACTERS {
            return Err(ClaimedNameError::LooksLikeAnAddress);
        }
        if RESERVED.binary_search(&text.as_str()).is_ok() {
            return Err(ClaimedNameError::Reserved);
        }
        Ok(Self(text))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClaimedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for ClaimedName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl core::str::FromStr for ClaimedName {
    type Err = ClaimedNameError;

    fn from_str(text: &str) -> Result<Self, ClaimedNameError> {
        Self::new(text)
    }
}

impl From<ClaimedName> for String {
    fn from(name: ClaimedName) -> Self {
        name.as_str().to_owned()
    }
}

/// Why a name cannot be claimed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ClaimedNameError {
    /// Fewer than 3 characters, or more than 40.
    #[error("a name has {} to {} characters", CHARACTERS.start(), CHARACTERS.end())]
    Length,
    /// Not letters, digits and single hyphens inside.
    #[error("a name has only a to z, 0 to 9, and single hyphens inside")]
    Characters,
    /// 16 characters of base32 are the short label of an address.
    #[error("16 characters of a to z and 2 to 7 are the short name of an address, and cannot be claimed")]
    LooksLikeAnAddress,
    /// It is on the list of reserved words.
    #[error("this name is reserved")]
    Reserved,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_words_are_sorted_and_could_be_claimed_otherwise() {
        assert!(RESERVED.is_sorted());
        for word in RESERVED {
            assert_eq!(ClaimedName::new(word), Err(ClaimedNameError::Reserved), "{word}");
            assert!(is_label(word) && CHARACTERS.contains(&word.len()), "{word}");
        }
    }
}
