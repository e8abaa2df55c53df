//! The opening: the first bytes of a stream, naming the service it is for.
//!
//! A `u16` length, big endian, then one JSON object, then at once the stream's own bytes: no round trip is spent.
//! What a side may say in it depends on the side; whether the service exists is not known here.

use alloc::string::{String, ToString};

use bytes::Bytes;
use thiserror::Error;

use super::length_prefixed::framed;
use super::{Proto, Service};
use crate::json::{Field, FieldReader, JsonError, Object, Value, fields};
use crate::machine::Side;
use crate::stellar::Address;

/// The largest JSON object of an opening, bytes. A host name, an address and an id fit many times over.
pub const MAX_STREAM_HEADER_BYTES: usize = 4096;

/// For whom a stream is, and on whose behalf.
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
    /// Names the request in the logs of both sides.
    pub id: Option<String>,
    /// Whose service is meant. Only an agent says so, to its relay.
    pub to: Option<Address>,
    /// Which identity opened the stream; absent for a visitor. Only the relay says so, to the owner.
    pub from: Option<Address>,
}

/// Why an opening cannot be sent or was not understood.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum StreamHeaderError {
    /// Longer than [`MAX_STREAM_HEADER_BYTES`].
    #[error("an opening of {0} bytes; at most {MAX_STREAM_HEADER_BYTES} are allowed")]
    TooLong(usize),
    /// Not the JSON object it must be.
    #[error("not an opening: {0}")]
    Malformed(String),
    /// Understood, but not for this side to say.
    #[error("not an opening of this side: {0}")]
    OutOfPlace(&'static str),
}

impl StreamHeader {
    /// What an agent asks its relay for: the service of another identity.
    pub fn reaching(to: Address, service: impl Into<String>) -> Self {
        Self { service: service.into(), to: Some(to), ..Self::default() }
    }

    /// What a relay says to the owner of a service that the identity `from` asked for. Nothing else that the caller
    /// said goes with it.
    pub fn reached(from: Address, service: &Service, id: Option<String>) -> Self {
        Self { service: service.name.clone(), proto: service.proto, from: Some(from), id, ..Self::default() }
    }

    /// The opening as it starts a stream: length, then JSON.
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
        let json = object.finish();
        framed(json.as_bytes(), MAX_STREAM_HEADER_BYTES).ok_or(StreamHeaderError::TooLong(json.len()))
    }

    /// The opening that `json`, the part after the length, spells.
    pub fn decode(json: &[u8]) -> Result<Self, StreamHeaderError> {
        Self::from_json(json).map_err(|error| StreamHeaderError::Malformed(error.to_string()))
    }

    fn from_json(json: &[u8]) -> Result<Self, JsonError> {
        let [service, proto, visitor, at, host, id, to, from] =
            fields(json, ["service", "proto", "visitor", "at", "host", "id", "to", "from"])?;
        let mut reader = FieldReader::default();
        let header = Self {
            service: reader.text(service),
            proto: reader.take(proto.or(Proto::default(), known)),
            visitor: reader.optional_text(visitor),
            at: reader.optional_text(at),
            host: reader.optional_text(host),
            id: reader.optional_text(id),
            to: reader.take(to.optional(address)),
            from: reader.take(from.optional(address)),
        };
        reader.finish(header)
    }

    /// Whether `opener` may say this. An agent asks for the service of an identity and never says who it is: the relay
    /// knows. A relay has been asked already.
    ///
    /// # Errors
    /// [`StreamHeaderError::OutOfPlace`].
    pub fn check(&self, opener: Side) -> Result<(), StreamHeaderError> {
        let wrong = match opener {
            Side::Relay if self.to.is_some() => "a relay names no other owner",
            Side::Agent if self.from.is_some() => "who an agent is, the relay knows",
            Side::Agent if self.to.is_none() => "whose service is meant",
            Side::Agent if Service::check_name(&self.service).is_err() => "no service has this name",
            Side::Relay | Side::Agent => return Ok(()),
        };
        Err(StreamHeaderError::OutOfPlace(wrong))
    }
}

/// What is named by a text, or by an object (`{"http":null}`), which nobody is known to send and everybody has taken so far.
fn known(proto: Field<'_>) -> Result<Proto, JsonError> {
    let name = proto.text().or_else(|_| proto.single()).ok();
    name.and_then(|name| Proto::named(&name)).ok_or(proto.must_be("http, tcp or h2"))
}

fn address(member: Field<'_>) -> Result<Address, JsonError> {
    member.text()?.parse().map_err(|_| member.must_be("a Stellar address (G...)"))
}
