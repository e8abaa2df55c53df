//! Writes messages to a stream: the fields that frame a body, and the body itself.
//!
//! The counterpart of `reader.rs`. It does not know where the body comes from.

use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::chunked::{LAST_CHUNK, encode_chunk};
use crate::error::WriteError;
use crate::framing::Framing;
use crate::head::{RequestHead, ResponseHead};
use crate::headers::Headers;
use crate::version::Version;

/// The body that a message will have.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// No body.
    Absent,
    /// A body of this many bytes.
    Sized(u64),
    /// A body whose length is not known yet.
    Streamed,
}

impl RequestHead {
    /// Whether the connection stays open for another request (RFC 9112 section 9.3). HTTP/1.0 connections are always closed.
    pub fn keeps_alive(&self) -> bool {
        self.version == Version::Http11 && !self.headers.contains_token("connection", "close")
    }

    /// Removes hop-by-hop fields, then sets the fields that frame `payload`.
    pub fn set_framing(&mut self, payload: Payload) -> Framing {
        self.headers.strip_hop_by_hop();
        // RFC 9110 section 8.6: a body is expected with these methods, so its absence is declared, too.
        let expects = matches!(self.method.as_str(), "POST" | "PUT" | "PATCH");
        match payload {
            Payload::Absent if expects => declare(&mut self.headers, Framing::Length(0)),
            Payload::Absent => declare(&mut self.headers, Framing::Empty),
            Payload::Sized(length) => declare(&mut self.headers, Framing::Length(length)),
            Payload::Streamed => declare(&mut self.headers, Framing::Chunked),
        }
    }
}

impl ResponseHead {
    /// Whether the service leaves the connection open for another request (RFC 9112 section 9.3), if the body does not end with
    /// it. HTTP/1.0 connections are always closed.
    pub fn keeps_alive(&self) -> bool {
        self.version == Version::Http11 && !self.headers.contains_token("connection", "close")
    }

    /// Removes hop-by-hop fields, then sets the fields that frame `payload` in the response to `request`.
    pub fn set_framing(&mut self, request: &RequestHead, payload: Payload) -> Framing {
        self.headers.strip_hop_by_hop();
        if !request.keeps_alive() {
            self.headers.push("Connection", "close");
        }
        let length = match payload {
            Payload::Absent => Some(0),
            Payload::Sized(length) => Some(length),
            Payload::Streamed => None,
        };
        match (self.status, length) {
            (100..=199 | 204, _) => declare(&mut self.headers, Framing::Empty),
            // `Content-Length` of a 304 is that of the 200 response (RFC 9110 section 8.6), so it is left as it is.
            (304, _) => Framing::Empty,
            _ if request.method == "HEAD" => {
                if let Some(length) = length.filter(|length| *length > 0) {
                    self.headers.set("Content-Length", length.to_string());
                }
                Framing::Empty
            }
            (_, Some(length)) => declare(&mut self.headers, Framing::Length(length)),
            (_, None) if request.version == Version::Http10 => {
                self.headers.remove("content-length");
                Framing::UntilClose
            }
            (_, None) => declare(&mut self.headers, Framing::Chunked),
        }
    }
}

fn declare(headers: &mut Headers, framing: Framing) -> Framing {
    headers.remove("content-length");
    match framing {
        Framing::Length(length) => headers.push("Content-Length", length.to_string()),
        Framing::Chunked => headers.push("Transfer-Encoding", "chunked"),
        Framing::Empty | Framing::UntilClose | Framing::Tunnel => {}
    }
    framing
}

/// Encodes one body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BodyWriter {
    framing: Framing,
}

impl BodyWriter {
    /// A body of which nothing was encoded.
    pub const fn new(framing: Framing) -> Self {
        Self { framing }
    }

    /// The encoded `payload`; empty if the message has no body, as the response to `HEAD`.
    ///
    /// # Errors
    /// [`WriteError::TooLong`] if the announced length is exceeded.
    pub fn encode(&mut self, payload: Bytes) -> Result<Bytes, WriteError> {
        match &mut self.framing {
            Framing::Empty => Ok(Bytes::new()),
            Framing::UntilClose | Framing::Tunnel => Ok(payload),
            Framing::Length(remaining) => {
                *remaining = remaining.checked_sub(payload.len() as u64).ok_or(WriteError::TooLong)?;
                Ok(payload)
            }
            Framing::Chunked => {
                let mut out = Vec::new();
                encode_chunk(&payload, &mut out);
                Ok(Bytes::from(out))
            }
        }
    }

    /// The bytes that end the body.
    ///
    /// # Errors
    /// [`WriteError::TooShort`] if less than the announced length was encoded.
    pub fn finish(self) -> Result<Bytes, WriteError> {
        match self.framing {
            Framing::Length(remaining) if remaining > 0 => Err(WriteError::TooShort),
            Framing::Chunked => Ok(Bytes::from_static(LAST_CHUNK)),
            _ => Ok(Bytes::new()),
        }
    }
}
