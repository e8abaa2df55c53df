//! The payload of close frames (RFC 6455 section 5.5.1).

use alloc::string::String;

use crate::close_code::CloseCode;
use crate::control::ControlPayload;
use crate::error::ProtocolError;

/// The payload of a close frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CloseFrame {
    /// The close code; [`CloseCode::NO_STATUS`] if the frame has none.
    pub code: u16,
    /// Text of the peer's choice, at most 123 bytes: to be escaped before it is shown.
    pub reason: String,
}

impl CloseFrame {
    /// The longest reason, bytes (section 5.5).
    pub const MAX_REASON_BYTES: usize = 123;

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, ProtocolError> {
        let (code, reason) = match payload.split_first_chunk() {
            Some((code, reason)) => (u16::from_be_bytes(*code), reason),
            None if payload.is_empty() => {
                return Ok(CloseFrame { code: CloseCode::NO_STATUS, reason: String::new() });
            }
            None => return Err(ProtocolError::ShortClose),
        };
        if !CloseCode::is_sendable(code) {
            return Err(ProtocolError::CloseCode(code));
        }
        let reason = core::str::from_utf8(reason).map_err(|_| ProtocolError::Utf8)?;
        Ok(CloseFrame { code, reason: String::from(reason) })
    }

    /// The payload of a close frame. A code that may not be sent is left out, and the reason with it; of a reason that
    /// is too long as many characters as fit are kept.
    pub(crate) fn encode(code: u16, reason: &str) -> ControlPayload {
        let mut payload = ControlPayload::default();
        if CloseCode::is_sendable(code) {
            payload.extend(&code.to_be_bytes());
            payload.extend(&reason.as_bytes()[..reason.floor_char_boundary(Self::MAX_REASON_BYTES)]);
        }
        payload
    }
}
