//! The token that a server of an older system knows an agent by: where it comes from. It is shown nowhere.
//!
//! As an identity's secret it comes from a file that its owner alone can read, or from a variable, and is never an
//! argument, which every user of the machine can see.

use std::path::Path;

use thiserror::Error;
use zeroize::Zeroizing;

use hvym_tunnel_net::exit::{Exit, Failure};
use hvym_tunnel_net::key;
use hvym_tunnel_net::secret::{Secret, SecretError};

/// The variable that may hold the token itself, for places without files.
pub const TOKEN_VARIABLE: &str = "HVYM_TUNNEL_TOKEN";

/// The longest token. Those that are JWTs have 1 to 2 KiB; a server's limit for a whole head is about this.
const MAX_BYTES: usize = 8 * 1024;

/// A token; wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token(Secret);

impl Token {
    /// The token of the file that a person named, else of the variable [`TOKEN_VARIABLE`]; `None` if there is neither.
    ///
    /// # Errors
    /// [`TokenError`] says what is wrong with the source, never what was in it.
    pub fn load(file: Option<&Path>) -> Result<Option<Self>, TokenError> {
        if let Some(path) = file {
            return Self::decode(Secret::from_file(path)?, &key::shown(path)).map(Some);
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

    /// This very token.
    #[cfg(test)]
    pub fn of(text: &str) -> Self {
        Token(text.into())
    }

    /// The token itself.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.bytes()).expect("a token was found to be ASCII when it was made")
    }

    fn decode(secret: Secret, place: &str) -> Result<Self, TokenError> {
        // What could be another header field, or a second token, is none.
        match secret.bytes() {
            bytes if matches!(bytes.len(), 1..=MAX_BYTES) && bytes.iter().all(u8::is_ascii_graphic) => {
                Ok(Token(secret))
            }
            _ => Err(TokenError::NotToken { place: place.to_owned() }),
        }
    }
}

/// Why there is no token. No variant holds anything that was read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TokenError {
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

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Failure {
        let failure = Failure::new(Exit::Refused, error.to_string());
        match error {
            TokenError::NotToken { .. } => {
                failure.with_hint("copy it as its server's operator gave it to you")
            }
            TokenError::File(_) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        let token = |text: &str| Token::decode(text.into(), "here");
        assert_eq!(token("tun_abc-DEF").map(|token| token.as_str().to_owned()).as_deref(), Ok("tun_abc-DEF"));
        for text in ["", "two words", "tun_a\nX-Other: 1", "tun_\u{e9}", &"x".repeat(MAX_BYTES + 1)] {
            assert_eq!(token(text), Err(TokenError::NotToken { place: "here".to_owned() }));
        }
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let token = Token::decode("tun_abc".into(), "here").expect("a token");
        assert_eq!(format!("{token:?}"), "Token(Secret(..))");
    }
}
