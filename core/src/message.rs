//! What crosses the seam between a machine and its socket: WebSocket messages and closes (RFC 6455).

use alloc::borrow::Cow;
use alloc::string::String;

use bytes::Bytes;

use crate::text::truncated;

/// One whole WebSocket message. The border of a `Binary` message carries no meaning; a `Text` one is one control message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// UTF-8 text. The bytes of a received message need not have been checked; a machine does that.
    Text(Bytes),
    /// A piece of the link's byte stream.
    Binary(Bytes),
}

impl Message {
    /// The payload, whichever kind it is.
    pub fn payload(&self) -> &Bytes {
        match self {
            Message::Text(bytes) | Message::Binary(bytes) => bytes,
        }
    }
}

/// Why a WebSocket was, or is to be, closed: code and reason of RFC 6455 section 7.1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Close {
    /// The close code. 1006 ([`Close::ABNORMAL`]) means that the transport ended without a close frame.
    pub code: u16,
    /// Text for a person; at most 123 bytes travel on the wire.
    pub reason: Cow<'static, str>,
}

impl Close {
    /// The code a runner reports when the transport ended, or could not be opened, without a close frame.
    pub const ABNORMAL: u16 = 1006;
    /// RFC 6455 section 5.5: a control frame holds 125 bytes, two of them are the code.
    pub const MAX_REASON_BYTES: usize = 123;

    /// A close with this code and reason; a reason that does not fit is cut at a character border.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > Self::MAX_REASON_BYTES {
            reason = Cow::Owned(String::from(truncated(&reason, Self::MAX_REASON_BYTES)));
        }
        Close { code, reason }
    }

    /// The end of a transport that said nothing itself; `what` is what the runner knows about it.
    pub fn abnormal(what: impl Into<Cow<'static, str>>) -> Self {
        Close { code: Self::ABNORMAL, reason: what.into() }
    }
}

/// What a machine asks its socket to do, in order. After a `Close` nothing more comes for that socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transmit {
    /// Send this message.
    Send(Message),
    /// Flush what was sent, then close the WebSocket with this code and reason.
    Close(Close),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_does_not_fit_is_cut_at_a_character_border() {
        let close = Close::new(4000, "é".repeat(100));
        assert_eq!(close.reason.len(), 122);
        assert_eq!(close.reason, "é".repeat(61));
    }
}
