//! Frames as messages: text is one JSON object with a `type`, binary is a piece of the Yamux session.

use alloc::boxed::Box;
use alloc::string::ToString;

use bytes::Bytes;

use super::{DecodeError, Frame, MAX_CONTROL_BYTES, Signal, SignalReader};
use crate::message::Message;

impl Frame {
    /// What `message` says, whichever side sent it.
    ///
    /// # Errors
    /// [`DecodeError`]; binary messages are always a piece of the session.
    pub fn decode(message: Message) -> Result<Self, DecodeError> {
        Self::decode_by(message, Signal::from_json)
    }

    /// The same, where a control message is read by `read`: [`Signal::from_relay`] or [`Signal::from_agent`].
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub fn decode_by(message: Message, read: SignalReader) -> Result<Self, DecodeError> {
        match message {
            Message::Binary(data) => Ok(Frame::Mux(data)),
            Message::Text(text) if text.len() > MAX_CONTROL_BYTES => Err(DecodeError::TooLarge(text.len())),
            Message::Text(text) => read(&text)
                .map(|signal| Frame::Signal(Box::new(signal)))
                .map_err(|e| DecodeError::NotControl(e.to_string())),
        }
    }

    /// The message that says this.
    pub fn encode(self) -> Message {
        match self {
            Frame::Mux(data) => Message::Binary(data),
            Frame::Signal(signal) => Message::Text(Bytes::from(signal.to_json())),
        }
    }
}
