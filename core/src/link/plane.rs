//! What carries the streams of a link, once it is up: a mux, or an exchange of whole messages.
//!
//! Everybody above sees [`Stream`]s, and need not know which.

use alloc::boxed::Box;

use bytes::Bytes;

use crate::exchange::{self, Exchange};
use crate::mux::{self, ClosedStream, Mux, Read, StreamError, StreamId};
use crate::time::Instant;

/// The data plane of one link.
#[expect(
    clippy::large_enum_variant,
    reason = "the mux is what nearly every link has, and one step nearer unboxed"
)]
pub(super) enum Plane {
    None,
    Mux(Mux),
    Exchange(Box<Exchange>),
}

impl Plane {
    pub(super) fn mux(&mut self) -> Option<&mut Mux> {
        match self {
            Plane::Mux(mux) => Some(mux),
            Plane::None | Plane::Exchange(_) => None,
        }
    }

    pub(super) fn exchange(&mut self) -> Option<&mut Exchange> {
        match self {
            Plane::Exchange(exchange) => Some(exchange),
            Plane::None | Plane::Mux(_) => None,
        }
    }

    pub(super) fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        match self {
            Plane::Mux(mux) => mux.stream(id).map(Stream::Mux),
            Plane::Exchange(exchange) => exchange.stream(id).map(Stream::Exchange).ok_or(ClosedStream),
            Plane::None => Err(ClosedStream),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Plane::Mux(mux) => mux.poll_timeout(),
            Plane::Exchange(exchange) => exchange.poll_timeout(),
            Plane::None => None,
        }
    }
}

/// A live stream, borrowed for one operation, whatever carries it.
#[derive(Debug)]
pub enum Stream<'a> {
    /// One of a Yamux session.
    Mux(mux::Stream<'a>),
    /// A request and its response, or a connection that is carried in messages.
    Exchange(exchange::Stream<'a>),
}

impl Stream<'_> {
    /// Its id.
    pub fn id(&self) -> StreamId {
        match self {
            Stream::Mux(stream) => stream.id(),
            Stream::Exchange(stream) => stream.id(),
        }
    }

    /// As [`mux::Stream::read`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn read(&mut self, max: usize, now: Instant) -> Result<Read, StreamError> {
        match self {
            Stream::Mux(stream) => stream.read(max, now),
            Stream::Exchange(stream) => stream.read(max, now),
        }
    }

    /// As [`mux::Stream::write`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn write(&mut self, data: &mut Bytes, now: Instant) -> Result<usize, StreamError> {
        match self {
            Stream::Mux(stream) => stream.write(data, now),
            Stream::Exchange(stream) => stream.write(data, now),
        }
    }

    /// As [`mux::Stream::writable`].
    pub fn writable(&self) -> usize {
        match self {
            Stream::Mux(stream) => stream.writable(),
            Stream::Exchange(stream) => stream.writable(),
        }
    }

    /// As [`mux::Stream::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&mut self, now: Instant) -> Result<(), StreamError> {
        match self {
            Stream::Mux(stream) => stream.finish(now),
            Stream::Exchange(stream) => stream.finish(now),
        }
    }

    /// As [`mux::Stream::reset`].
    pub fn reset(&mut self, code: u32, now: Instant) {
        match self {
            Stream::Mux(stream) => stream.reset(code, now),
            Stream::Exchange(stream) => stream.reset(code, now),
        }
    }

    /// As [`mux::Stream::stop`].
    pub fn stop(&mut self, now: Instant) {
        match self {
            Stream::Mux(stream) => stream.stop(now),
            Stream::Exchange(stream) => stream.stop(now),
        }
    }
}
