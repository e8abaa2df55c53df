//! The native dialect: text is one JSON object with a `type`, binary is a piece of the Yamux session.

use alloc::string::ToString;

use bytes::Bytes;

use super::{DecodeError, Dialect, Frame, Signal, is_object};
use crate::message::Message;

pub(super) fn decode(message: Message) -> Result<Frame, DecodeError> {
    match message {
        Message::Binary(data) => Ok(Frame::Mux(data)),
        Message::Text(text) if text.len() > Dialect::MAX_CONTROL_BYTES => {
            Err(DecodeError::TooLarge(text.len()))
        }
        Message::Text(text) if !is_object(&text) => Err(DecodeError::NotControl("not an object".to_string())),
        Message::Text(text) => {
            Signal::from_json(&text).map(Frame::Signal).map_err(|e| DecodeError::NotControl(e.to_string()))
        }
    }
}

pub(super) fn encode(frame: Frame) -> Option<Message> {
    match frame {
        Frame::Mux(data) => Some(Message::Binary(data)),
        Frame::Signal(signal) => {
            let text =
                serde_json::to_vec(&signal).expect("a signal holds only strings, numbers and lists of them");
            Some(Message::Text(Bytes::from(text)))
        }
        #[cfg(feature = "foreign")]
        Frame::Part(_) | Frame::Knock(_) => None,
    }
}
