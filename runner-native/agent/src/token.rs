//! The token that a server of an older system knows an agent by, and where it is read from. It is never shown.
//!
//! Like an identity's secret it comes from a file that only its owner may read, or from a variable.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;
use zeroize::Zeroizing;

use hvym_tunnel_net::key;
use hvym_tunnel_net::passphrase::PassphraseSource;
use hvym_tunnel_net::secret::{Secret, SecretError};

/// The variable that may hold the token itself, for places without files.
pub const TOKEN_VARIABLE: &str = "HVYM_TUNNEL_TOKEN";

/// The longest token. Those that are JWTs have 1 to 2 KiB; a server's limit for a whole head is about this.
const MAX_BYTES: usize = 8 * 1024;

/// A token; wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthToken(Secret);

impl AuthToken {
    /// The token in `file`, which may be sealed by a passphrase of this source, else in the variable [`TOKEN_VARIABLE`]; `None` if
    /// there is neither.
    ///
    /// # Errors
    /// [`AuthTokenError`] says what is wrong with the source, never what was in it.
    pub fn load(file: Option<&Path>, passphrase: &PassphraseSource) -> Result<Option<Self>, AuthTokenError> {
        if let Some(path) = file {
            return Self::decode(Secret::from_sealed_file(path, passphrase)?, &key::shown(path)).map(Some);
        }
        match std::env::var_os(TOKEN_VARIABLE).filter(|value| !value.is_empty()) {
            Some(value) => {
                let value = Zeroizing::new(value.into_encoded_bytes());
                let text = std::str::from_utf8(&value).unwrap_or_default().trim_ascii();
                Self::decode(text.into(), TOKEN_VARIABLE).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The token in plain text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.bytes()).expect("a token was found to be ASCII when it was made")
    }

    fn decode(secret: Secret, place: &str) -> Result<Self, AuthTokenError> {
        // What could be another header field, or a second token, is none.
        match secret.bytes() {
            bytes if matches!(bytes.len(), 1..=MAX_BYTES) && bytes.iter().all(u8::is_ascii_graphic) => {
                Ok(AuthToken(secret))
            }
            _ => Err(AuthTokenError::NotToken { place: place.to_owned() }),
        }
    }
}

/// The file of a token, and where the passphrase is that opens it, if it is sealed.
#[derive(Clone)]
pub struct TokenFile {
    /// The file.
    pub path: PathBuf,
    /// Where the passphrase is. It remembers what opened the file before.
    pub passphrase: PassphraseSource,
}

impl TokenFile {
    /// The token as it is now.
    ///
    /// # Errors
    /// As for [`AuthToken::load`].
    pub fn load(&self) -> Result<Option<AuthToken>, AuthTokenError> {
        AuthToken::load(Some(&self.path), &self.passphrase)
    }
}

impl PartialEq for TokenFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for TokenFile {}

/// Without the passphrase.
impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl FromStr for AuthToken {
    type Err = AuthTokenError;

    fn from_str(text: &str) -> Result<Self, AuthTokenError> {
        Self::decode(text.into(), "the text")
    }
}

/// Why there is no token. No variant holds anything that was read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AuthTokenError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] SecretError),
    /// Nothing, several lines, or something else.
    #[error("{place} does not hold a token (one line of visible ASCII characters)")]
    NotToken {
        /// Where it was read.
        place: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        let token = |text: &str| AuthToken::decode(text.into(), "here");
        assert_eq!(token("tun_abc-DEF").map(|token| token.as_str().to_owned()).as_deref(), Ok("tun_abc-DEF"));
        for text in ["", "two words", "tun_a\nX-Other: 1", "tun_\u{e9}", &"x".repeat(MAX_BYTES + 1)] {
            assert_eq!(token(text), Err(AuthTokenError::NotToken { place: "here".to_owned() }));
        }
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let token = AuthToken::decode("tun_abc".into(), "here").expect("a token");
        assert_eq!(format!("{token:?}"), "AuthToken(Secret(..))");
    }
}
