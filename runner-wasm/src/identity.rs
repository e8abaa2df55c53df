//! Stellar key pairs in the module's memory, and signers outside it. A secret is zeroed when it is dropped.

use ed25519_dalek::{Signer as _, SigningKey};
use hvym_tunnel_core::stellar::strkey::{self, StrkeyKind};
use hvym_tunnel_core::stellar::{Address, Signature};
use js_sys::{Function, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use zeroize::Zeroizing;

use crate::clock;
use crate::error::tunnel_error;

/// A key pair. JavaScript holds a handle, not the secret.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
}

#[wasm_bindgen]
impl Identity {
    /// A new key pair from the browser's entropy.
    ///
    /// # Errors
    /// The browser's exception if it has none.
    pub fn generate() -> Result<Identity, JsValue> {
        let seed = Zeroizing::new(clock::seed()?);
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    /// The key pair of the secret `S...` (SEP-23).
    ///
    /// # Errors
    /// `bad_secret`; its message does not contain `secret`.
    #[wasm_bindgen(js_name = fromSecret)]
    pub fn from_secret(secret: String) -> Result<Identity, JsValue> {
        let secret = Zeroizing::new(secret);
        let seed = strkey::decode(StrkeyKind::Seed, secret.trim().as_bytes()).map(Zeroizing::new);
        let seed = seed.ok_or_else(|| {
            tunnel_error("bad_secret", "this is not a Stellar secret: it starts with S and has 56 characters")
        })?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    /// The public key, `G...`.
    #[wasm_bindgen(getter)]
    pub fn address(&self) -> String {
        self.public().to_string()
    }

    /// The secret, `S...`. Nothing else copies it out of the module's memory.
    #[wasm_bindgen(js_name = exportSecret)]
    pub fn export_secret(&self) -> String {
        let text = Zeroizing::new(strkey::encode(StrkeyKind::Seed, self.key.as_bytes()));
        text.iter().map(|byte| char::from(*byte)).collect()
    }

    /// The Ed25519 signature of `bytes`.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(bytes).to_bytes().to_vec()
    }
}

impl Identity {
    fn public(&self) -> Address {
        Address::from_public_key(self.key.verifying_key().to_bytes())
    }
}

/// What signs the logins.
#[derive(Clone)]
pub(crate) enum Signer {
    /// A key pair in this module.
    Local(Identity),
    /// A function of the page, which may ask the user.
    Wallet {
        /// The address whose signature is expected.
        address: Address,
        /// `bytes => Promise<Uint8Array | null>`.
        sign: Function,
    },
}

/// The result of [`Signer::sign`].
pub(crate) enum SignOutcome {
    /// A signature, not verified yet.
    Signed(Signature),
    /// The wallet returned nothing, or failed.
    Declined,
    /// The wallet returned something else than 64 bytes.
    Invalid,
}

impl Signer {
    /// The address whose signatures these are.
    pub(crate) fn address(&self) -> Address {
        match self {
            Signer::Local(identity) => identity.public(),
            Signer::Wallet { address, .. } => *address,
        }
    }

    /// Signs `bytes`. A wallet has no time limit here; the login has one.
    pub(crate) async fn sign(&self, bytes: &[u8]) -> SignOutcome {
        let sign = match self {
            Signer::Local(identity) => {
                return SignOutcome::Signed(Signature(identity.key.sign(bytes).to_bytes()));
            }
            Signer::Wallet { sign, .. } => sign,
        };
        let Ok(result) = sign.call1(&JsValue::UNDEFINED, &Uint8Array::from(bytes)) else {
            return SignOutcome::Declined;
        };
        match JsFuture::from(Promise::resolve(&result)).await {
            Err(_) => SignOutcome::Declined,
            Ok(value) if value.is_null() || value.is_undefined() => SignOutcome::Declined,
            Ok(value) => {
                let bytes = value.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec());
                let signature = bytes.and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
                signature.map_or(SignOutcome::Invalid, |bytes| SignOutcome::Signed(Signature(bytes)))
            }
        }
    }
}
