//! The seam through which a program sees what a library does: every event, and the bytes of streams for an inspector.
//!
//! Knows nothing of events: each library has its own enum.

use std::sync::Arc;

use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::stellar::Address;

use crate::copy::Direction;

/// Sees what a library does, as it happens. Methods are called on worker threads, in the order of the events of one
/// link: they must not block.
pub trait Observer<E>: Send + Sync {
    /// Something happened.
    fn handle_event(&self, event: &E) {
        let _ignored = event;
    }

    /// Somebody opened a stream to a service, and may have it.
    fn handle_stream_start(&self, stream: &StreamStart<'_>) {
        let _ignored = stream;
    }

    /// Whether [`Observer::handle_bytes`] is to be called. Asked for every piece, so it must be cheap.
    fn wants_bytes(&self) -> bool {
        false
    }

    /// Bytes are about to pass between a visitor and a service.
    fn handle_bytes(&self, piece: &Piece<'_>) {
        let _ignored = piece;
    }

    /// A stream of which bytes were shown is over, in order or not.
    fn handle_stream_end(&self, stream: &ObservedStream) {
        let _ignored = stream;
    }
}

/// Who opened a stream to which service.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub struct StreamStart<'a> {
    /// The name of the service.
    pub service: &'a str,
    /// The visitor's address and port, as the relay saw them.
    pub visitor: Option<&'a str>,
    /// The identity that opened it; `None` for a stream of the relay's visitors.
    pub from: Option<Address>,
}

impl<'a> StreamStart<'a> {
    /// A stream of visitors to a service.
    pub fn new(service: &'a str) -> Self {
        Self { service, visitor: None, from: None }
    }
}

/// One stream to a service, as an observer may know it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObservedStream {
    /// Unique among the streams of one agent.
    pub id: StreamId,
    /// The name of the service.
    pub service: Arc<str>,
    /// What it carries.
    pub proto: Proto,
    /// Whether only identities on a list reach the service.
    pub is_private: bool,
    /// The identity that opened it; `None` for a stream of the relay's visitors.
    pub from: Option<Address>,
}

impl ObservedStream {
    /// A stream of visitors to a public service.
    pub fn new(id: StreamId, service: Arc<str>, proto: Proto) -> Self {
        Self { id, service, proto, is_private: false, from: None }
    }
}

/// Bytes of one stream, seen on their way.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub struct Piece<'a> {
    /// The stream.
    pub stream: &'a ObservedStream,
    /// Which way they go.
    pub direction: Direction,
    /// The bytes as they pass; `None` is the end of this direction.
    pub bytes: Option<&'a [u8]>,
}

impl<'a> Piece<'a> {
    /// Bytes of `stream`, or with `None` the end of that direction.
    pub fn new(stream: &'a ObservedStream, direction: Direction, bytes: Option<&'a [u8]>) -> Self {
        Self { stream, direction, bytes }
    }
}

/// Sees nothing.
impl<E> Observer<E> for () {}
