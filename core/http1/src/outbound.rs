//! Messages written to a stream of bytes: how a body of ours is framed, and the fields that say so.
//!
//! The counterpart of `inbound.rs`. It does not know where the body comes from.

use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;
use thiserror::Error;

use super::body::Framing;
use super::chunked::{LAST_CHUNK, encode_chunk};
use super::head::{RequestHead, ResponseHead, Version};
use super::headers::Headers;

/// Fields that end at the next hop, whether or not `Connection` names them (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// Fields that `Connection` cannot name away: without them it would be another message.
const ESSENTIAL: [&str; 2] = ["content-length", "host"];

/// The body a message is to have.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// None.
    Absent,
    /// This many bytes.
    Sized(u64),
    /// As many as come.
    Streamed,
}

/// Why a body cannot be written as it was announced.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum WriteError {
    /// More came than was announced.
    #[error("the body is longer than its Content-Length")]
    TooLong,
    /// It ended before what was announced.
    #[error("the body is shorter than its Content-Length")]
    TooShort,
}

impl Headers {
    /// Removes the fields that are between two neighbours only (RFC 9110 section 7.6.1).
    pub fn strip_hop_by_hop(&mut self) {
        let named: Vec<Vec<u8>> = self
            .all("connection")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(|name| name.trim_ascii().to_ascii_lowercase())
            .filter(|name| !ESSENTIAL.iter().any(|kept| kept.as_bytes() == name.as_slice()))
            .collect();
        for name in named.iter().filter_map(|name| core::str::from_utf8(name).ok()).chain(HOP_BY_HOP) {
            self.remove(name);
        }
    }
}

impl RequestHead {
    /// Whether another request may follow on the same connection (RFC 9112 section 9.3). HTTP/1.0 is not asked twice.
    pub fn keeps_alive(&self) -> bool {
        self.version == Version::Http11 && !self.headers.contains_token("connection", "close")
    }

    /// Says in the head how `payload` will be framed, and removes what ends at this hop.
    pub fn frame(&mut self, payload: Payload) -> Framing {
        self.headers.strip_hop_by_hop();
        // RFC 9110 section 8.6: these methods are expected to have a body, so its absence is said too.
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
    /// Says in the head how `payload` will be framed in the answer to `request`, and removes what ends at this hop.
    pub fn frame(&mut self, request: &RequestHead, payload: Payload) -> Framing {
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
            // What a 200 would have had (RFC 9110 sections 8.6 and 9.3.2), if the service says so.
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

/// Turns payload into the bytes of one body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BodyWriter {
    framing: Framing,
}

impl BodyWriter {
    /// A body of which nothing was written.
    pub const fn new(framing: Framing) -> Self {
        Self { framing }
    }

    /// The bytes that carry `payload`; none if there is to be no body, as for `HEAD`.
    ///
    /// # Errors
    /// [`WriteError::TooLong`].
    pub fn encode(&mut self, payload: Bytes) -> Result<Bytes, WriteError> {
        match &mut self.framing {
            Framing::Empty => Ok(Bytes::new()),
            Framing::UntilClose | Framing::Tunnel => Ok(payload),
            Framing::Length(left) => {
                *left = left.checked_sub(payload.len() as u64).ok_or(WriteError::TooLong)?;
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
    /// [`WriteError::TooShort`].
    pub fn finish(self) -> Result<Bytes, WriteError> {
        match self.framing {
            Framing::Length(left) if left > 0 => Err(WriteError::TooShort),
            Framing::Chunked => Ok(Bytes::from_static(LAST_CHUNK)),
            _ => Ok(Bytes::new()),
        }
    }
}
