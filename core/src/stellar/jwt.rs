//! The login token: a JWT (RFC 7519) in JWS compact serialization (RFC 7515), signed by a Stellar key with EdDSA
//! (RFC 8037), byte for byte as HVYM programs write it.
//!
//! [`Claims`] become a [`SigningInput`], which a key signs, which gives a [`Token`]. [`Token::verify`] turns a token into
//! [`Verified`] claims. This module knows neither secret keys nor clocks, and does not decide who is admitted.
//!
//! ```
//! use ed25519_dalek::{Signer, SigningKey};
//! use hvym_tunnel_core::stellar::{Address, Claims, Expected, Signature, Token};
//! use hvym_tunnel_core::time::UnixTime;
//!
//! # fn main() -> Result<(), hvym_tunnel_core::stellar::JwtError> {
//! # let relay = Address::from_public_key(SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes());
//! let key = SigningKey::from_bytes(&[7; 32]);
//! let agent = Address::from_public_key(key.verifying_key().to_bytes());
//! let now = UnixTime::from_secs(1_800_000_000);
//!
//! let input = Claims::new(agent, relay.to_string(), now).with_services(["app"]).signing_input();
//! let signature = Signature(key.sign(input.as_bytes()).to_bytes());
//! let token = input.into_token(signature)?;
//!
//! let verified = Token::verify(token.as_str(), &Expected::for_audience(relay), now)?;
//! assert_eq!((verified.address(), verified.services()), (agent, &["app".to_owned()][..]));
//! # Ok(())
//! # }
//! ```

mod claims;
mod error;
mod verify;

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};

use super::address::Address;
pub use super::scope::Scope;
pub use super::signature::Signature;
pub use crate::time::SKEW;
use crate::time::UnixTime;
pub use claims::{ClaimValue, Claims};
pub use error::JwtError;
pub use verify::{Expected, Verified};

/// The `iss` claim of every HVYM token, with their spelling.
pub const ISSUER: &str = "hvym_tunnler";
/// Default time from `iat` to `exp`. A token is created for each link, so an hour is needed only for clocks that differ.
pub const LIFETIME: Duration = Duration::from_secs(3600);
/// The longest time from `iat` to `exp` of a token that is good more than once, unless a relay's operator says otherwise: whoever
/// steals one has it for a day at most.
pub const MAX_LIFETIME: Duration = Duration::from_secs(86_400);
/// The service that a token requests if it has no `services` claim.
pub const DEFAULT_SERVICE: &str = "pintheon";
/// Maximum size of a token in bytes. A typical token has 600; a larger one is refused before it is decoded, which bounds the
/// work that an unauthenticated peer can cause.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The JWS signing input (RFC 7515 section 5.1): the ASCII bytes `header.payload`, and the account whose key must sign.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningInput {
    text: String,
    claims: Claims,
    /// `iat` as it was when the signature was asked for.
    asked_at: UnixTime,
}

impl SigningInput {
    /// The bytes to sign with Ed25519 (RFC 8032 section 5.1; not prehashed).
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The account whose key must sign.
    pub fn signer(&self) -> Address {
        self.claims.signer()
    }

    /// `iat`.
    pub fn issued_at(&self) -> UnixTime {
        self.claims.issued_at
    }

    /// The same input with claims made at `at`, by the wall clock of the moment of signing. A machine that slept since
    /// the signature was asked for, or whose clock was set, would otherwise sign a token that has expired already.
    #[must_use]
    pub fn reissued(&self, at: UnixTime) -> Self {
        Self { asked_at: self.asked_at, ..self.claims.reissued(at).signing_input() }
    }

    /// Whether this is `asked`, or `asked` reissued.
    pub fn answers(&self, asked: &Self) -> bool {
        *self == asked.reissued(self.issued_at())
    }

    /// The signed token.
    ///
    /// # Errors
    /// [`JwtError::WrongSigner`] if the signature is not by the key of [`SigningInput::signer`], for example by a wallet that
    /// has another account selected; [`JwtError::TooLarge`] if the token exceeds [`MAX_TOKEN_BYTES`].
    pub fn into_token(self, signature: Signature) -> Result<Token, JwtError> {
        if !signature.is_by(self.signer(), self.as_bytes()) {
            return Err(JwtError::WrongSigner(self.signer()));
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
        f.debug_struct("SigningInput").field("signer", &self.signer()).finish_non_exhaustive()
    }
}

/// A signed token. It is a bearer credential until it expires, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The compact serialization: three base64url parts joined by dots (RFC 7515 section 7.1).
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Verifies the signature and the claims of `token` at the wall clock time `now`.
    ///
    /// The checks of HVYM's verifier come first, in its order and with its error texts. Ours follow: base64url is canonical,
    /// times are integers, no top-level key appears twice, audience and issuer are always checked, `kid` equals `sub`, `iat`
    /// and `nbf` are not in the future, and there is no `crit` (RFC 7515 section 4.1.11).
    ///
    /// # Errors
    /// The first check that failed, with a text for the person who created the token.
    pub fn verify(token: &str, expected: &Expected<'_>, now: UnixTime) -> Result<Verified, JwtError> {
        verify::verify(token, expected, now)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
