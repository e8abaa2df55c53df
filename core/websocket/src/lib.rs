//! WebSocket framing (RFC 6455) without I/O, for both ends of a connection whose handshake is over.
//!
//! Nothing here knows sockets, clocks or threads; the crate is `no_std` and needs `alloc`. There are no extensions:
//! a reserved bit is an error, so nothing is ever compressed.
//!
//! | to | use |
//! |---|---|
//! | receive and send messages | [`WebSocket`], [`Received`] |
//! | hand over what was read, so that a large payload is not copied | [`Input`], [`WebSocket::read_bytes`] |
//! | write without a copy | [`WebSocket::slices`], [`WebSocket::advance`] |
//! | decode frames where they lie | [`Decoder`] |
//! | read or write one header | [`FrameHeader`] |
//!
//! # Two ends
//!
//! ```
//! use bytes::Bytes;
//! use hvym_websocket::{Input, Received, WebSocket};
//!
//! # fn main() -> Result<(), hvym_websocket::ProtocolError> {
//! let mut client = WebSocket::client([7; 32], 1024);
//! let mut server = WebSocket::server(1024);
//! client.send_text(Bytes::from_static(b"hello"));
//! client.close(1000, "");
//!
//! // What a socket would carry.
//! let wire: Vec<u8> = client.slices().flatten().copied().collect();
//! client.advance(wire.len());
//!
//! let mut input = Input::new(wire);
//! assert_eq!(server.read(&mut input)?, Some(Received::Text(Bytes::from_static(b"hello"))));
//! let Some(Received::Close(close)) = server.read(&mut input)? else { panic!("the client closed") };
//! assert_eq!((close.code, server.is_closed()), (1000, true));
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;

mod close;
mod close_code;
mod control;
mod decoder;
mod error;
mod header;
mod input;
mod mask;
mod output;
mod utf8;
mod websocket;

pub use close::CloseFrame;
pub use close_code::CloseCode;
pub use control::MAX_CONTROL_BYTES;
pub use decoder::{DecodeEvent, DecodeStep, Decoder, Kind};
pub use error::ProtocolError;
pub use header::{FrameHeader, MAX_HEADER_BYTES, Opcode};
pub use input::Input;
pub use websocket::{BinaryDelivery, Received, WebSocket};
