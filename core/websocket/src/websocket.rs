//! One end of a WebSocket after its handshake: messages in, messages out, pongs and the closing handshake.

use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::ops::Range;

use bytes::Bytes;

use crate::close::CloseFrame;
use crate::decoder::{DecodeEvent, DecodeStep, Decoder, Kind};
use crate::error::ProtocolError;
use crate::header::Opcode;
use crate::input::Input;
use crate::output::Output;

/// What a read takes at most: frames of 64 KiB with their header, and the beginning of the next.
const READ_BYTES: usize = 64 * 1024 + NEXT_BYTES;
/// What a read takes beyond the end of the frame that is arriving: the next header, and what is small. It is copied.
const NEXT_BYTES: usize = 1024;
/// While this much is missing of a frame, a read ends with the frame, so that the payload need not be copied. A system
/// call costs about as much as a copy of this size.
const MIN_ALIGNED_BYTES: u64 = 16 * 1024;

/// How binary messages are received.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BinaryDelivery {
    /// Whole.
    Messages,
    /// Each piece as it arrives, where the binary messages together are a byte stream. Nothing is held back.
    Pieces,
}

/// What a peer sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// A whole text message, which is UTF-8.
    Text(Bytes),
    /// A whole binary message, or a piece of one: [`BinaryDelivery`].
    Binary(Bytes),
    /// The beginning of a text message that was larger than the limit, and is over: [`WebSocket::set_oversized_head`].
    Oversized(Bytes),
    /// The peer closes; the answer is queued. Nothing follows.
    Close(CloseFrame),
}

/// The state of one connection.
///
/// Reading: [`read_bytes`](Self::read_bytes) bytes into a buffer, then [`read`](Self::read) until it gives `None`.
/// Writing: [`slices`](Self::slices), then [`advance`](Self::advance) by what was written.
pub struct WebSocket {
    decoder: Decoder,
    delivery: BinaryDelivery,
    /// How much is kept of a text message that is larger than the limit; `None` refuses it.
    oversized_head: Option<usize>,
    /// The beginning of a message that is received whole.
    partial: Vec<u8>,
    output: Output,
}

impl WebSocket {
    /// The client's end. Masking keys come from `seed`, which no peer may be able to guess (section 10.3).
    pub fn client(seed: [u8; 32], max_message_bytes: usize) -> Self {
        Self::new(Decoder::client(max_message_bytes), Output::new(Some(seed)))
    }

    /// The server's end.
    pub fn server(max_message_bytes: usize) -> Self {
        Self::new(Decoder::server(max_message_bytes), Output::new(None))
    }

    fn new(decoder: Decoder, output: Output) -> Self {
        let delivery = BinaryDelivery::Messages;
        Self { decoder, delivery, oversized_head: None, partial: Vec::new(), output }
    }

    /// Changes the largest message that is received, for frames that have not begun. A message may be held in part, so
    /// that this is what a peer can make the connection hold.
    pub fn set_max_message_bytes(&mut self, limit: usize) {
        self.decoder.set_max_message_bytes(limit);
    }

    /// Changes how binary messages are received. One that is held in part becomes a piece.
    pub fn set_binary_delivery(&mut self, delivery: BinaryDelivery) {
        self.delivery = delivery;
    }

    /// Of a text message that is larger than the limit, so many bytes are given ([`Received::Oversized`]) and the rest is
    /// dropped; `None`, as at first, refuses it.
    pub fn set_oversized_head(&mut self, bytes: Option<usize>) {
        self.decoder.set_oversized(bytes.is_some());
        self.oversized_head = bytes;
    }

    /// How many bytes the next read should ask for, so that a large payload has a buffer to itself.
    pub fn read_bytes(&self) -> usize {
        match self.decoder.remaining() {
            MIN_ALIGNED_BYTES.. => usize::try_from(self.decoder.remaining())
                .map_or(READ_BYTES, |n| (n + NEXT_BYTES).min(READ_BYTES)),
            _ => READ_BYTES,
        }
    }

    /// The next message in `input`; `None` once all of it is decoded.
    ///
    /// # Errors
    /// The peer broke a rule: [`Self::close`] with [`ProtocolError::close_code`]. Nothing follows.
    pub fn read(&mut self, input: &mut Input) -> Result<Option<Received>, ProtocolError> {
        while !input.is_empty() {
            let start = input.position();
            let DecodeStep { used, event } = self.decoder.decode(input.unread())?;
            input.advance(used);
            match event {
                Some(DecodeEvent::Data { kind, range, end }) => {
                    let range = start + range.start..start + range.end;
                    if let Some(message) = self.on_data(kind, range, end, input) {
                        return Ok(Some(message));
                    }
                }
                Some(DecodeEvent::Oversized { range, end }) => {
                    let range = start + range.start..start + range.end;
                    if let Some(message) = self.on_oversized(range, end, input) {
                        return Ok(Some(message));
                    }
                }
                Some(DecodeEvent::Ping) => self.output.pong(self.decoder.take_control_payload()),
                Some(DecodeEvent::Close(frame)) => {
                    self.close(frame.code, "");
                    return Ok(Some(Received::Close(frame)));
                }
                Some(DecodeEvent::Pong) | None => {}
            }
        }
        Ok(None)
    }

    fn on_data(&mut self, kind: Kind, range: Range<usize>, end: bool, input: &mut Input) -> Option<Received> {
        let is_piece = kind == Kind::Binary && self.delivery == BinaryDelivery::Pieces;
        if !self.partial.is_empty() || !(end || is_piece) {
            self.partial.extend_from_slice(input.slice(range));
            if !(end || is_piece) {
                return None;
            }
            return Some(received(kind, Bytes::from(mem::take(&mut self.partial))));
        }
        let is_nothing = is_piece && range.is_empty();
        (!is_nothing).then(|| received(kind, input.take(range)))
    }

    fn on_oversized(&mut self, range: Range<usize>, end: bool, input: &mut Input) -> Option<Received> {
        let head = self.oversized_head.unwrap_or(0);
        if self.partial.len() > head {
            // Frames that did not exceed the limit alone.
            self.partial = self.partial[..head].to_vec();
        }
        let left = (head - self.partial.len()).min(range.len());
        self.partial.extend_from_slice(input.slice(range.start..range.start + left));
        end.then(|| Received::Oversized(Bytes::from(mem::take(&mut self.partial))))
    }

    /// Queues a text message.
    pub fn send_text(&mut self, payload: Bytes) {
        self.output.push(Opcode::Text, payload);
    }

    /// Queues a binary message. A client masks it where it lies if nobody else has a reference to it.
    pub fn send_binary(&mut self, payload: Bytes) {
        self.output.push(Opcode::Binary, payload);
    }

    /// Queues a close frame, unless there was one. A code that may not be sent ([`CloseCode`](crate::CloseCode)) is left out; a reason is
    /// cut at [`CloseFrame::MAX_REASON_BYTES`].
    pub fn close(&mut self, code: u16, reason: &str) {
        let payload = CloseFrame::encode(code, reason);
        self.output.push(Opcode::Close, Bytes::copy_from_slice(payload.as_slice()));
    }

    /// Whether a close frame was queued: nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.output.is_closed()
    }

    /// Bytes that wait to be written.
    pub fn queued_bytes(&self) -> usize {
        self.output.len()
    }

    /// What waits to be written, in order; for one vectored write.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.output.slices()
    }

    /// `n` bytes of the slices are written.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn advance(&mut self, n: usize) {
        self.output.advance(n);
    }
}

fn received(kind: Kind, data: Bytes) -> Received {
    match kind {
        Kind::Text => Received::Text(data),
        Kind::Binary => Received::Binary(data),
    }
}

impl fmt::Debug for WebSocket {
    /// Without payloads and masking keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("WebSocket");
        debug
            .field("partial", &self.partial.len())
            .field("queued", &self.output.len())
            .finish_non_exhaustive()
    }
}
