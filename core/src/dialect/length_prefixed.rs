//! The frame at the beginning of a stream: a `u16` length, big endian, then as many bytes of JSON.
//!
//! Takes exactly these bytes in any pieces; what follows is stream data. It does not know the JSON.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes};

/// Bytes of the length.
const LENGTH_BYTES: usize = 2;

/// `json` behind its length; `None` if it is longer than `max`.
pub(super) fn framed(json: &[u8], max: usize) -> Option<Bytes> {
    let length = u16::try_from(json.len()).ok().filter(|n| usize::from(*n) <= max)?;
    let mut wire = Vec::with_capacity(json.len() + LENGTH_BYTES);
    wire.put_u16(length);
    wire.extend_from_slice(json);
    Some(Bytes::from(wire))
}

/// A frame that is still arriving.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct LengthPrefixed {
    arrived: Vec<u8>,
}

impl LengthPrefixed {
    /// The most bytes to take next; 0 when the frame is complete.
    ///
    /// # Errors
    /// The announced length, if it is above `max`.
    pub(crate) fn wanted(&self, max: usize) -> Result<usize, usize> {
        let [high, low, body @ ..] = self.arrived.as_slice() else {
            return Ok(LENGTH_BYTES - self.arrived.len());
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > max { Err(length) } else { Ok(length.saturating_sub(body.len())) }
    }

    /// Takes what was [`Self::wanted`], or less.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.arrived.extend_from_slice(bytes);
    }

    /// The JSON, as far as it has arrived.
    pub(crate) fn json(&self) -> &[u8] {
        self.arrived.get(LENGTH_BYTES..).unwrap_or_default()
    }
}
