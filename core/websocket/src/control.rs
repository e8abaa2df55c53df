//! The payload of a control frame.

use core::fmt;

/// The most payload of a control frame (RFC 6455 section 5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

/// Up to 125 bytes, without an allocation.
#[derive(Copy, Clone)]
pub(crate) struct ControlPayload {
    bytes: [u8; MAX_CONTROL_BYTES],
    length: u8,
}

impl ControlPayload {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends `data`, of which the caller knows that it fits.
    pub(crate) fn extend(&mut self, data: &[u8]) {
        let begin = usize::from(self.length);
        let end = begin + data.len();
        self.bytes[begin..end].copy_from_slice(data);
        self.length = end as u8;
    }
}

impl Default for ControlPayload {
    fn default() -> Self {
        Self { bytes: [0; MAX_CONTROL_BYTES], length: 0 }
    }
}

impl fmt::Debug for ControlPayload {
    /// Without the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}
