//! The position in the incoming byte stream: a header in part, or a payload in part.

use bytes::{Buf, Bytes};

use crate::frame::HEADER_BYTES;

/// A payload that is arriving.
#[derive(Debug)]
struct Payload {
    /// The key of its stream; `None` is skipped.
    target: Option<usize>,
    remaining: u32,
    /// The frame carries FIN, which takes effect after the payload.
    fin: bool,
}

/// A part of a payload that has arrived, by [`Parser::payload`].
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The key of its stream; `None` is skipped.
    pub(crate) target: Option<usize>,
    pub(crate) length: usize,
    /// It completes a payload that ends its stream.
    pub(crate) fin: bool,
}

/// Where in the byte stream the session is.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    header: [u8; HEADER_BYTES],
    /// Bytes of `header` that have arrived.
    filled: usize,
    payload: Option<Payload>,
}

impl Parser {
    pub(crate) fn is_in_payload(&self) -> bool {
        self.payload.is_some()
    }

    /// Expects a payload of `length` bytes, at least one, for a stream.
    pub(crate) fn expect(&mut self, target: usize, length: u32, fin: bool) {
        self.payload = Some(Payload { target: Some(target), remaining: length, fin });
    }

    /// Expects a payload of `length` bytes that nobody reads.
    pub(crate) fn skip(&mut self, length: u32) {
        if length > 0 {
            self.payload = Some(Payload { target: None, remaining: length, fin: false });
        }
    }

    /// Bytes of a payload for this stream that were announced and have not arrived.
    pub(crate) fn unarrived(&self, key: usize) -> u32 {
        match &self.payload {
            Some(payload) if payload.target == Some(key) => payload.remaining,
            _ => 0,
        }
    }

    /// Skips the rest of a payload whose stream is gone.
    pub(crate) fn drop_target(&mut self, key: usize) {
        if let Some(payload) = &mut self.payload
            && payload.target == Some(key)
        {
            payload.target = None;
        }
    }

    /// How many of `available` bytes belong to the payload that is arriving; `None` if a header comes next.
    pub(crate) fn payload(&mut self, available: usize) -> Option<Arrived> {
        let payload = self.payload.as_mut()?;
        let length = available.min(payload.remaining as usize);
        payload.remaining -= length as u32;
        let done = payload.remaining == 0;
        let arrived = Arrived { target: payload.target, length, fin: done && payload.fin };
        if done {
            self.payload = None;
        }
        Some(arrived)
    }

    /// Takes a header from `data`, or the part of it that is there.
    pub(crate) fn header(&mut self, data: &mut Bytes) -> Option<[u8; HEADER_BYTES]> {
        if self.filled == 0
            && let Some((raw, _)) = data.split_first_chunk::<HEADER_BYTES>()
        {
            let raw = *raw;
            data.advance(HEADER_BYTES);
            return Some(raw);
        }
        let n = data.len().min(HEADER_BYTES - self.filled);
        data.copy_to_slice(&mut self.header[self.filled..self.filled + n]);
        self.filled += n;
        if self.filled < HEADER_BYTES {
            return None;
        }
        self.filled = 0;
        Some(self.header)
    }
}
