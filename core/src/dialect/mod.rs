//! Dialects: the wire languages of a link, as values.
//!
//! A dialect is a `Copy` tag with two pure functions. It translates between [`Message`]s and [`Frame`]s,
//! holds no state and decides nothing: what a signal means is the business of the machines above.

#[cfg(feature = "foreign")]
mod cloud;
#[cfg(feature = "foreign")]
mod hvym;
#[cfg(feature = "foreign")]
mod json;
#[cfg(feature = "foreign")]
mod knock;
#[cfg(feature = "foreign")]
mod manners;
mod native;
mod opening;
#[cfg(feature = "foreign")]
mod part;
mod prefixed;
mod signal;
mod spelling;
#[cfg(feature = "foreign")]
mod tunely;
mod verdict;

use alloc::string::String;

use bytes::Bytes;
use thiserror::Error;

use crate::message::Message;

#[cfg(feature = "foreign")]
pub use knock::Knock;
#[cfg(feature = "foreign")]
pub(crate) use manners::Manners;
pub use opening::{MAX_OPENING_BYTES, Opening, OpeningError};
#[cfg(feature = "foreign")]
pub use part::{CallId, Part, Request, Response, Sealing};
pub(crate) use prefixed::Prefixed;
pub use signal::{MUX_YAMUX, Proto, Service, ServiceNameError, Signal, VERSION};
pub use verdict::{MAX_VERDICT_BYTES, Verdict, VerdictError, VerdictReader};

/// The wire language of a link.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Our own: JSON control messages beside one Yamux session.
    Native,
    /// The existing HVYM programs': a JSON message for each request and each response.
    #[cfg(feature = "foreign")]
    HvymJson,
    /// Tunely's, 1.1 and 2.0: a token, then requests and connections in messages.
    #[cfg(feature = "foreign")]
    Tunely,
    /// CloudToLocalLLM's: a token in the upgrade, then a message for each request and each response.
    #[cfg(feature = "foreign")]
    CloudLlm,
}

/// One message, understood.
#[derive(Clone, PartialEq, Debug)]
pub enum Frame {
    /// A control message.
    Signal(Signal),
    /// A piece of the Yamux session.
    Mux(Bytes),
    /// A message about one request or one connection.
    #[cfg(feature = "foreign")]
    Part(Part),
    /// A message of a login by token.
    #[cfg(feature = "foreign")]
    Knock(Knock),
}

/// Why a message could not be understood.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DecodeError {
    /// A control message above [`Dialect::MAX_CONTROL_BYTES`].
    #[error("a control message of {0} bytes; at most {max} are allowed", max = Dialect::MAX_CONTROL_BYTES)]
    TooLarge(usize),
    /// Not one JSON object with a `type`, or one whose fields have the wrong types.
    #[error("not a control message: {0}")]
    NotControl(String),
}

/// `bytes` as text, if they are text.
#[cfg(feature = "foreign")]
fn text_of(bytes: &[u8]) -> Option<String> {
    core::str::from_utf8(bytes).ok().map(String::from)
}

impl Dialect {
    /// The largest control message. The largest honest one is an `auth_response`: a JWT of at most 8 KiB.
    pub const MAX_CONTROL_BYTES: usize = 64 * 1024;
    /// The largest message of a dialect that carries whole requests and responses: what the servers of all of them take.
    pub const MAX_PART_BYTES: usize = 16 * 1024 * 1024;

    /// What `message` says.
    pub fn decode(self, message: Message) -> Result<Frame, DecodeError> {
        match self {
            Dialect::Native => native::decode(message),
            #[cfg(feature = "foreign")]
            Dialect::HvymJson => hvym::decode(message),
            #[cfg(feature = "foreign")]
            Dialect::Tunely => tunely::decode(message),
            #[cfg(feature = "foreign")]
            Dialect::CloudLlm => cloud::decode(message),
        }
    }

    /// `frame` as a message of this dialect; `None` if it has no word for it, or no way to carry a body that is not text.
    pub fn encode(self, frame: Frame) -> Option<Message> {
        match self {
            Dialect::Native => native::encode(frame),
            #[cfg(feature = "foreign")]
            Dialect::HvymJson => hvym::encode(frame),
            #[cfg(feature = "foreign")]
            Dialect::Tunely => tunely::encode(frame),
            #[cfg(feature = "foreign")]
            Dialect::CloudLlm => cloud::encode(frame),
        }
    }
}

#[cfg(feature = "foreign")]
impl Dialect {
    /// Whether it is our own, which has everything.
    pub fn is_ours(self) -> bool {
        matches!(self, Dialect::Native)
    }

    /// What its existing programs are like.
    pub(crate) fn manners(self) -> &'static Manners {
        match self {
            Dialect::Native => &native::MANNERS,
            Dialect::HvymJson => &hvym::MANNERS,
            Dialect::Tunely => &tunely::MANNERS,
            Dialect::CloudLlm => &cloud::MANNERS,
        }
    }
}
