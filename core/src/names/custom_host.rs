//! Host names outside of a relay's domain that their owners have lead there.

use alloc::string::String;
use core::fmt;

use thiserror::Error;

use super::label::is_label;

/// Characters of a host name (RFC 1035 section 2.3.4, without the final dot).
const MAX_CHARACTERS: usize = 253;

/// A host name of two or more labels, lower case and without a final dot; no IP address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CustomHost(String);

/// A text that is no such host name.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error("a host name has two or more labels of a to z, 0 to 9 and '-', and is no IP address")]
pub struct CustomHostError;

impl CustomHost {
    /// The host name, if `text` is one. Host names are case-insensitive, so any case is accepted.
    ///
    /// # Errors
    /// It is none.
    pub fn new(text: &str) -> Result<Self, CustomHostError> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        // The last label of an IPv4 address is a number, and no top-level domain is (RFC 3696 section 2).
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let last = text.rsplit_once('.').map(|(_, last)| last);
        let is_host = text.len() <= MAX_CHARACTERS && text.split('.').all(is_label);
        match last.filter(|last| is_host && !is_number(last)) {
            Some(_) => Ok(Self(text)),
            None => Err(CustomHostError),
        }
    }

    /// The host name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `domain`, or below it.
    pub fn is_within(&self, domain: &str) -> bool {
        let rest = self.0.strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl fmt::Display for CustomHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
