//! The native wire language: control messages ([`Signal`]) as JSON text, pieces of the Yamux session in binary.
//!
//! Pure functions from [`Message`] to [`Frame`] and back. What a signal means is the business of the machines above.

mod native;
mod opening;
mod prefixed;
mod signal;
mod spelling;
mod verdict;

use alloc::string::{String, ToString};

use bytes::Bytes;
use thiserror::Error;

use crate::reason::DownReason;

pub use opening::{MAX_OPENING_BYTES, Opening, OpeningError};
pub(crate) use prefixed::Prefixed;
pub use signal::{MUX_YAMUX, Proto, Service, ServiceNameError, Signal, VERSION};
pub use verdict::{MAX_VERDICT_BYTES, Verdict, VerdictError, VerdictReader};

/// The largest control message, bytes. The largest honest one is an `auth_response`: a JWT of at most 8 KiB.
pub const MAX_CONTROL_BYTES: usize = 64 * 1024;

/// One message, decoded.
#[derive(Clone, PartialEq, Debug)]
pub enum Frame {
    /// A control message.
    Signal(Signal),
    /// A piece of the Yamux session.
    Mux(Bytes),
}

/// Why a message could not be understood.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
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
