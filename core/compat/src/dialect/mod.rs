//! The wire languages of the older systems: pure functions from messages to one vocabulary and back, without state.

mod call;
mod cloud;
mod hvym;
mod json;
mod oversized;
mod profile;
mod token_auth;
mod tunely;

use alloc::string::String;

use hvym_tunnel_core::dialect::{DecodeError, Signal};
use hvym_tunnel_core::message::Message;

pub use call::{CallId, CallMessage, Request, Response, Sealing};
pub use oversized::Oversized;
pub(crate) use profile::Profile;
pub use token_auth::TokenAuth;

/// The wire language of one of the older systems.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// The HVYM programs': a JSON message for each request and each response.
    HvymJson,
    /// Tunely's, 1.1 and 2.0: a token, then requests and connections in messages.
    Tunely,
    /// CloudToLocalLLM's: a token in the upgrade, then a message for each request and each response.
    CloudLlm,
}

/// One message, decoded.
#[derive(Clone, PartialEq, Debug)]
pub enum CompatFrame {
    /// A control message.
    Signal(Signal),
    /// A message about one request or one connection.
    Call(CallMessage),
    /// A message of a login by token.
    TokenAuth(TokenAuth),
}

/// `bytes` as text, if they are text.
fn text_of(bytes: &[u8]) -> Option<String> {
    core::str::from_utf8(bytes).ok().map(String::from)
}

impl Dialect {
    /// The largest message with a request or a response, bytes: what the servers of all of them take.
    pub const MAX_CALL_BYTES: usize = 16 * 1024 * 1024;

    /// Its name, for logs.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::HvymJson => "hvym-json",
            Dialect::Tunely => "tunely",
            Dialect::CloudLlm => "cloud-llm",
        }
    }

    /// What `message` says.
    ///
    /// # Errors
    /// [`DecodeError`]: the link cannot go on.
    pub fn decode(self, message: Message) -> Result<CompatFrame, DecodeError> {
        match self {
            Dialect::HvymJson => hvym::decode(message),
            Dialect::Tunely => tunely::decode(message),
            Dialect::CloudLlm => cloud::decode(message),
        }
    }

    /// `frame` as a message of this dialect; `None` if it has no form for it, or no way to carry a body that is not text.
    pub fn encode(self, frame: CompatFrame) -> Option<Message> {
        match self {
            Dialect::HvymJson => hvym::encode(frame),
            Dialect::Tunely => tunely::encode(frame),
            Dialect::CloudLlm => cloud::encode(frame),
        }
    }

    /// The limits and quirks of its existing programs.
    pub(crate) fn profile(self) -> &'static Profile {
        match self {
            Dialect::HvymJson => &hvym::PROFILE,
            Dialect::Tunely => &tunely::PROFILE,
            Dialect::CloudLlm => &cloud::PROFILE,
        }
    }
}
