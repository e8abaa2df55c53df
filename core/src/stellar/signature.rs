//! Ed25519 signatures (RFC 8032), and their strict verification. It knows no secret key.

use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::VerifyingKey;

use super::address::Address;

/// An Ed25519 signature (RFC 8032): `R`, then `S`.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Whether the key of `signer` signed `message`. Refuses keys of small order and non-canonical signatures, so that a
    /// signature cannot be changed into another valid one.
    pub(crate) fn is_by(&self, signer: Address, message: &[u8]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&self.0);
        VerifyingKey::from_bytes(signer.public_key())
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

/// In base64url without padding.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64UrlUnpadded::encode_string(&self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}
