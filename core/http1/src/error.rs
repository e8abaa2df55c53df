//! The errors of this crate.

use thiserror::Error;

use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS};

/// Why bytes are not a head, or a head cannot be written.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum HeadError {
    /// Longer than [`MAX_HEAD_BYTES`].
    #[error("the head is longer than {MAX_HEAD_BYTES} bytes")]
    TooLong,
    /// More fields than [`MAX_HEADERS`].
    #[error("the head has more than {MAX_HEADERS} fields")]
    TooManyHeaders,
    /// A control byte that no head may contain.
    #[error("the byte {0:#04x} cannot stand in a head")]
    Byte(u8),
    /// The method or the target is malformed, empty or contains an illegal byte (RFC 9112 section 3).
    #[error("the request line is malformed")]
    RequestLine,
    /// The protocol is neither HTTP/1.0 nor HTTP/1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// The status is not a number from 100 to 999, or the reason contains an illegal byte (RFC 9112 section 4).
    #[error("the status line is malformed")]
    StatusLine,
    /// A field name is not a token. A folded line (obs-fold, RFC 9112 section 5.2) is reported as this, too.
    #[error("a field name is malformed")]
    HeaderName,
    /// A field value contains an illegal byte (RFC 9110 section 5.5).
    #[error("a field value is malformed")]
    HeaderValue,
    /// A line ends with something other than CR LF or LF, or bytes follow the head.
    #[error("a line end is malformed")]
    LineEnd,
    /// A CR without LF, where [`LineEndings::Strict`](crate::LineEndings::Strict) is required.
    #[error("a carriage return stands alone")]
    BareCr,
    /// An LF without CR, where [`LineEndings::Strict`](crate::LineEndings::Strict) is required.
    #[error("a line ends without a carriage return")]
    BareLf,
    /// A line begins with white space, where [`LineEndings::Strict`](crate::LineEndings::Strict) is required.
    #[error("a line begins with white space")]
    LeadingWhitespace,
}

/// Why the length of a body cannot be determined (RFC 9112 section 6.3).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum FramingError {
    /// Both `Transfer-Encoding` and `Content-Length` are present.
    #[error("the message has both a Transfer-Encoding and a Content-Length")]
    EncodingAndLength,
    /// `Content-Length` values that differ.
    #[error("the message has Content-Length values that differ")]
    LengthsDiffer,
    /// A `Content-Length` that is not a decimal number below 2^64.
    #[error("the Content-Length is not a number")]
    Length,
    /// A `Transfer-Encoding` that is not exactly `chunked`.
    #[error("the Transfer-Encoding is not chunked")]
    Encoding,
    /// A `Transfer-Encoding` in HTTP/1.0, which recipients may ignore (RFC 9112 section 6.1).
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    EncodingInHttp10,
}

/// Why a body is malformed (RFC 9112 section 7.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// A chunk's size line, or the line end after its data, is malformed.
    #[error("a chunk's size or border is malformed")]
    ChunkSize,
    /// A chunk extension is malformed, or there are more than [`MAX_EXTENSION_BYTES`](crate::MAX_EXTENSION_BYTES).
    #[error("chunk extensions are malformed or too long")]
    Extension,
    /// A trailer field is malformed, or there are more than [`MAX_TRAILER_BYTES`](crate::MAX_TRAILER_BYTES).
    #[error("trailer fields are malformed or too long")]
    Trailer,
    /// The stream ended inside the body.
    #[error("the stream ended inside the body")]
    Truncated,
}

/// Why a stream cannot be read as messages.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The head is malformed.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The length of the body cannot be determined.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The body is malformed, or the stream ended inside it.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The stream ended inside a head.
    #[error("the stream ended inside the head")]
    Truncated,
}

/// Why a body does not match the length that its head announced.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// More than the announced length.
    #[error("the body is longer than its Content-Length")]
    TooLong,
    /// Less than the announced length.
    #[error("the body is shorter than its Content-Length")]
    TooShort,
}
