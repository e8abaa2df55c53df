//! One operation on one stream.

use bytes::Bytes;

use crate::error::{ResetReason, StreamError};
use crate::instant::Instant;
use crate::recv::EndOfData;
use crate::send::{Finish, SendState};
use crate::session::Mux;
use crate::stream_id::StreamId;
use crate::stream_state::{List, PendingFrame};

/// What [`Stream::read`] gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// The next bytes, at least one: a slice of the message they arrived in, or a copy if they were few.
    Data(Bytes),
    /// Nothing yet. One [`MuxEvent::Readable`](crate::MuxEvent::Readable) follows.
    Empty,
    /// The peer has ended its half, and all its data has been read.
    Finished,
}

/// A live stream, borrowed for one operation.
#[derive(Debug)]
pub struct Stream<'a> {
    mux: &'a mut Mux,
    key: usize,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(mux: &'a mut Mux, key: usize) -> Self {
        Self { mux, key }
    }

    /// The id of this stream.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.mux.id(self.key)
    }

    /// Takes up to `max` bytes (at least one) that have arrived. Reading is what grants the peer a new window.
    ///
    /// # Errors
    ///
    /// [`StreamError::Reset`] or [`StreamError::Lost`]; neither is an orderly end, which is [`Read::Finished`].
    pub fn read(&mut self, max: usize, now: Instant) -> Result<Read, StreamError> {
        self.check(now)?;
        let stream = &mut self.mux.streams[self.key];
        let Some(data) = stream.recv.pop(max.max(1)) else {
            return Ok(match stream.recv.read_end() {
                EndOfData::Empty => Read::Empty,
                EndOfData::FinRead => {
                    self.mux.release_if_over(self.key);
                    Read::Finished
                }
                EndOfData::Over => Read::Finished,
            });
        };
        stream.progress_at = self.mux.now;
        stream.reader.read_at = self.mux.now.into();
        self.mux.remove_unread(self.key, data.len());
        self.mux.grant_if_due(self.key);
        Ok(Read::Data(data))
    }

    /// Takes from the front of `data` what there is room for, without a copy if it is not small, and returns the number
    /// of bytes. Nothing is taken that the peer has not granted, so that a stream whose peer does not read takes no room
    /// from others. If some bytes are left, the stream is blocked, and one
    /// [`MuxEvent::Writable`](crate::MuxEvent::Writable) follows.
    ///
    /// # Errors
    ///
    /// [`StreamError::Finished`] after [`finish`](Self::finish), or if the peer refuses more data;
    /// [`StreamError::Reset`]; [`StreamError::Lost`].
    pub fn write(&mut self, data: &mut Bytes, now: Instant) -> Result<usize, StreamError> {
        self.check(now)?;
        if self.mux.streams[self.key].send.state() != SendState::Open {
            return Err(StreamError::Finished);
        }
        if data.is_empty() {
            return Ok(0);
        }
        let (own, shared) = self.mux.send_room(self.key);
        let taken = data.split_to(data.len().min(own).min(shared));
        let n = taken.len();
        let stream = &mut self.mux.streams[self.key];
        if n > 0 {
            stream.send.push(taken);
            self.mux.counts.unsent += n;
        }
        if !data.is_empty() {
            let was_stalled = stream.send.is_stalled();
            stream.send.block(data.len());
            let begins_to_stall = !was_stalled && stream.send.is_stalled();
            if shared < own {
                self.mux.streams.push(List::SessionBlocked, self.key);
            }
            if begins_to_stall {
                self.mux.arm_stall(self.key);
            }
        }
        self.mux.schedule(self.key);
        Ok(n)
    }

    /// How many bytes a write would take now.
    #[must_use]
    pub fn writable(&self) -> usize {
        self.mux.writable_of(self.key)
    }

    /// Counts the stream's unread bytes, and what its window grows by, together with those of the other streams of `group`:
    /// give all streams of one user of this session the same number. Where memory runs out, it is the group that holds
    /// most that loses a stream; see [`MuxConfig::max_unread`](crate::MuxConfig::max_unread) and
    /// [`MuxConfig::max_group_unread`](crate::MuxConfig::max_group_unread). 0 takes the stream out of its group; it then
    /// counts by itself, as every new stream does. Nothing is sent.
    ///
    /// A relay that opens a stream for a visitor calls this right after [`Mux::open`] with a number that stands for the
    /// visitor, such as a hash of the address that its other limits count by.
    pub fn set_group(&mut self, group: u64) {
        self.mux.set_group(self.key, group);
    }

    /// Ends this end's half after what was written. A second time does nothing.
    ///
    /// # Errors
    ///
    /// [`StreamError::Reset`] or [`StreamError::Lost`].
    pub fn finish(&mut self, now: Instant) -> Result<(), StreamError> {
        self.check(now)?;
        match self.mux.streams[self.key].send.finish() {
            Finish::FinDue => self.mux.queue_frame(self.key, PendingFrame::Fin),
            Finish::AfterData | Finish::Already => {}
        }
        Ok(())
    }

    /// Resets the stream: what was not read and what was not sent is discarded at once. `code` is not sent, since most
    /// peers take RST for an error whatever its code; it is in the errors of later operations at this end.
    pub fn reset(&mut self, code: u32, now: Instant) {
        // A stream that is reset or lost already is as good.
        if self.check(now).is_ok() {
            self.mux.reset_stream(self.key, ResetReason::Local(code), true);
        }
    }

    /// Reads no more: what has arrived and what still comes is discarded, and the peer is granted no more window. Yamux
    /// has no frame to tell the peer. Once this end has finished too, a peer that has used up its window is reset.
    pub fn stop(&mut self, now: Instant) {
        if self.check(now).is_err() {
            // A stream that is reset or lost already is as good.
            return;
        }
        let stream = &mut self.mux.streams[self.key];
        stream.frames.remove(PendingFrame::Window);
        let discarded = stream.recv.stop();
        self.mux.remove_unread(self.key, discarded);
        self.mux.reset_if_unwanted(self.key);
        self.mux.release_if_over(self.key);
    }

    fn check(&mut self, now: Instant) -> Result<(), StreamError> {
        self.mux.advance(now);
        if self.mux.is_ended() {
            return Err(StreamError::Lost);
        }
        match self.mux.streams[self.key].reset {
            Some(reason) => Err(StreamError::Reset(reason)),
            None => Ok(()),
        }
    }
}
