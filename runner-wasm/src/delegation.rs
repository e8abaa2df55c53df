//! What scripts need to know of keys and delegations that they keep themselves: names of keys, and whether a delegation is signed.

use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::{DelegationError, SignedDelegation};
use wasm_bindgen::prelude::*;

use crate::error::tunnel_error_from;

/// The address of a public key, `G...`; `undefined` if it has not 32 bytes.
#[wasm_bindgen(js_name = addressOf)]
pub fn address_of(key: &[u8]) -> Option<String> {
    Some(Address::from_public_key(key.try_into().ok()?).to_string())
}

/// Checks the text of a delegation and the signature of its owner, in base64url.
///
/// # Errors
/// `bad_delegation`, or `signer_mismatch` where its owner did not sign it.
#[wasm_bindgen(js_name = checkDelegation)]
pub fn check_delegation(text: &str, signature: &str, form: &str) -> Result<(), JsValue> {
    verified(text, signature, form).map(drop)
}

/// A delegation that its owner signed.
///
/// # Errors
/// `bad_delegation`, or `signer_mismatch` where its owner did not sign it.
pub(crate) fn verified(text: &str, signature: &str, form: &str) -> Result<SignedDelegation, JsValue> {
    SignedDelegation::from_parts(text, signature, form)
        .and_then(SignedDelegation::verify)
        .map(|verified| verified.signed().clone())
        .map_err(|error| {
            let is_forged = matches!(error, DelegationError::Forged(_));
            tunnel_error_from(if is_forged { "signer_mismatch" } else { "bad_delegation" }, &error)
        })
}
