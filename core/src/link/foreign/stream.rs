//! A stream of a link, whichever plane carries it. Everybody above reads and writes, and need not know.

use bytes::Bytes;

use crate::exchange;
use crate::mux::{self, Read, StreamError, StreamId};
use crate::time::Instant;

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
