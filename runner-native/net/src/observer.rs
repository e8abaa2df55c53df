//! The seam through which a program sees what a library does: every event, and the bytes of streams for an inspector.
//!
//! Knows nothing of events: each library has its own enum.

use hvym_tunnel_core::mux::StreamId;

use crate::copy::Direction;

/// Sees what a library does, as it happens. Methods are called on worker threads, in the order of the events of one
/// link: they must not block.
pub trait Observer<E>: Send + Sync {
    /// Something happened.
    fn handle_event(&self, event: &E) {
        let _ignored = event;
    }

    /// Whether [`Observer::handle_bytes`] is to be called. Asked for every piece, so it must be cheap.
    fn wants_bytes(&self) -> bool {
        false
    }

    /// Bytes are about to pass between a visitor and a service.
    fn handle_bytes(&self, piece: &Piece<'_>) {
        let _ignored = piece;
    }
}

/// Bytes of one stream, seen on their way.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub struct Piece<'a> {
    /// The name of the service.
    pub service: &'a str,
    /// The stream, which is unique among the open streams of one link.
    pub stream: StreamId,
    /// Which way they go.
    pub direction: Direction,
    /// The bytes as they pass; `None` is the end of this direction.
    pub bytes: Option<&'a [u8]>,
}

impl<'a> Piece<'a> {
    /// Bytes of `stream`, or with `None` the end of that direction.
    pub fn new(service: &'a str, stream: StreamId, direction: Direction, bytes: Option<&'a [u8]>) -> Self {
        Self { service, stream, direction, bytes }
    }
}

/// Sees nothing.
impl<E> Observer<E> for () {}
