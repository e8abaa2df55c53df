//! The public keys of a login service by their ids (RFC 7517 section 5). Knows neither tokens nor where keys come from.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};

/// RS256 keys.
#[derive(Default)]
pub(super) struct KeySet(Vec<(String, DecodingKey)>);

impl KeySet {
    /// The keys of a JSON document that can be used; `None` if there are none, or if it is no key set.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let set: JwkSet = serde_json::from_slice(text).ok()?;
        let keys: Vec<_> = set.keys.iter().filter_map(usable).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The key of this id.
    pub(super) fn find(&self, id: &str) -> Option<&DecodingKey> {
        self.0.iter().find(|(name, _)| name == id).map(|(_, key)| key)
    }

    /// Whether the other one has the same ids. Another key has another id.
    pub(super) fn is_same(&self, other: &KeySet) -> bool {
        self.0.iter().map(|(name, _)| name).eq(other.0.iter().map(|(name, _)| name))
    }
}

/// An RS256 key and its `kid`. Sets also hold keys for other purposes.
fn usable(key: &Jwk) -> Option<(String, DecodingKey)> {
    let AlgorithmParameters::RSA(_) = &key.algorithm else { return None };
    let signs = !matches!(&key.common.public_key_use, Some(what) if *what != PublicKeyUse::Signature);
    let fits = key.common.key_algorithm.is_none_or(|named| named.to_string() == "RS256");
    let name = key.common.key_id.clone().filter(|_| signs && fits)?;
    Some((name, DecodingKey::from_jwk(key).ok()?))
}
