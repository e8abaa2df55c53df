//! The open result: the first bytes in return on a stream that one identity opened to the service of another.
//!
//! A reset carries no reason, so the owner's side answers by a `u16` length, big endian, then one JSON object. Accepted,
//! the service's bytes follow; refused, the end of the stream. The opener may send without waiting for it.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};

use bytes::{Buf, Bytes};
use thiserror::Error;

use super::length_prefixed::{LengthPrefixed, framed};
use crate::json::{FieldReader, JsonError, Object, Value, fields};
use crate::text::truncated;

/// The largest JSON object of an open result, bytes. A code and a sentence fit many times over.
pub const MAX_OPEN_RESULT_BYTES: usize = 4096;
/// Bytes of a code that are sent. JSON escapes one byte as six at most, so that code and message always fit.
const MAX_CODE_BYTES: usize = 64;
/// Bytes of a message that are sent.
const MAX_MESSAGE_BYTES: usize = 512;

/// Whether the opener of a stream reaches the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpenResult {
    /// The service's bytes follow.
    Accepted,
    /// The end of the stream follows.
    Refused {
        /// Machine-readable: [`OpenResult::NOT_REACHABLE`], [`OpenResult::UNAVAILABLE`], [`OpenResult::TOO_MANY`], or one that is
        /// not known here.
        code: String,
        /// For a person.
        message: String,
    },
}

/// Why there is no open result.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OpenResultError {
    /// Longer than [`MAX_OPEN_RESULT_BYTES`].
    #[error("a verdict of {0} bytes; at most {MAX_OPEN_RESULT_BYTES} are allowed")]
    TooLong(usize),
    /// Not the JSON object it must be.
    #[error("not a verdict: {0}")]
    Malformed(String),
    /// The stream ended before it was complete.
    #[error("the stream ended without a verdict")]
    Missing,
}

impl OpenResult {
    /// No such address, no such service, or not for this caller. One code and one text for all three, so that a caller
    /// without access learns nothing.
    pub const NOT_REACHABLE: &'static str = "not_reachable";
    /// The caller has access, and the service does not answer.
    pub const UNAVAILABLE: &'static str = "unavailable";
    /// The caller has too many streams, or opens them too fast.
    pub const TOO_MANY: &'static str = "too_many";

    /// The refusal with [`Self::NOT_REACHABLE`].
    pub fn not_reachable() -> Self {
        Self::refused(Self::NOT_REACHABLE, "there is nothing here for you")
    }

    /// A refusal; code and message are truncated to what always fits.
    pub fn refused(code: &str, message: &str) -> Self {
        OpenResult::Refused {
            code: truncated(code, MAX_CODE_BYTES).to_owned(),
            message: truncated(message, MAX_MESSAGE_BYTES).to_owned(),
        }
    }

    /// The encoded result, ahead of the stream's data: length, then JSON.
    pub fn encode(&self) -> Bytes {
        let mut object = Object::new();
        object.put("ok", Value::Boolean(*self == OpenResult::Accepted));
        if let OpenResult::Refused { code, message } = self {
            object.put("code", Value::Text(truncated(code, MAX_CODE_BYTES)));
            object.put("message", Value::Text(truncated(message, MAX_MESSAGE_BYTES)));
        }
        framed(object.finish().as_bytes(), MAX_OPEN_RESULT_BYTES).expect("code and message were cut to fit")
    }

    /// Decodes `json`, the part after the length. Unknown members are ignored.
    ///
    /// # Errors
    /// [`OpenResultError::Malformed`].
    pub fn decode(json: &[u8]) -> Result<Self, OpenResultError> {
        Self::from_json(json).map_err(|error| OpenResultError::Malformed(error.to_string()))
    }

    fn from_json(json: &[u8]) -> Result<Self, JsonError> {
        let [ok, code, message] = fields(json, ["ok", "code", "message"])?;
        let mut reader = FieldReader::default();
        let (ok, code, message) =
            (reader.take(ok.boolean()), reader.optional_text(code), reader.optional_text(message));
        reader.finish(match ok {
            true => OpenResult::Accepted,
            false => {
                OpenResult::Refused { code: code.unwrap_or_default(), message: message.unwrap_or_default() }
            }
        })
    }
}

/// An open result that is still arriving.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OpenResultReader {
    head: LengthPrefixed,
}

impl OpenResultReader {
    /// Nothing has arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes belong to the result for certain. A reader that takes no more at once leaves stream data unread.
    pub fn wanted(&self) -> usize {
        self.head.wanted(MAX_OPEN_RESULT_BYTES).unwrap_or(0)
    }

    /// Takes the bytes of the result from the front of `data` and leaves stream data. `None`: more is needed. Not to be
    /// called again after a result or an error.
    ///
    /// # Errors
    /// [`OpenResultError::TooLong`] or [`OpenResultError::Malformed`].
    pub fn handle_data(&mut self, data: &mut Bytes) -> Result<Option<OpenResult>, OpenResultError> {
        loop {
            let wanted = self.head.wanted(MAX_OPEN_RESULT_BYTES).map_err(OpenResultError::TooLong)?;
            if wanted == 0 {
                return OpenResult::decode(self.head.json()).map(Some);
            }
            if data.is_empty() {
                return Ok(None);
            }
            let taken = wanted.min(data.len());
            self.head.push(&data[..taken]);
            data.advance(taken);
        }
    }
}
