//! The opening: the first bytes of a stream, naming the service it is for.
//!
//! A `u16` length, big endian, then one JSON object, then at once the stream's own bytes: no round trip is spent.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Proto, is_object};

/// The largest JSON object of an opening, bytes. A host name, an address and an id fit many times over.
pub const MAX_OPENING_BYTES: usize = 4096;

/// For whom a stream is, and on whose behalf.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Opening {
    /// The service's name.
    pub service: String,
    /// What the stream carries.
    #[serde(default)]
    pub proto: Proto,
    /// The visitor's address and port, as the relay saw them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visitor: Option<String>,
    /// The relay's address and port at which the visitor arrived, where the visitor cannot name a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The host name the visitor asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Names the request in the logs of both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Why an opening cannot be sent or was not understood.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpeningError {
    /// Longer than [`MAX_OPENING_BYTES`].
    #[error("an opening of {0} bytes; at most {MAX_OPENING_BYTES} are allowed")]
    TooLong(usize),
    /// Not the JSON object it must be.
    #[error("not an opening: {0}")]
    Malformed(String),
}

impl Opening {
    /// The opening as it starts a stream: length, then JSON.
    pub fn encode(&self) -> Result<Bytes, OpeningError> {
        let json = serde_json::to_vec(self).map_err(|e| OpeningError::Malformed(e.to_string()))?;
        let length = u16::try_from(json.len()).ok().filter(|n| usize::from(*n) <= MAX_OPENING_BYTES);
        let length = length.ok_or(OpeningError::TooLong(json.len()))?;
        let mut wire = Vec::with_capacity(json.len() + 2);
        wire.put_u16(length);
        wire.extend_from_slice(&json);
        Ok(Bytes::from(wire))
    }

    /// The opening that `json`, the part after the length, spells.
    pub fn decode(json: &[u8]) -> Result<Self, OpeningError> {
        if !is_object(json) {
            return Err(OpeningError::Malformed("not an object".to_string()));
        }
        serde_json::from_slice(json).map_err(|e| OpeningError::Malformed(e.to_string()))
    }
}
