//! Why a message is not forwarded.

use thiserror::Error;

use crate::error::{FramingError, HeadError};

/// Why a request is refused before it is routed. The texts are for the person who sent it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The head is malformed or too large.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The length of the body cannot be determined.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// `Content-Length` is repeated, even with the same value: harmless here, but an indication of request smuggling.
    #[error("the length of the body is said more than once")]
    LengthRepeated,
    /// The target is no path, no `http` URL, and no `*` of `OPTIONS`.
    #[error("the target is no path and no URL")]
    Target,
    /// A fragment, which is never sent (RFC 9112 section 3.2); `%23` is meant.
    #[error("the target contains a '#', which must be written as %23")]
    Fragment,
    /// There is no host.
    #[error("the request names no host")]
    HostMissing,
    /// There is more than one `Host` field.
    #[error("the request names more than one host")]
    HostRepeated,
    /// The host has characters that no host has.
    #[error("the request names a host that is none")]
    Host,
    /// `CONNECT`.
    #[error("this is no proxy for CONNECT")]
    Connect,
    /// `Connection` names more fields than [`MAX_CONNECTION_OPTIONS`](crate::MAX_CONNECTION_OPTIONS).
    #[error("the Connection field names too many fields")]
    ConnectionOptions,
}

impl RequestError {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            RequestError::Head(HeadError::TooLong | HeadError::TooManyHeaders) => 431,
            RequestError::Framing(FramingError::Encoding) => 501,
            RequestError::Connect => 405,
            _ => 400,
        }
    }
}

/// Why a response is answered with 502 instead of being forwarded.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The head is malformed or too large.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The length of the body cannot be determined.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// `Connection` names more fields than [`MAX_CONNECTION_OPTIONS`](crate::MAX_CONNECTION_OPTIONS).
    #[error("the Connection field names too many fields")]
    ConnectionOptions,
}
