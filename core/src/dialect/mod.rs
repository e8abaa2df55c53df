//! The native wire language: control messages ([`Signal`]) as JSON text, pieces of the Yamux session in binary.
//!
//! Pure functions from [`Message`](crate::message::Message) to [`Frame`] and back. What a signal means is decided by the
//! machines above.

mod length_prefixed;
mod native;
mod open_result;
mod process;
mod signal;
mod signal_json;
mod stream_header;

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use bytes::Bytes;
use thiserror::Error;

use crate::json::JsonError;
use crate::reason::DownReason;

pub(crate) use length_prefixed::LengthPrefixed;
pub use open_result::{MAX_OPEN_RESULT_BYTES, OpenResult, OpenResultError, OpenResultReader};
pub use process::{MAX_PROCESS_LABEL, OnConflict, Process, SessionRole};
pub use signal::{
    DrainScope, MUX_YAMUX, Proto, Service, ServiceNameError, SessionTerms, ShownProof, Signal, VERSION,
};
pub use stream_header::{MAX_STREAM_HEADER_BYTES, StreamHeader, StreamHeaderError};

/// The largest control message, bytes. The largest honest one is an `auth_response`: a JWT of at most 8 KiB.
pub const MAX_CONTROL_BYTES: usize = 64 * 1024;

/// Reads the JSON of a control message.
pub type SignalReader = fn(&[u8]) -> Result<Signal, JsonError>;

/// One message, decoded.
#[derive(Clone, PartialEq, Debug)]
pub enum Frame {
    /// A control message.
    Signal(Box<Signal>),
    /// A piece of the Yamux session.
    Mux(Bytes),
}

/// Why a message could not be understood.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A control message above [`MAX_CONTROL_BYTES`].
    #[error("a control message of {0} bytes; at most {MAX_CONTROL_BYTES} are allowed")]
    TooLarge(usize),
    /// Not one JSON object with a `type`, or one whose fields have the wrong types.
    #[error("not a control message: {0}")]
    NotControl(String),
}

impl From<DecodeError> for DownReason {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::TooLarge(_) => DownReason::TooLarge(error.to_string()),
            DecodeError::NotControl(_) => DownReason::Malformed(error.to_string()),
        }
    }
}
