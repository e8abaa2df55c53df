//! Accounts that sign on the spot. The only place of the harness that has secrets, and they are all made up.

use ed25519_dalek::{Signer, SigningKey};
use hvym_tunnel_compat::sealed_box::SealKey;
use hvym_tunnel_core::handshake::{ProofInput, RelayProof};
use hvym_tunnel_core::stellar::{Address, Signature, SigningInput};
use stellar_strkey::ed25519::PrivateKey;

/// A Stellar account whose secret is known. The same seed is the same account.
#[derive(Clone)]
pub struct Key(SigningKey);

impl Key {
    /// The account of this Ed25519 seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Key(SigningKey::from_bytes(&seed))
    }

    /// Its address.
    pub fn address(&self) -> Address {
        Address::from_public_key(self.0.verifying_key().to_bytes())
    }

    /// Its secret, as a key file holds it.
    pub fn secret(&self) -> String {
        PrivateKey(self.0.to_bytes()).as_unredacted().to_string().as_str().to_owned()
    }

    /// The key for sealed messages that it shares with `other`.
    ///
    /// # Panics
    /// When `other` is no usable key.
    pub fn seal_key(&self, other: &Address) -> SealKey {
        SealKey::agree(self.0.as_bytes(), other).expect("a usable account")
    }

    /// Signs whatever a machine asks for, even in the name of another account.
    pub fn sign(&self, input: &SigningInput) -> Signature {
        self.sign_bytes(input.as_bytes())
    }

    /// The proof of a relay that it holds this key.
    pub fn prove(&self, input: ProofInput) -> RelayProof {
        let signature = self.sign_bytes(input.as_bytes());
        input.into_proof(signature)
    }

    /// Signs any bytes: for tokens that no honest program makes.
    pub fn sign_bytes(&self, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(bytes).to_bytes())
    }
}
