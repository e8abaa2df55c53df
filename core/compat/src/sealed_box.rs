//! The sealed messages of the HVYM programs: XSalsa20-Poly1305 (NaCl `secretbox`) under a key that both accounts derive.
//!
//! As in those programs, one key serves every connection of the two accounts in both directions. It protects messages in
//! the logs of proxies on the way; it gives no forward secrecy, and the relay knows it. [`SealKey::agree`] does not keep
//! the secret, and zeroizes intermediate values.

use alloc::vec::Vec;
use core::fmt;

use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, Nonce, XSalsa20Poly1305};
use ed25519_dalek::{SigningKey, VerifyingKey};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use hvym_tunnel_core::stellar::Address;

/// Domain separation, hashed ahead of the shared secret.
const DOMAIN: &[u8] = b"hvym_v1:jwt:sign";
/// Bytes of nonce ahead of every sealed message.
pub const NONCE_BYTES: usize = 24;
/// Bytes that sealing adds: the nonce and the tag.
pub const SEAL_BYTES: usize = NONCE_BYTES + 16;

/// Why a message cannot be sealed or opened.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum SealError {
    /// The other account's address is no usable public key.
    #[error("the other side's address is not a usable public key")]
    UnusableKey,
    /// Truncated, modified, or sealed with another key.
    #[error("the sealed message cannot be opened: another key, or changed on the way")]
    Unreadable,
}

/// The key that two accounts share.
#[derive(Clone)]
pub struct SealKey {
    cipher: XSalsa20Poly1305,
    key: Zeroizing<[u8; 32]>,
}

impl SealKey {
    /// The key of the account with the Ed25519 seed `secret` and the account `other`. Both sides get the same one.
    ///
    /// # Errors
    /// [`SealError::UnusableKey`] if `other` is no point of the curve, or one of small order.
    pub fn agree(secret: &[u8; 32], other: &Address) -> Result<Self, SealError> {
        let point = VerifyingKey::from_bytes(other.public_key()).map_err(|_| SealError::UnusableKey)?;
        if point.is_weak() {
            return Err(SealError::UnusableKey);
        }
        // Reduced or not, a clamped scalar gives the same point in the subgroup of prime order.
        let scalar = Zeroizing::new(SigningKey::from_bytes(secret).to_scalar_bytes());
        let shared = Zeroizing::new(point.to_montgomery().mul_clamped(*scalar).to_bytes());
        let shared = salsa20::hsalsa::<salsa20::cipher::consts::U10>((&*shared).into(), &[0; 16].into());
        Ok(Self::derived(&Zeroizing::new(shared.into())))
    }

    /// The key from what both sides share: what `crypto_box_beforenm` of NaCl gives.
    pub fn derived(shared: &[u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(DOMAIN).chain_update(shared).finalize();
        Self::from_bytes(&Zeroizing::new(digest.into()))
    }

    /// A key from its raw bytes.
    pub fn from_bytes(key: &[u8; 32]) -> Self {
        SealKey { cipher: XSalsa20Poly1305::new(key.into()), key: Zeroizing::new(*key) }
    }

    /// `message` sealed: nonce, tag, ciphertext. A nonce must never be used twice with one key.
    pub fn seal(&self, message: &[u8], nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let sealed = self.cipher.encrypt(Nonce::from_slice(&nonce), message);
        let sealed = sealed.expect("only a message of 256 GiB is too long to be sealed");
        let mut out = Vec::with_capacity(NONCE_BYTES + sealed.len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// Decrypts and authenticates `sealed`: nonce, tag, ciphertext.
    ///
    /// # Errors
    /// [`SealError::Unreadable`], without the cause.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Unreadable)?;
        self.cipher.decrypt(Nonce::from_slice(nonce), rest).map_err(|_| SealError::Unreadable)
    }

    /// Decrypts the beginning of a sealed message that is not there whole. Nothing authenticates what it says.
    pub fn peek(&self, start: &[u8]) -> Vec<u8> {
        let Some((nonce, rest)) = start.split_first_chunk::<NONCE_BYTES>() else { return Vec::new() };
        let mut text = rest.get(SEAL_BYTES - NONCE_BYTES..).unwrap_or_default().to_vec();
        let mut cipher = XSalsa20::new((&*self.key).into(), nonce.into());
        // The first bytes of the stream are the key of the tag.
        cipher.apply_keystream(&mut [0; 32]);
        cipher.apply_keystream(&mut text);
        text
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}
