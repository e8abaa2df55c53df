//! The token that a server of an older system knows an agent by: where it comes from. It is shown nowhere.
//!
//! As an identity's secret it comes from a file that its owner alone can read, or from a variable, and is never an
//! argument, which every user of the machine can see.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::cli::exit::{Exit, Failure};
use crate::key;

/// The variable that may hold the token itself, for places without files.
pub(crate) const TOKEN_VARIABLE: &str = "HVYM_TUNNEL_TOKEN";

/// The longest token. Those that are JWTs have 1 to 2 KiB; a server's limit for a whole head is about this.
const MAX_BYTES: usize = 8 * 1024;

/// A token; wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// The token of the file that a person named, else of the variable [`TOKEN_VARIABLE`]; `None` if there is neither.
    ///
    /// # Errors
    /// [`SecretError`] says what is wrong with the source, never what was in it.
    pub(crate) fn load(file: Option<&Path>) -> Result<Option<Self>, SecretError> {
        if let Some(path) = file {
            return Self::from_file(path).map(Some);
        }
        match std::env::var_os(TOKEN_VARIABLE).filter(|value| !value.is_empty()) {
            Some(value) => {
                let value = Zeroizing::new(value.into_encoded_bytes());
                Self::decode(&value, TOKEN_VARIABLE).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The token itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn from_file(path: &Path) -> Result<Self, SecretError> {
        let place = key::shown(path);
        let unreadable =
            |error: io::Error| SecretError::Unreadable { place: place.clone(), reason: error.to_string() };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        if let Some(mode) = key::too_open(&file).map_err(unreadable)? {
            return Err(SecretError::TooOpen { place, mode });
        }
        // One byte more than allowed tells that there is more.
        let mut text = Zeroizing::new(Vec::with_capacity(2 * MAX_BYTES));
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
        Self::decode(&text, &place)
    }

    fn decode(text: &[u8], place: &str) -> Result<Self, SecretError> {
        let text = text.trim_ascii();
        // What could be another header field, or a second token, is none.
        match std::str::from_utf8(text) {
            Ok(text) if matches!(text.len(), 1..=MAX_BYTES) && text.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Secret(Zeroizing::new(text.to_owned())))
            }
            _ => Err(SecretError::NotToken { place: place.to_owned() }),
        }
    }
}

#[cfg(test)]
impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(Zeroizing::new(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why there is no token. No variant holds anything that was read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum SecretError {
    /// The system refused to read.
    #[error("cannot read the token from {place}: {reason}")]
    Unreadable {
        /// Where it was looked for.
        place: String,
        /// The system's words.
        reason: String,
    },
    /// Others could have copied it.
    #[error("{place} can be read by others (mode {mode:04o}), so it may not hold a token")]
    TooOpen {
        /// The file.
        place: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Nothing, several lines, or something else.
    #[error("{place} does not hold a token (one line of visible ASCII characters)")]
    NotToken {
        /// Where it was read.
        place: String,
    },
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Failure {
        let failure = Failure::new(Exit::Refused, error.to_string());
        match error {
            SecretError::TooOpen { place, .. } => failure.with_hint(format!("close it: chmod 600 {place}")),
            SecretError::NotToken { .. } => {
                failure.with_hint("copy it as its server's operator gave it to you")
            }
            SecretError::Unreadable { .. } => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_what_stands_around_it_is_not_part_of_it() {
        let token =
            |text: &str| Secret::decode(text.as_bytes(), "here").map(|secret| secret.as_str().to_owned());
        assert_eq!(token("  tun_abc-DEF\r\n").as_deref(), Ok("tun_abc-DEF"));
        for text in ["", " \n", "two words", "tun_a\nX-Other: 1", "tun_\u{e9}", &"x".repeat(MAX_BYTES + 1)] {
            assert_eq!(token(text), Err(SecretError::NotToken { place: "here".to_owned() }));
        }
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let secret = Secret::decode(b"tun_abc", "here").expect("a token");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
