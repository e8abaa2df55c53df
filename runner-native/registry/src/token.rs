//! Tokens of tunnels, and their hashes, which are all that is kept.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use ring::digest::{SHA256, digest};
use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Random bytes of a token: 43 characters of base64url.
const TOKEN_BYTES: usize = 32;

/// A new token, which is shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct TunnelToken(Zeroizing<String>);

impl TunnelToken {
    /// A random token, as Tunely's relay makes them.
    ///
    /// # Errors
    /// The system has no entropy.
    pub fn generate() -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        SystemRandom::new().fill(&mut *bytes)?;
        let text = Zeroizing::new(Base64UrlUnpadded::encode_string(&*bytes));
        Ok(Self(Zeroizing::new(format!("tun_{}", *text))))
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::new(&self.0)
    }
}

impl fmt::Debug for TunnelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TunnelToken(..)")
    }
}

/// The SHA-256 of a token. Tokens are random, so that nobody finds one by its hash.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of this token.
    pub fn new(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }

    /// As it stands in the database: 64 hexadecimal digits.
    pub(crate) fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The hash that [`Self::to_hex`] wrote.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() || !text.is_ascii() {
            return None;
        }
        for (byte, at) in hash.iter_mut().zip((0..text.len()).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_form_that_tunely_gives_it_and_is_not_shown() {
        let (one, two) =
            (TunnelToken::generate().expect("entropy"), TunnelToken::generate().expect("entropy"));
        assert!(one.expose().starts_with("tun_") && one.expose().len() == 47, "{}", one.expose());
        assert_ne!(one, two);
        assert_eq!(format!("{one:?} {:?}", one.hash()), "TunnelToken(..) TokenHash(..)");
    }

    #[test]
    fn a_hash_is_read_back_as_it_was_written() {
        let hash = TokenHash::new("abc");
        assert_eq!(hash.to_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(TokenHash::from_hex(&hash.to_hex()), Some(hash));
        for wrong in ["", "ba", &"g".repeat(64), &"é".repeat(32), &"a".repeat(65)] {
            assert_eq!(TokenHash::from_hex(wrong), None, "{wrong}");
        }
    }
}
