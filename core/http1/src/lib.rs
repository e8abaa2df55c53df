//! HTTP/1.1 (RFC 9112) without I/O: heads, body framing, hop-by-hop fields, and a passive observer of a connection.
//!
//! Nothing here knows sockets, clocks or threads, and nothing here forwards a byte; the crate is `no_std` and needs `alloc`.
//! Parsing is strict (RFC 9112 sections 6.1, 6.3 and 11.2): a message whose length two recipients could determine
//! differently is an error, and so are lenient forms that request smuggling relies on.
//!
//! | to | use |
//! |---|---|
//! | parse or encode a head | [`RequestHead`], [`ResponseHead`], [`Headers`] |
//! | find the end of a head that arrives in pieces | [`HeadScanner`], [`HeadBuffer`] |
//! | find the end of a body | [`Framing`], [`Body`] |
//! | read whole messages from a stream | [`RequestReader`], [`ResponseReader`] |
//! | forward a body without copying it | [`BodyForwarder`] |
//! | write whole messages | [`RequestHead::set_framing`], [`ResponseHead::set_framing`], [`BodyWriter`] |
//! | read a head where it lies | [`RequestView`], [`ResponseView`] |
//! | forward a head as a proxy | [`RequestView::write_forwarded`], [`ResponseView::write_forwarded`], [`write_request_head`] |
//! | log the requests of a connection whose bytes pass unchanged | [`Tap`] |
//!
//! # Reading a request and writing its response
//!
//! ```
//! use bytes::Bytes;
//! use hvym_http1::{BodyWriter, Event, Payload, RequestReader, ResponseHead};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Bytes arrive in any pieces; the reader removes what it understood from the front.
//! let mut input = Bytes::from_static(b"POST /hello HTTP/1.1\r\nHost: example\r\nContent-Length: 2\r\n\r\nhi");
//! let mut reader = RequestReader::new();
//! let Some(Event::Head(request)) = reader.read(&mut input)? else { panic!("the head is complete") };
//! assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/hello"));
//! assert_eq!(reader.read(&mut input)?, Some(Event::Body(Bytes::from_static(b"hi"))));
//! assert_eq!(reader.read(&mut input)?, Some(Event::End));
//!
//! let mut response = ResponseHead::new(200, "OK");
//! let framing = response.set_framing(&request, Payload::Sized(3));
//! let mut writer = BodyWriter::new(framing);
//! let bytes = [response.encode()?, writer.encode(Bytes::from_static(b"yes"))?, writer.finish()?].concat();
//! assert_eq!(bytes, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;

mod body;
mod chunked;
mod decoded;
mod error;
mod forward;
mod framing;
mod head;
mod head_buffer;
mod headers;
mod hop_by_hop;
mod limits;
mod list;
mod reader;
mod scan;
mod syntax;
mod tap;
mod version;
mod view;
mod writer;

pub use body::Body;
pub use chunked::{Chunked, ChunkedPart, LAST_CHUNK, encode_chunk};
pub use decoded::Decoded;
pub use error::{BodyError, FramingError, HeadError, ReadError, WriteError};
pub use forward::{
    BodyForwarder, ClientInfo, ForwardedBlock, ForwardedFields, HostMapping, MessageKind, RequestParts,
    RequestRewrite, ResponseRewrite, UrlOrigin, UrlScheme, framing_toward, is_reserved_field,
    is_trailer_forwarded, trailer_fields, without_shared_domain, write_request_head,
};
pub use framing::{Framing, content_length};
pub use head::{RequestHead, ResponseHead};
pub use head_buffer::{HeadBuffer, Taken};
pub use headers::Headers;
pub use hop_by_hop::HOP_BY_HOP;
pub use limits::{
    MAX_CONNECTION_OPTIONS, MAX_EXTENSION_BYTES, MAX_HEAD_BYTES, MAX_HEADERS, MAX_SIZE_DIGITS,
    MAX_TRAILER_BYTES,
};
pub use list::list_members;
pub use reader::{Event, RequestReader, ResponseReader};
pub use scan::{HeadScanner, LineEndings};
pub use tap::{
    AccessRecord, MAX_PENDING, MAX_RECORDED_CLIENT_BYTES, MAX_RECORDED_HOST_BYTES, MAX_RECORDED_METHOD_BYTES,
    MAX_RECORDED_TARGET_BYTES, Sniff, Tap,
};
pub use version::Version;
pub use view::{
    ConnectionOptions, FieldTable, Fields, RequestError, RequestView, ResponseError, ResponseView,
    is_upgrade_offered,
};
pub use writer::{BodyWriter, Payload};
