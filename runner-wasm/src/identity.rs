//! Stellar key pairs in the module's memory, and signers outside it. A secret is zeroed when it is dropped.

use std::rc::Rc;

use ed25519_dalek::{Signer as _, SigningKey};
use hvym_tunnel_core::handshake::AgentLogin;
use hvym_tunnel_core::stellar::delegation::{ShareLink, SignedDelegation};
use hvym_tunnel_core::stellar::strkey::{self, StrkeyKind};
use hvym_tunnel_core::stellar::{Address, Scope, Signature};
use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

use crate::clock;
use crate::error::{tunnel_error, tunnel_error_from};

/// A key pair. JavaScript holds a handle, not the secret.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Identity {
    /// In one place, which is zeroed when the last clone is gone.
    key: Rc<SigningKey>,
    /// The link that the key came in.
    share: Option<Rc<ShareLink>>,
}

#[wasm_bindgen]
impl Identity {
    /// A new key pair from the browser's entropy.
    ///
    /// # Errors
    /// The browser's exception if it has none.
    pub fn generate() -> Result<Identity, JsValue> {
        let seed = Zeroizing::new(clock::seed()?);
        Ok(Self::from_seed(&seed, None))
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
        Ok(Self::from_seed(&seed, None))
    }

    /// The key pair in a share link, which acts for the link's owner.
    ///
    /// # Errors
    /// `bad_link`; its message does not contain `link`.
    #[wasm_bindgen(js_name = fromShareLink)]
    pub fn from_share_link(link: String) -> Result<Identity, JsValue> {
        let share =
            ShareLink::parse(&Zeroizing::new(link)).map_err(|error| tunnel_error_from("bad_link", &error))?;
        let share = Rc::new(share);
        Ok(Self::from_seed(share.seed(), Some(Rc::clone(&share))))
    }

    /// The relay of the share link: `wss://..`.
    #[wasm_bindgen(getter)]
    pub fn relay(&self) -> Option<String> {
        let share = self.share.as_ref()?;
        Some([if share.tls() { "wss://" } else { "ws://" }, share.relay()].concat())
    }

    /// The service of the share link: `G.../service`.
    #[wasm_bindgen(getter)]
    pub fn target(&self) -> Option<String> {
        let share = self.share.as_ref()?;
        Some([&share.owner().to_string(), "/", share.service()].concat())
    }

    /// When the time of the share link is over, in seconds since 1970.
    #[wasm_bindgen(getter)]
    pub fn until(&self) -> Option<f64> {
        let share = self.share.as_ref()?;
        // The year 9999 is far below what a double counts exactly.
        Some(share.delegation().delegation().until.as_secs() as f64)
    }

    /// The public key, `G...`.
    #[wasm_bindgen(getter)]
    pub fn address(&self) -> String {
        self.public().to_string()
    }

    /// The secret, `S...`. Nothing else copies it out of the module's memory.
    #[wasm_bindgen(js_name = exportSecret)]
    pub fn export_secret(&self) -> JsValue {
        let text = Zeroizing::new(strkey::encode(StrkeyKind::Seed, self.key.as_bytes()));
        // A `String` would be freed by the script that takes it, and not zeroed.
        let secret = JsValue::from_str(str::from_utf8(&*text).unwrap_or_default());
        wipe_stack();
        secret
    }

    /// The Ed25519 signature of `bytes`.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.signature(bytes).0.to_vec()
    }
}

/// Stack below a caller that is overwritten: more than signing takes.
const WIPED_BYTES: usize = 16 * 1024;

/// Overwrites what functions that have returned left on the stack, such as the seed that was hashed for a signature.
#[inline(never)]
fn wipe_stack() {
    let mut stack = [0_u8; WIPED_BYTES];
    std::hint::black_box(&mut stack);
}

impl Identity {
    fn from_seed(seed: &[u8; 32], share: Option<Rc<ShareLink>>) -> Self {
        let key = Rc::new(SigningKey::from_bytes(seed));
        wipe_stack();
        Self { key, share }
    }

    fn signature(&self, bytes: &[u8]) -> Signature {
        let signature = Signature(self.key.sign(bytes).to_bytes());
        wipe_stack();
        signature
    }

    fn public(&self) -> Address {
        Address::from_public_key(self.key.verifying_key().to_bytes())
    }

    /// What lets the key act for somebody else.
    pub(crate) fn delegation(&self) -> Option<SignedDelegation> {
        self.share.as_ref().map(|share| share.delegation().signed().clone())
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
        /// `(bytes, done) => void`; `done(signature)` is called once, with `null` for a no.
        sign: Function,
        /// What lets another key sign for `address`.
        delegation: Option<Rc<SignedDelegation>>,
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

    /// As whom to log in, and for what: a share link, for one, is for calls alone.
    pub(crate) fn login(&self) -> AgentLogin {
        let delegation = match self {
            Signer::Local(identity) => identity.delegation(),
            Signer::Wallet { delegation, .. } => delegation.as_deref().cloned(),
        };
        match delegation {
            Some(signed) => {
                let scope = if signed.delegation.may.agent { Scope::Agent } else { Scope::Call };
                AgentLogin { scope, ..AgentLogin::by_delegation(signed) }
            }
            None => AgentLogin::new(self.address()),
        }
    }

    /// Signs `bytes`, and calls `done` with the outcome. A wallet has no time limit here; the login has one.
    pub(crate) fn sign(&self, bytes: &[u8], done: impl FnOnce(SignOutcome) + 'static) {
        match self {
            Signer::Local(identity) => {
                done(SignOutcome::Signed(identity.signature(bytes)));
            }
            Signer::Wallet { sign, .. } => {
                let done = Closure::once_into_js(move |value: JsValue| done(outcome(value)));
                // The package's own function, which calls back whatever the wallet does.
                let _called = sign.call2(&JsValue::UNDEFINED, &Uint8Array::from(bytes), &done);
            }
        }
    }
}

/// What a wallet has given.
fn outcome(value: JsValue) -> SignOutcome {
    if value.is_null() || value.is_undefined() {
        return SignOutcome::Declined;
    }
    let bytes = value.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec());
    let signature = bytes.and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    signature.map_or(SignOutcome::Invalid, |bytes| SignOutcome::Signed(Signature(bytes)))
}
