//! The key of an account, and the signed requests of ACME (RFC 8555 section 6.2, RFC 7515).

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use rcgen::KeyPair;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// A key of P-256, which every certificate authority takes.
pub(crate) struct AccountKey {
    signing: EcdsaKeyPair,
}

/// Without the key.
impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountKey")
    }
}

impl AccountKey {
    /// The key that this PEM text holds; `None` if it holds none of P-256.
    pub(crate) fn from_pem(text: &str) -> Option<Self> {
        let der = Zeroizing::new(KeyPair::from_pem(text).ok()?.serialize_der());
        let random = SystemRandom::new();
        let signing = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).ok()?;
        Some(Self { signing })
    }

    /// The coordinates of the public key, as JSON has them.
    fn coordinates(&self) -> [String; 2] {
        // An uncompressed point: 4, x, y (SEC 1 section 2.3.3).
        let (x, y) = self.signing.public_key().as_ref()[1..].split_at(32);
        [x, y].map(|number| BASE64URL_NOPAD.encode(number))
    }

    fn public_key(&self) -> Value {
        let [x, y] = self.coordinates();
        json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y })
    }

    /// What a challenge is answered with (RFC 8555 section 8.1): the token, and the fingerprint of the key (RFC 7638).
    pub(crate) fn key_authorization(&self, token: &str) -> String {
        let [x, y] = self.coordinates();
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let fingerprint = digest(&SHA256, canonical.as_bytes());
        format!("{token}.{}", BASE64URL_NOPAD.encode(fingerprint.as_ref()))
    }

    /// A signed request to `url`. Without a payload it only asks (POST-as-GET, RFC 8555 section 6.3). The account is named
    /// by its URL, or by its key as long as it has none.
    pub(crate) fn sign(
        &self,
        url: &str,
        nonce: &str,
        account: Option<&str>,
        payload: Option<&Value>,
    ) -> Vec<u8> {
        let mut protected = json!({ "alg": "ES256", "nonce": nonce, "url": url });
        match account {
            Some(account) => protected["kid"] = account.into(),
            None => protected["jwk"] = self.public_key(),
        }
        let [protected, payload] = [Some(&protected), payload].map(|part| {
            let text = part.map(Value::to_string).unwrap_or_default();
            BASE64URL_NOPAD.encode(text.as_bytes())
        });
        let signature = self
            .signing
            .sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes())
            .expect("the operating system gives random bytes");
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        json!({ "protected": protected, "payload": payload, "signature": signature }).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    fn decode(value: &Value) -> Vec<u8> {
        BASE64URL_NOPAD.decode(value.as_str().expect("text").as_bytes()).expect("base64url")
    }

    fn key() -> AccountKey {
        AccountKey::from_pem(&KeyPair::generate().expect("a key").serialize_pem()).expect("a key")
    }

    #[test]
    fn a_request_is_signed_over_what_it_says() {
        let key = key();
        let payload = json!({ "a": 1 });
        for account in [None, Some("https://ca.example/account/1")] {
            let signed = key.sign("https://ca.example/order", "n1", account, Some(&payload));
            let signed: Value = serde_json::from_slice(&signed).expect("JSON");
            let protected: Value = serde_json::from_slice(&decode(&signed["protected"])).expect("JSON");
            assert_eq!(
                [&protected["alg"], &protected["nonce"], &protected["url"]],
                ["ES256", "n1", "https://ca.example/order"]
            );
            assert_eq!(protected["kid"].as_str(), account);
            assert_eq!(protected["jwk"].is_object(), account.is_none());
            assert_eq!(decode(&signed["payload"]), payload.to_string().as_bytes());
            let message = [&signed["protected"], &signed["payload"]].map(|part| part.as_str().expect("text"));
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.signing.public_key().as_ref())
                .verify(message.join(".").as_bytes(), &decode(&signed["signature"]))
                .expect("a signature of the key");
        }
        let asked: Value = serde_json::from_slice(&key.sign("u", "n", None, None)).expect("JSON");
        assert_eq!(asked["payload"], "");
    }

    #[test]
    fn only_a_key_of_p256_is_one() {
        let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key").serialize_pem();
        assert!(AccountKey::from_pem(&other).is_none());
        assert!(
            AccountKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_none()
        );
        assert_eq!(format!("{:?}", key()), "AccountKey");
    }
}
