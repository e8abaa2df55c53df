//! A Stellar key pair inside this module's memory, and signers outside it. The secret is wiped when it is dropped.

use ed25519_dalek::{Signer as _, SigningKey};
use hvym_tunnel_core::stellar::strkey::{self, Kind};
use hvym_tunnel_core::stellar::{Address, Signature};
use js_sys::{Function, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use zeroize::Zeroizing;

use crate::clock;
use crate::fault::fault;

/// A key pair. JavaScript holds a handle, never the secret.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
}

#[wasm_bindgen]
impl Identity {
    /// A new one, from the browser's entropy.
    ///
    /// # Errors
    /// The browser has none.
    pub fn generate() -> Result<Identity, JsValue> {
        let seed = Zeroizing::new(clock::seed()?);
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    /// The one whose secret is `S...`.
    ///
    /// # Errors
    /// `bad_secret`, which never repeats what was given.
    #[wasm_bindgen(js_name = fromSecret)]
    pub fn from_secret(secret: String) -> Result<Identity, JsValue> {
        let secret = Zeroizing::new(secret);
        let seed =
            strkey::decode(Kind::Seed, secret.trim().as_bytes()).map(Zeroizing::new).ok_or_else(|| {
                fault("bad_secret", "this is not a Stellar secret: it starts with S and has 56 characters")
            })?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    /// `G...`.
    #[wasm_bindgen(getter)]
    pub fn address(&self) -> String {
        self.public().to_string()
    }

    /// The secret, `S...`: the only way in which it leaves this memory.
    #[wasm_bindgen(js_name = exportSecret)]
    pub fn export_secret(&self) -> String {
        let text = Zeroizing::new(strkey::encode(Kind::Seed, self.key.as_bytes()));
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

/// Whoever signs logins.
#[derive(Clone)]
pub(crate) enum Signer {
    /// Its own key, at once.
    Own(Identity),
    /// A wallet, that may ask a person.
    Wallet {
        /// Whose signature it is to be.
        address: Address,
        /// `bytes => Promise<Uint8Array | null>`.
        sign: Function,
    },
}

/// What a wallet said.
pub(crate) enum Signed {
    /// A signature; whose, is checked by the core.
    Yes(Signature),
    /// No.
    No,
    /// Something else than 64 bytes.
    Nonsense,
}

impl Signer {
    /// Whose signatures these are.
    pub(crate) fn address(&self) -> Address {
        match self {
            Signer::Own(identity) => identity.public(),
            Signer::Wallet { address, .. } => *address,
        }
    }

    /// Has `bytes` signed. A wallet takes as long as it takes.
    pub(crate) async fn sign(&self, bytes: &[u8]) -> Signed {
        let sign = match self {
            Signer::Own(identity) => return Signed::Yes(Signature(identity.key.sign(bytes).to_bytes())),
            Signer::Wallet { sign, .. } => sign,
        };
        let Ok(asked) = sign.call1(&JsValue::UNDEFINED, &Uint8Array::from(bytes)) else { return Signed::No };
        match JsFuture::from(Promise::resolve(&asked)).await {
            Err(_) => Signed::No,
            Ok(answer) if answer.is_null() || answer.is_undefined() => Signed::No,
            Ok(answer) => {
                let bytes = answer.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec());
                let signature = bytes.and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
                signature.map_or(Signed::Nonsense, |bytes| Signed::Yes(Signature(bytes)))
            }
        }
    }
}
