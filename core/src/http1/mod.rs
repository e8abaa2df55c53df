//! HTTP/1.1 (RFC 9112) as values: heads, body framing, a passive observer of a connection, and our own error pages.
//!
//! Nothing here knows tunnels, streams or sockets, and nothing here forwards a byte. An agent splices bytes and
//! shows them to a [`Tap`] on the way; dialects and the browser turn bytes into heads and bodies and back.
//! The parser is strict (RFC 9112 sections 6.1, 6.3 and 11.2): what two parsers might read differently is an error.

mod body;
mod chunked;
mod exchange;
mod head;
mod headers;
pub mod host_check;
mod inbound;
mod outbound;
mod page;
mod scan;
mod tap;

pub use body::{Body, BodyError, Framing, FramingError, Step};
pub use chunked::{
    Chunked, LAST_CHUNK, MAX_EXTENSION_BYTES, MAX_SIZE_DIGITS, MAX_TRAILER_BYTES, encode_chunk,
};
pub use exchange::{Exchange, MAX_SHOWN_HOST_BYTES, MAX_SHOWN_METHOD_BYTES, MAX_SHOWN_TARGET_BYTES};
pub use head::{HeadError, MAX_HEAD_BYTES, MAX_HEADERS, RequestHead, ResponseHead, Version};
pub use headers::Headers;
pub use inbound::{Part, ReadError, RequestReader, ResponseReader};
pub use outbound::{BodyWriter, Payload, WriteError};
pub use page::{Format, Page};
#[cfg(feature = "foreign")]
pub(crate) use scan::HeadGathering;
pub use scan::plain_bytes;
pub use tap::{MAX_WAITING, Tap};
