//! What a peer can do wrong, and the close code that says so.

use thiserror::Error;

use crate::close_code::CloseCode;

/// A violation of RFC 6455, or of a limit. The connection cannot go on: input that follows is ignored.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set, and no extension was negotiated (section 5.2).
    #[error("a reserved bit is set")]
    ReservedBits,
    /// Opcodes 3 to 7 and 11 to 15 (section 5.2).
    #[error("the opcode {0} is reserved")]
    ReservedOpcode(u8),
    /// A frame to a server must be masked (section 5.1).
    #[error("a frame from a client is not masked")]
    NotMasked,
    /// A frame to a client must not be masked (section 5.1).
    #[error("a frame from a server is masked")]
    Masked,
    /// A length was written in more bytes than it needs, or has its highest bit set (section 5.2).
    #[error("the payload length is not encoded minimally")]
    Length,
    /// A control frame is cut into fragments (section 5.5).
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame has more than 125 bytes (section 5.5).
    #[error("a control frame of {0} bytes")]
    LongControl(u64),
    /// A continuation without a message that it continues (section 5.4).
    #[error("a continuation frame without a beginning")]
    UnexpectedContinuation,
    /// A new message begins before the last one has ended (section 5.4).
    #[error("a message begins within another one")]
    ExpectedContinuation,
    /// A close payload of one byte (section 5.5.1).
    #[error("a close frame of one byte")]
    ShortClose,
    /// A close code that may not be sent (section 7.4).
    #[error("the close code {0} is not allowed")]
    CloseCode(u16),
    /// A text message or a close reason is not UTF-8 (section 8.1).
    #[error("text that is not UTF-8")]
    Utf8,
    /// A message is longer than the receiver takes.
    #[error("a message of more than {limit} bytes, which is the most that is allowed")]
    TooLarge {
        /// The limit of the moment, bytes.
        limit: usize,
    },
}

impl ProtocolError {
    /// The code of the close frame that tells the peer (section 7.4.1).
    pub fn close_code(&self) -> u16 {
        match self {
            ProtocolError::Utf8 => CloseCode::INVALID_PAYLOAD,
            ProtocolError::TooLarge { .. } => CloseCode::MESSAGE_TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}
