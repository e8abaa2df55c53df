//! HTTP/1.1 (RFC 9112) without I/O: heads, body framing, rewriting of heads for a proxy, and a passive observer of a
//! connection.
//!
//! Nothing here knows tunnels, streams, sockets or clocks, and nothing here forwards a byte. A proxy copies bytes and
//! shows them to a [`Tap`] on the way; other callers turn bytes into heads and bodies and back.
//! The parser is strict (RFC 9112 sections 6.1, 6.3 and 11.2): a message that two parsers could read differently is an
//! error.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;

mod body;
mod chunked;
mod head;
mod headers;
mod inbound;
mod outbound;
mod scan;
mod tap;

pub use body::{Body, BodyError, Framing, FramingError, Step};
pub use chunked::{
    Chunked, LAST_CHUNK, MAX_EXTENSION_BYTES, MAX_SIZE_DIGITS, MAX_TRAILER_BYTES, encode_chunk,
};
pub use head::{HeadError, MAX_HEAD_BYTES, MAX_HEADERS, RequestHead, ResponseHead, Version};
pub use headers::Headers;
pub use inbound::{Event, ReadError, RequestReader, ResponseReader};
pub use outbound::{BodyWriter, Payload, WriteError};
pub use scan::{HeadBuffer, Taken, ctl_free_prefix};
pub use tap::{
    AccessRecord, MAX_PENDING, MAX_RECORDED_HOST_BYTES, MAX_RECORDED_METHOD_BYTES, MAX_RECORDED_TARGET_BYTES,
    Sniff, Tap,
};
