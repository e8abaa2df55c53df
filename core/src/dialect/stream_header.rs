//! The stream header: the first bytes of a stream, which name its service.
//!
//! A `u16` length, big endian, then one JSON object, then the stream's data without a round trip. Which members are legal
//! depends on the side that opens the stream.

use alloc::string::{String, ToString};

use bytes::Bytes;
use thiserror::Error;

use super::length_prefixed::framed;
use super::{Proto, Service};
use crate::json::{Field, FieldReader, JsonError, Object, Value, fields};
use crate::machine::Side;
use crate::stellar::Address;
use crate::stellar::delegation::SignedDelegation;
use crate::time::UnixTime;

/// The largest JSON object of a stream header, bytes. A host name, an address and an id fit many times over.
pub const MAX_STREAM_HEADER_BYTES: usize = 4096;

/// The destination and the origin of a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StreamHeader {
    /// The service's name.
    pub service: String,
    /// What the stream carries.
    pub proto: Proto,
    /// The visitor's address and port, as the relay saw them.
    pub visitor: Option<String>,
    /// The relay's address and port at which the visitor arrived, where the visitor cannot name a host.
    pub at: Option<String>,
    /// The host name the visitor asked for.
    pub host: Option<String>,
    /// The id of the request in the logs of both sides.
    pub id: Option<String>,
    /// The owner of the service. Sent by agents only.
    pub to: Option<Address>,
    /// The identity that opened the stream; absent for a visitor. Sent by relays only.
    pub from: Option<Address>,
    /// The key that acts for that identity by a delegation; absent where it is the identity's own. Sent by relays only.
    pub key: Option<Address>,
    /// The delegation, where identity and owner are the same: the owner itself decides what it has signed. Sent by relays only.
    pub delegation: Option<SignedDelegation>,
    /// Whether only the verdict is wanted: whether the caller may have the service. Nobody connects to it.
    pub probe: bool,
}

/// Why a stream header cannot be encoded, or is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum StreamHeaderError {
    /// Longer than [`MAX_STREAM_HEADER_BYTES`].
    #[error("an opening of {0} bytes; at most {MAX_STREAM_HEADER_BYTES} are allowed")]
    TooLong(usize),
    /// Not the JSON object it must be.
    #[error("not an opening: {0}")]
    Malformed(String),
    /// With a member that this side must not send, or without one that it must.
    #[error("not an opening of this side: {0}")]
    OutOfPlace(&'static str),
}

impl StreamHeader {
    /// The header of an agent that opens a stream to the service of another identity.
    pub fn reaching(to: Address, service: impl Into<String>) -> Self {
        Self { service: service.into(), to: Some(to), ..Self::default() }
    }

    /// The same, of an agent that only asks whether it could.
    pub fn probing(to: Address, service: impl Into<String>) -> Self {
        Self { probe: true, ..Self::reaching(to, service) }
    }

    /// The header of a relay for the owner of a service that the identity `from` opens. Nothing else of the caller's
    /// header is passed on.
    pub fn reached(from: Address, service: &Service, id: Option<String>) -> Self {
        Self { service: service.name.clone(), proto: service.proto, from: Some(from), id, ..Self::default() }
    }

    /// The same header, of a caller that acts by a delegation. `to` is the owner of the service: it is shown what it has signed
    /// itself, and nobody else is.
    #[must_use]
    pub fn delegated(mut self, delegation: &SignedDelegation, to: Address) -> Self {
        self.key = Some(delegation.delegation.key);
        self.delegation = Some(delegation).filter(|signed| signed.delegation.owner == to).cloned();
        self
    }

    /// Whether the caller is `owner` with its own key, by the relay's word.
    pub fn is_from(&self, owner: Address) -> bool {
        self.from == Some(owner) && self.key.is_none()
    }

    /// Whether `owner` itself has signed that the caller may have the service at `now`. Who does not trust the relay can trust
    /// this: without such a signature no relay gets in, and with one only the caller that the relay vouches for.
    pub fn is_delegated_by(&self, owner: Address, now: UnixTime) -> bool {
        let (Some(from), Some(key), Some(signed)) = (self.from, self.key, &self.delegation) else {
            return false;
        };
        from == owner && signed.check_call_of_owner(owner, key, &self.service, now).is_ok()
    }

    /// The encoded header: length, then JSON.
    pub fn encode(&self) -> Result<Bytes, StreamHeaderError> {
        let mut object = Object::new();
        object.put("service", Value::Text(&self.service));
        object.put("proto", Value::Text(self.proto.name()));
        object.put_some("visitor", &self.visitor);
        object.put_some("at", &self.at);
        object.put_some("host", &self.host);
        object.put_some("id", &self.id);
        object.put_some("to", &self.to.map(|owner| owner.to_string()));
        object.put_some("from", &self.from.map(|caller| caller.to_string()));
        object.put_some("key", &self.key.map(|key| key.to_string()));
        if let Some(signed) = &self.delegation {
            object.put("delegation", Value::Text(&signed.delegation.to_string()));
            object.put("signature", Value::Text(&signed.signature.to_string()));
            object.put("form", Value::Text(signed.form.name()));
        }
        if self.probe {
            object.put("probe", Value::Boolean(true));
        }
        let json = object.finish();
        framed(json.as_bytes(), MAX_STREAM_HEADER_BYTES).ok_or(StreamHeaderError::TooLong(json.len()))
    }

    /// Decodes `json`, the part after the length.
    pub fn decode(json: &[u8]) -> Result<Self, StreamHeaderError> {
        Self::from_json(json).map_err(|error| StreamHeaderError::Malformed(error.to_string()))
    }

    fn from_json(json: &[u8]) -> Result<Self, JsonError> {
        let [service, proto, visitor, at, host, id, to, from, key, delegation, signature, form, probe] =
            fields(
                json,
                [
                    "service",
                    "proto",
                    "visitor",
                    "at",
                    "host",
                    "id",
                    "to",
                    "from",
                    "key",
                    "delegation",
                    "signature",
                    "form",
                    "probe",
                ],
            )?;
        let mut reader = FieldReader::default();
        let text = reader.optional_text(delegation);
        let (signature, form) = (reader.optional_text(signature), reader.optional_text(form));
        let (signature, form) = (signature.unwrap_or_default(), form.unwrap_or_default());
        let signed = text.map(|text| SignedDelegation::from_parts(&text, &signature, &form)).transpose();
        let header = Self {
            service: reader.text(service),
            proto: reader.take(proto.or(Proto::default(), known)),
            visitor: reader.optional_text(visitor),
            at: reader.optional_text(at),
            host: reader.optional_text(host),
            id: reader.optional_text(id),
            to: reader.take(to.optional(address)),
            from: reader.take(from.optional(address)),
            key: reader.take(key.optional(address)),
            delegation: reader
                .take(signed.map_err(|_| delegation.must_be("a delegation with a signature and its form"))),
            probe: reader.take(probe.or(false, Field::boolean)),
        };
        reader.finish(header)
    }

    /// Whether `opener` may send this header: an agent names the owner and never itself, since the relay knows it; a relay
    /// names no owner.
    ///
    /// # Errors
    /// [`StreamHeaderError::OutOfPlace`].
    pub fn check(&self, opener: Side) -> Result<(), StreamHeaderError> {
        let wrong = match opener {
            Side::Relay if self.to.is_some() => "a relay names no other owner",
            Side::Agent if self.from.is_some() || self.key.is_some() || self.delegation.is_some() => {
                "who an agent is, the relay knows"
            }
            Side::Relay if self.from.is_none() && (self.key.is_some() || self.delegation.is_some()) => {
                "whom the key acts for"
            }
            Side::Agent if self.to.is_none() => "whose service is meant",
            Side::Agent if Service::check_name(&self.service).is_err() => "no service has this name",
            Side::Relay | Side::Agent => return Ok(()),
        };
        Err(StreamHeaderError::OutOfPlace(wrong))
    }
}

/// A protocol by name. An object (`{"http":null}`) is accepted as well, as earlier versions did.
fn known(proto: Field<'_>) -> Result<Proto, JsonError> {
    let name = proto.text().or_else(|_| proto.single()).ok();
    name.and_then(|name| Proto::named(&name)).ok_or(proto.must_be("http, tcp or h2"))
}

fn address(member: Field<'_>) -> Result<Address, JsonError> {
    member.text()?.parse().map_err(|_| member.must_be("a Stellar address (G...)"))
}
