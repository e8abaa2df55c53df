//! The relay's proof that it holds its key, which an agent checks before it signs anything: what is signed, and its form on the
//! wire. It holds no key, and does not decide which relay is the right one.
//!
//! The proof is over the agent's nonce, so it is fresh, and over the host that the relay takes itself to be dialled as. A relay in the
//! middle that passes on the challenge of another one cannot pass on a proof: the other one names its own host.

use alloc::format;
use alloc::string::{String, ToString};

use base64ct::{Base64UrlUnpadded, Encoding};

use crate::stellar::{Address, Signature};

/// The first line of what is signed. No token's signing input begins like it, so neither signature passes for the other.
const CONTEXT: &str = "hvym-tunnel relay proof v2";
/// Random bytes of a nonce.
pub const NONCE_BYTES: usize = 32;
/// Characters of a nonce: base64url without padding.
const NONCE_CHARACTERS: usize = 43;
/// The parameter of the upgrade's query that holds the nonce.
const PARAMETER: &str = "nonce";

/// The URL that an agent dials: that of its relay, with its nonce in the query.
pub(crate) fn url_with_nonce(url: &str, nonce: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{PARAMETER}={nonce}")
}

/// The nonce in the query of an upgrade request; `None` if there is none, as in those of older programs.
pub fn nonce_in_query(query: &str) -> Option<&str> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(PARAMETER)?.strip_prefix('='))?;
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (value.len() == NONCE_CHARACTERS && value.bytes().all(is_digit)).then_some(value)
}

/// What a relay signs to prove its key to one agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProofInput {
    challenge: String,
    text: String,
}

impl ProofInput {
    /// The proof of `relay`, dialled as `host`, over the nonce of the agent and the challenge of the relay, which is 32 random
    /// bytes as text.
    pub fn new(nonce: &str, challenge: &str, host: &str, relay: Address) -> Self {
        Self {
            challenge: challenge.to_string(),
            text: format!("{CONTEXT}\n{nonce}\n{challenge}\n{host}\n{relay}"),
        }
    }

    /// The bytes to sign with Ed25519 (RFC 8032 section 5.1; not prehashed).
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The proof, for the [`Upgrade`](super::Upgrade) that it answers.
    pub fn into_proof(self, signature: Signature) -> RelayProof {
        RelayProof { challenge: self.challenge, signature: Base64UrlUnpadded::encode_string(&signature.0) }
    }

    /// Whether `proof` is the signature of `relay` over this.
    pub(super) fn is_proven_by(&self, relay: Address, proof: &str) -> bool {
        let mut signature = [0; 64];
        Base64UrlUnpadded::decode(proof, &mut signature).is_ok_and(|bytes| bytes.len() == 64)
            && Signature(signature).is_by(relay, self.as_bytes())
    }
}

/// The signature of a relay over a [`ProofInput`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayProof {
    pub(super) challenge: String,
    signature: String,
}

impl RelayProof {
    /// Base64url, as it is sent.
    pub fn as_str(&self) -> &str {
        &self.signature
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_proof_is_good_for_one_nonce_challenge_host_and_relay() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let relay = Address::from_public_key(key.verifying_key().to_bytes());
        let input = ProofInput::new(NONCE, "challenge", "relay.example", relay);
        let proof = Signature(key.sign(input.as_bytes()).to_bytes());
        let proof = input.clone().into_proof(proof).signature;
        assert!(input.is_proven_by(relay, &proof));
        let other = Address::from_public_key(SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes());
        assert!(!input.is_proven_by(other, &proof));
        for changed in [
            ProofInput::new(&NONCE.replace('A', "B"), "challenge", "relay.example", relay),
            ProofInput::new(NONCE, "Challenge", "relay.example", relay),
            ProofInput::new(NONCE, "challenge", "relay.example:8443", relay),
            ProofInput::new(NONCE, "challenge", "relay.example", other),
        ] {
            assert!(!changed.is_proven_by(relay, &proof), "{changed:?}");
        }
        for text in ["", "AA", &proof[1..], &format!("{proof}="), &format!("{proof}AAAA")] {
            assert!(!input.is_proven_by(relay, text), "{text}");
        }
    }

    #[test]
    fn a_nonce_has_32_bytes_and_may_stand_anywhere_in_a_query() {
        for (query, nonce) in [
            (format!("nonce={NONCE}"), Some(NONCE)),
            (format!("x=1&nonce={NONCE}&y"), Some(NONCE)),
            (format!("xnonce={NONCE}"), None),
            (format!("nonce={NONCE}A"), None),
            (format!("nonce={}", &NONCE[1..]), None),
            (format!("nonce={}", NONCE.replacen('A', "\n", 1)), None),
            (format!("nonce={}", NONCE.replacen('A', "+", 1)), None),
            (String::from("nonce="), None),
            (String::new(), None),
        ] {
            assert_eq!(nonce_in_query(&query), nonce, "{query}");
        }
        assert_eq!(url_with_nonce("wss://a/connect", "n"), "wss://a/connect?nonce=n");
        assert_eq!(url_with_nonce("wss://a/hvym?x=1", "n"), "wss://a/hvym?x=1&nonce=n");
    }
}
