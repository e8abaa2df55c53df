//! The streams of a link as byte streams: reads and writes under its lock, and who is woken when they can go on.

use std::task::{Context, Poll};

use bytes::Bytes;
use hvym_tunnel_core::link::{StreamInterest, Streams};
use hvym_tunnel_core::mux::{Read, StreamError, StreamId};
use hvym_tunnel_core::time::Instant;

use super::LinkHandle;
use crate::stream::StreamBackend;

impl<M: Streams + Send + 'static> StreamBackend for LinkHandle<M> {
    fn poll_read(
        &self,
        id: StreamId,
        max: usize,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<Option<Bytes>>> {
        let mut state = self.0.lock();
        let read = match state.machine.stream(id) {
            Ok(mut stream) => stream.read(max, now),
            Err(closed) => Err(StreamError::Closed(closed)),
        };
        match read {
            Ok(Read::Data(data)) => {
                state.counters.read += data.len() as u64;
                self.0.trace.stream("read", id, data.len());
                // Reading may have made credit that the peer waits for.
                if state.machine.has_output() {
                    state.wake_driver();
                }
                Poll::Ready(Ok(Some(data)))
            }
            Ok(Read::Finished) => {
                self.0.trace.stream("ended", id, 0);
                Poll::Ready(Ok(None))
            }
            Ok(Read::Empty) => {
                state.wakers.register(id, StreamInterest::Read, cx.waker());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }

    fn poll_write(
        &self,
        id: StreamId,
        data: &mut Bytes,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
        let mut state = self.0.lock();
        let written = match state.machine.stream(id) {
            Ok(mut stream) => stream.write(data, now),
            Err(closed) => Err(StreamError::Closed(closed)),
        };
        match written {
            Ok(0) if !data.is_empty() => {
                state.wakers.register(id, StreamInterest::Write, cx.waker());
                Poll::Pending
            }
            Ok(n) => {
                state.counters.written += n as u64;
                self.0.trace.stream("written", id, n);
                state.wake_driver();
                Poll::Ready(Ok(n))
            }
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }

    fn poll_reset(&self, id: StreamId, now: Instant, cx: &mut Context<'_>) -> Poll<std::io::Error> {
        let mut state = self.0.lock();
        // A write of nothing only tells how the stream is.
        let error = match state.machine.stream(id) {
            Ok(mut stream) => stream.write(&mut Bytes::new(), now).err(),
            Err(closed) => Some(StreamError::Closed(closed)),
        };
        match error {
            None | Some(StreamError::Finished) => {
                state.wakers.register(id, StreamInterest::Reset, cx.waker());
                Poll::Pending
            }
            Some(error) => Poll::Ready(broken(error)),
        }
    }

    fn finish(&self, id: StreamId) -> std::io::Result<()> {
        self.0.trace.stream("finished", id, 0);
        self.with(|machine, now| match machine.stream(id) {
            Ok(mut stream) => stream.finish(now).map_err(broken),
            Err(closed) => Err(broken(StreamError::Closed(closed))),
        })
    }

    fn stop(&self, id: StreamId) {
        self.with(|machine, now| {
            if let Ok(mut stream) = machine.stream(id) {
                stream.stop(now);
            }
        });
    }

    fn reset(&self, id: StreamId, code: u32) {
        self.0.trace.stream("reset", id, 0);
        self.with(|machine, now| {
            if let Ok(mut stream) = machine.stream(id) {
                stream.reset(code, now);
            }
        });
    }

    fn forget(&self, id: StreamId) {
        self.0.trace.stream("forgotten", id, 0);
        self.0.lock().wakers.remove(id);
    }
}

/// A reset stream is an error for its user, never an end.
fn broken(error: StreamError) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, error)
}
