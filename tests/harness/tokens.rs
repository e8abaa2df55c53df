//! Tokens of login services, as CloudToLocalLLM's agents show them, honest ones and others.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

/// Who makes them.
pub const ISSUER: &str = "https://login.example/";
/// For whom they are.
pub const AUDIENCE: &str = "https://api.example";

/// What a good token of `subject` says.
///
/// # Panics
/// When the clock stands before 1970.
pub fn claims(subject: &str) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    json!({"iss": ISSUER, "aud": [AUDIENCE, "other"], "sub": subject, "iat": now, "exp": now + 3600})
}

/// A token that is signed with a key which both sides have.
pub fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    sealed(header, claims, |input| hmac::sign(&key, input).as_ref().to_vec())
}

/// A token that is signed with the key of `tests/golden/guests/rsa.pk8`, which signs nothing else.
///
/// # Panics
/// When that is no key.
pub fn rs256(header: &Value, claims: &Value) -> String {
    let key = RsaKeyPair::from_pkcs8(include_bytes!("../golden/guests/rsa.pk8")).expect("a key");
    sealed(header, claims, |input| {
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).expect("it can sign");
        signature
    })
}

/// A token with this signature.
pub fn sealed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let input = format!("{}.{}", part(header), part(claims));
    let signature = BASE64URL_NOPAD.encode(&sign(input.as_bytes()));
    format!("{input}.{signature}")
}
