//! The login token: a JWT that a Stellar key signs (RFC 7519, RFC 8037), byte for byte as HVYM programs write it.
//!
//! Three steps that nobody can skip: [`Claims`] say what is claimed, [`SigningInput`] is what a key must sign,
//! and [`Token`] is what travels. The way back is one step, [`Token::verify`], and its [`Verified`] is the
//! proof. Knows neither a secret key nor a clock, and not who may come in.

mod claims;
mod error;
mod verify;

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::VerifyingKey;

use super::address::Address;
pub use claims::{ClaimValue, Claims};
pub use error::JwtError;
pub use verify::{Expected, Verified};

/// The `iss` of every HVYM token; the spelling is theirs.
pub const ISSUER: &str = "hvym_tunnler";
/// How long a token lives unless its [`Claims`] say otherwise. Long enough for a wrong clock, and a token is made fresh for every link.
pub const LIFETIME: Duration = Duration::from_secs(3600);
/// How far two clocks may disagree. HVYM's verifier grants the same 60 s.
pub const SKEW: Duration = Duration::from_secs(60);
/// The service a token asks for when it names none.
pub const DEFAULT_SERVICE: &str = "pintheon";
/// The largest token, in bytes: a usual one has 600, and this is refused before anything is decoded, so it
/// bounds what an unknown peer can make a relay work on.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// What a key must sign: the ASCII bytes `header.payload` of a token, and the account whose key must do it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningInput {
    text: String,
    signer: Address,
}

impl SigningInput {
    /// The bytes to sign with Ed25519, as they are (no hash first).
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The account whose key must sign.
    pub fn signer(&self) -> Address {
        self.signer
    }

    /// The signed token.
    ///
    /// # Errors
    /// [`JwtError::WrongSigner`] when the signature is not by the key of [`SigningInput::signer`], such as
    /// that of a wallet with another account open; [`JwtError::TooLarge`] when no relay would read the token.
    pub fn into_token(self, signature: Signature) -> Result<Token, JwtError> {
        if !signature.is_by(self.signer, self.as_bytes()) {
            return Err(JwtError::WrongSigner(self.signer));
        }
        let mut token = self.text;
        token.push('.');
        token.push_str(&Base64UrlUnpadded::encode_string(&signature.0));
        match token.len() {
            bytes if bytes > MAX_TOKEN_BYTES => Err(JwtError::TooLarge(bytes)),
            _ => Ok(Token(token)),
        }
    }
}

impl fmt::Debug for SigningInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningInput").field("signer", &self.signer).finish_non_exhaustive()
    }
}

/// An Ed25519 signature (RFC 8032), `R` and `S`.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Whether the key of `signer` signed `message`. Refuses weak keys and every second spelling of a
    /// signature, so a signature cannot be changed into another one that is valid too.
    fn is_by(&self, signer: Address, message: &[u8]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&self.0);
        VerifyingKey::from_bytes(signer.public_key())
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

/// A signed token. Whoever holds one can log in with it until it expires, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token as it travels: three base64url parts joined by dots.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What `token` proves at `now`, if its account signed it for us.
    ///
    /// Stricter than HVYM's verifier in everything that no real program relies on: base64url has one
    /// spelling, times are integers, no top-level key appears twice, the audience and issuer are always
    /// checked, `kid` is `sub`, `iat` and `nbf` are not in the future, and there is no `crit`. What HVYM
    /// refuses is refused first and in its order, in its words; our own checks come after.
    ///
    /// # Errors
    /// The first check that failed, as a text for the person who made the token.
    pub fn verify(
        token: &str,
        expected: &Expected<'_>,
        now: crate::time::UnixTime,
    ) -> Result<Verified, JwtError> {
        verify::verify(token, expected, now)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
