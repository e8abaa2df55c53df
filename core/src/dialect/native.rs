//! The native dialect: text is one JSON object with a `type`, binary is a piece of the Yamux session.

use alloc::string::ToString;

use bytes::Bytes;

#[cfg(feature = "foreign")]
use super::Manners;
use super::{DecodeError, Dialect, Frame, Signal};
use crate::message::Message;

/// Its streams are a mux's, so that most of it is never asked for.
#[cfg(feature = "foreign")]
pub(super) const MANNERS: Manners = Manners::patient(60);

pub(super) fn decode(message: Message) -> Result<Frame, DecodeError> {
    match message {
        Message::Binary(data) => Ok(Frame::Mux(data)),
        Message::Text(text) if text.len() > Dialect::MAX_CONTROL_BYTES => {
            Err(DecodeError::TooLarge(text.len()))
        }
        Message::Text(text) => {
            Signal::from_json(&text).map(Frame::Signal).map_err(|e| DecodeError::NotControl(e.to_string()))
        }
    }
}

pub(super) fn encode(frame: Frame) -> Option<Message> {
    match frame {
        Frame::Mux(data) => Some(Message::Binary(data)),
        Frame::Signal(signal) => Some(Message::Text(Bytes::from(signal.to_json()))),
        #[cfg(feature = "foreign")]
        Frame::Part(_) | Frame::Knock(_) => None,
    }
}
