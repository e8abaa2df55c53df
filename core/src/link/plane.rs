//! What carries the streams of a link, once it is up: a mux, or an exchange of whole messages.

#[cfg(feature = "foreign")]
use alloc::boxed::Box;

use super::Stream;
use crate::dialect::{Dialect, Frame};
#[cfg(feature = "foreign")]
use crate::exchange::Exchange;
use crate::message::Message;
use crate::mux::{ClosedStream, Mux, StreamId};
use crate::time::Instant;

/// The data plane of one link.
#[expect(
    clippy::large_enum_variant,
    reason = "the mux is what nearly every link has, and one step nearer unboxed"
)]
pub(super) enum Plane {
    None,
    Mux(Mux),
    #[cfg(feature = "foreign")]
    Exchange(Box<Exchange>),
}

impl Plane {
    pub(super) fn mux(&mut self) -> Option<&mut Mux> {
        match self {
            Plane::Mux(mux) => Some(mux),
            _ => None,
        }
    }

    #[cfg(feature = "foreign")]
    pub(super) fn exchange(&mut self) -> Option<&mut Exchange> {
        match self {
            Plane::Exchange(exchange) => Some(exchange),
            Plane::None | Plane::Mux(_) => None,
        }
    }

    #[cfg(feature = "foreign")]
    pub(super) fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        match self {
            Plane::Mux(mux) => mux.stream(id).map(Stream::Mux),
            Plane::Exchange(exchange) => exchange.stream(id).map(Stream::Exchange).ok_or(ClosedStream),
            Plane::None => Err(ClosedStream),
        }
    }

    #[cfg(not(feature = "foreign"))]
    pub(super) fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        self.mux().ok_or(ClosedStream)?.stream(id)
    }

    pub(super) fn poll_transmit(&mut self, dialect: Dialect) -> Option<Message> {
        match self {
            Plane::Mux(mux) => dialect.encode(Frame::Mux(mux.poll_transmit()?)),
            #[cfg(feature = "foreign")]
            Plane::Exchange(exchange) => exchange.poll_transmit(),
            Plane::None => None,
        }
    }

    pub(super) fn has_output(&self) -> bool {
        match self {
            Plane::Mux(mux) => mux.has_output(),
            #[cfg(feature = "foreign")]
            Plane::Exchange(_) => true,
            Plane::None => false,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Plane::Mux(mux) => mux.poll_timeout(),
            #[cfg(feature = "foreign")]
            Plane::Exchange(exchange) => exchange.poll_timeout(),
            Plane::None => None,
        }
    }
}
