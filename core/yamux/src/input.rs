//! Bytes in: headers and payloads, and which reaction each frame gets.

use bytes::{Buf, Bytes};

use crate::error::MuxError;
use crate::frame::{Flags, FrameType, HEADER_BYTES, Header};
use crate::instant::Instant;
use crate::recv::RecvState;
use crate::session::Mux;
use crate::stream_state::PendingEvent;

/// Payloads below this are copied together: a slice costs a queue entry and keeps its whole message alive.
const SMALL_PAYLOAD: usize = 1024;
/// A slice may keep at most this many times the size of its own frame alive.
const MAX_PINNED: usize = 4;

impl Mux {
    /// Takes bytes that arrived, cut anywhere. All of them are consumed, whether or not output is pulled.
    ///
    /// # Errors
    ///
    /// An error is the end of the session: its `GoAway`, if [`MuxError::go_away_code`] has one, is the last output,
    /// `Ended` the last event, and later input is ignored.
    pub fn handle_data(&mut self, data: Bytes, now: Instant) -> Result<(), MuxError> {
        self.advance(now);
        if self.is_ended() || data.is_empty() {
            return Ok(());
        }
        if self.parser.is_in_payload() {
            self.timers.received(self.now);
        }
        let outcome = self.parse(data);
        if let Err(error) = outcome {
            self.fail(error);
        }
        outcome
    }

    fn parse(&mut self, mut data: Bytes) -> Result<(), MuxError> {
        let message = data.len();
        while !data.is_empty() && !self.is_ended() {
            let Some(arrived) = self.parser.payload(data.len()) else {
                if let Some(raw) = self.parser.header(&mut data) {
                    self.on_header(Header::decode(raw)?)?;
                }
                continue;
            };
            let Some(key) = arrived.target else {
                data.advance(arrived.length);
                continue;
            };
            self.on_payload(key, &mut data, arrived.length, message);
            if arrived.fin && !self.streams[key].is_free() {
                self.on_fin(key)?;
            }
        }
        Ok(())
    }

    fn on_header(&mut self, header: Header) -> Result<(), MuxError> {
        // A pong shows that the peer lives only if it has the right value.
        if header.kind != FrameType::Ping || !header.flags.has(Flags::ACK) {
            self.timers.received(self.now);
        }
        match header.kind {
            FrameType::GoAway => self.on_go_away(header.length),
            FrameType::Ping => self.on_ping(header),
            FrameType::Data | FrameType::WindowUpdate if header.id == 0 => Err(MuxError::BadStreamId(0)),
            FrameType::Data | FrameType::WindowUpdate => self.on_stream_frame(header),
        }
    }

    /// Takes `length` bytes of payload from the front of `data`, which is the rest of a message of `message` bytes.
    fn on_payload(&mut self, key: usize, data: &mut Bytes, length: usize, message: usize) {
        let stream = &mut self.streams[key];
        if stream.is_free() || stream.reset.is_some() || stream.recv.state() != RecvState::Open {
            // The stream was stopped or reset after the header had arrived.
            data.advance(length);
            return;
        }
        stream.progress_at = self.now;
        let keep = length >= SMALL_PAYLOAD && (length + HEADER_BYTES) * MAX_PINNED >= message;
        if keep && !self.config.always_copy {
            // The last payload of a message takes the message with it, without a second reference.
            let is_last = length == data.len();
            stream.recv.push(if is_last { core::mem::take(data) } else { data.split_to(length) });
        } else {
            stream.recv.push_copy(&data[..length]);
            data.advance(length);
        }
        if stream.recv.take_wants_read() {
            self.notify(key, PendingEvent::Readable);
        }
        self.add_unread(key, length);
    }
}
