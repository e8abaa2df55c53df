//! What a token claims, and its one serialization: Python's `json.dumps(.., separators=(',', ':'))`, which every
//! HVYM program signs. Keys stay in order, and every character outside ASCII becomes `\uXXXX`.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Serializer;
use serde::ser::Serialize;
use serde_json::Value;

use super::{DEFAULT_SERVICE, ISSUER, LIFETIME, SigningInput};
use crate::stellar::address::Address;
use crate::time::UnixTime;

/// What an agent claims about itself to one relay, before anybody signed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims {
    /// `iss`: [`ISSUER`], or the relay refuses.
    pub issuer: String,
    /// `sub` and the header's `kid`: the account that signs.
    pub subject: Address,
    /// `aud`: the address of the relay that the token is for. Any other relay refuses it.
    pub audience: String,
    /// `iat`.
    pub issued_at: UnixTime,
    /// `services`: what the agent wants to bind; [`DEFAULT_SERVICE`] alone when empty.
    pub services: Vec<String>,
    /// `exp`: until when the token can be used, give or take [`SKEW`](super::SKEW). `None` is for ever.
    pub expires_at: Option<UnixTime>,
    /// More claims, merged last: one with a key from above, or from earlier in this list, replaces that value in its place.
    /// A float with an exponent is not written as Python writes it; no claim of the protocol is one.
    pub extra: Vec<(String, Value)>,
}

impl Claims {
    /// The claims of `subject` for the relay `audience`, with the default [`LIFETIME`].
    pub fn new(subject: Address, audience: impl Into<String>, issued_at: UnixTime) -> Self {
        Claims {
            issuer: ISSUER.to_owned(),
            subject,
            audience: audience.into(),
            issued_at,
            services: Vec::new(),
            expires_at: None,
            extra: Vec::new(),
        }
        .with_lifetime(Some(LIFETIME))
    }

    /// The same claims, asking for these services.
    #[must_use]
    pub fn with_services(mut self, services: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.services = services.into_iter().map(Into::into).collect();
        self
    }

    /// The same claims, good for this long after `issued_at`; a part of a second counts as a whole one.
    /// `None` never expires, which only makes sense together with a challenge.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.expires_at = lifetime.map(|lifetime| {
            let seconds = lifetime.as_secs().saturating_add(u64::from(lifetime.subsec_nanos() > 0));
            UnixTime::from_secs(self.issued_at.as_secs().saturating_add(seconds))
        });
        self
    }

    /// The same claims, answering this challenge of the relay: worthless on any other link.
    #[must_use]
    pub fn with_challenge(mut self, challenge: &str) -> Self {
        self.extra.push(("challenge".to_owned(), challenge.into()));
        self
    }

    /// What the key of `subject` must sign. The same claims always give the same bytes.
    pub fn signing_input(&self) -> SigningInput {
        let header = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{}"}}"#, self.subject);
        let mut text = Base64UrlUnpadded::encode_string(header.as_bytes());
        text.push('.');
        text.push_str(&Base64UrlUnpadded::encode_string(self.payload().as_bytes()));
        SigningInput { text, signer: self.subject }
    }

    fn payload(&self) -> String {
        let services = match self.services.as_slice() {
            [] => Value::from(vec![DEFAULT_SERVICE]),
            services => Value::from(services),
        };
        let mut members = Members(vec![
            ("iss", self.issuer.as_str().into()),
            ("sub", self.subject.to_string().into()),
            ("aud", self.audience.as_str().into()),
            ("iat", self.issued_at.as_secs().into()),
            ("services", services),
        ]);
        if let Some(at) = self.expires_at {
            members.put("exp", at.as_secs().into());
        }
        for (key, value) in &self.extra {
            members.put(key, value.clone());
        }
        ascii(&serde_json::to_string(&members).expect("an object with text keys always has a JSON form"))
    }
}

/// A JSON object that keeps its order, whatever map `serde_json` was built with.
struct Members<'a>(Vec<(&'a str, Value)>);

impl<'a> Members<'a> {
    fn put(&mut self, key: &'a str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, place)) => *place = value,
            None => self.0.push((key, value)),
        }
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// `json` with everything outside printable ASCII escaped. Compact JSON has such characters only inside its
/// strings, so this needs no parser (and `serde_json` without std has no formatter to hang it on).
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a string takes every write");
                }
            }
        }
    }
    out
}
