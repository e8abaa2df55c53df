//! The verdict: the first bytes that come back on a stream which one identity opened to the service of another.
//!
//! A reset carries no reason, so the owner's side says yes or no in words: a `u16` length, big endian, then one JSON
//! object. After a yes the service follows at once, after a no the end of the stream. The opener need not wait for it
//! before it sends.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};

use bytes::{Buf, Bytes};
use thiserror::Error;

use super::length_prefixed::{LengthPrefixed, framed};
use crate::json::{FieldReader, JsonError, Object, Value, fields};

/// The largest JSON object of a verdict, bytes. A code and a sentence fit many times over.
pub const MAX_OPEN_RESULT_BYTES: usize = 4096;
/// What is sent of a code; JSON spells one byte with six at most, so that both together always fit.
const MAX_CODE_BYTES: usize = 64;
/// What is sent of a message.
const MAX_MESSAGE_BYTES: usize = 512;

/// Whether the opener of a stream gets what it asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpenResult {
    /// Yes; the service's own bytes follow.
    Accepted,
    /// No; the end of the stream follows.
    Refused {
        /// Machine-readable: [`OpenResult::NOT_REACHABLE`], [`OpenResult::UNAVAILABLE`], [`OpenResult::TOO_MANY`], or one that is
        /// not known here.
        code: String,
        /// For a person.
        message: String,
    },
}

/// Why there is no verdict.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenResultError {
    /// Longer than [`MAX_OPEN_RESULT_BYTES`].
    #[error("a verdict of {0} bytes; at most {MAX_OPEN_RESULT_BYTES} are allowed")]
    TooLong(usize),
    /// Not the JSON object it must be.
    #[error("not a verdict: {0}")]
    Malformed(String),
    /// The stream ended before it was whole.
    #[error("the stream ended without a verdict")]
    Missing,
}

impl OpenResult {
    /// Code of a stranger's refusal: no such address, no such service, or not for this caller. One code and one text
    /// for all three, so that asking tells a stranger nothing.
    pub const NOT_REACHABLE: &'static str = "not_reachable";
    /// Code for a caller who is allowed, when the service itself does not answer.
    pub const UNAVAILABLE: &'static str = "unavailable";
    /// Code for a caller who has too many streams, or opens them too fast.
    pub const TOO_MANY: &'static str = "too_many";

    /// The refusal that tells a stranger nothing.
    pub fn not_reachable() -> Self {
        Self::refused(Self::NOT_REACHABLE, "there is nothing here for you")
    }

    /// A refusal; code and message are cut to what always fits.
    pub fn refused(code: &str, message: &str) -> Self {
        OpenResult::Refused {
            code: cut(code, MAX_CODE_BYTES).to_owned(),
            message: cut(message, MAX_MESSAGE_BYTES).to_owned(),
        }
    }

    /// The verdict as it starts its half of a stream: length, then JSON.
    pub fn encode(&self) -> Bytes {
        let mut object = Object::new();
        object.put("ok", Value::Boolean(*self == OpenResult::Accepted));
        if let OpenResult::Refused { code, message } = self {
            object.put("code", Value::Text(cut(code, MAX_CODE_BYTES)));
            object.put("message", Value::Text(cut(message, MAX_MESSAGE_BYTES)));
        }
        framed(object.finish().as_bytes(), MAX_OPEN_RESULT_BYTES).expect("code and message were cut to fit")
    }

    /// The verdict that `json`, the part after the length, spells. A later version may add members.
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

/// A verdict that is still arriving.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OpenResultReader {
    head: LengthPrefixed,
}

impl OpenResultReader {
    /// Nothing has arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes belong to the verdict for certain: who reads no more at once leaves what follows where it is.
    pub fn wanted(&self) -> usize {
        self.head.wanted(MAX_OPEN_RESULT_BYTES).unwrap_or(0)
    }

    /// Takes what belongs to the verdict from the front of `data`, and leaves what is the service's own. `None`: more
    /// is needed. Of no use any more once it gave a verdict or an error.
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

/// `text`, or as much of it as fits, cut at a character border.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
