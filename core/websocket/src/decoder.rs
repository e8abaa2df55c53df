//! Frames in: from bytes that are cut anywhere to payloads, unmasked where they lie, and control frames.

use core::mem;
use core::ops::Range;

use crate::close::CloseFrame;
use crate::control::ControlPayload;
use crate::error::ProtocolError;
use crate::header::{FrameHeader, MAX_HEADER_BYTES, Opcode};
use crate::mask::Mask;
use crate::utf8::Utf8;

/// The type of a data message.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// What [`Decoder::decode`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DecodeEvent {
    /// A piece of a data message. The pieces of a text together are UTF-8; one of them may end within a character.
    Data {
        /// The type of the message.
        kind: Kind,
        /// Where the piece lies in the input, unmasked.
        range: Range<usize>,
        /// It is the last piece of its message.
        end: bool,
    },
    /// A piece of a text message that is larger than the limit: [`Decoder::set_oversized`].
    Oversized {
        /// Where the piece lies in the input, unmasked.
        range: Range<usize>,
        /// It is the last piece of its message.
        end: bool,
    },
    /// A ping, whose payload is [`Decoder::control_payload`].
    Ping,
    /// A pong, whose payload is [`Decoder::control_payload`].
    Pong,
    /// The peer closes. Input that follows is ignored.
    Close(CloseFrame),
}

/// What one call of [`Decoder::decode`] did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodeStep {
    /// Bytes of the input that are dealt with. Without an event it is all of them.
    pub used: usize,
    /// What they held, if anything.
    pub event: Option<DecodeEvent>,
}

/// A frame whose payload is arriving.
#[derive(Debug)]
struct Payload {
    opcode: Opcode,
    fin: bool,
    mask: Option<Mask>,
    remaining: u64,
}

/// Decodes what one peer sends. Holds no payload but that of a control frame.
#[derive(Debug)]
pub struct Decoder {
    /// Clients mask their frames, servers do not.
    from_client: bool,
    max_message_bytes: usize,
    header: [u8; MAX_HEADER_BYTES],
    /// Bytes of `header` that have arrived.
    filled: usize,
    payload: Option<Payload>,
    /// The message that is arriving, from its first frame to its last.
    message: Option<Kind>,
    /// Payload of the message so far, as the headers announced it.
    message_bytes: u64,
    /// Whether texts that are larger than the limit are passed on as such.
    passes_oversized: bool,
    /// The message that is arriving is one.
    is_oversized: bool,
    utf8: Utf8,
    control: ControlPayload,
    /// After a close frame, or an error.
    ended: bool,
}

impl Decoder {
    /// Decodes what a client receives. Messages of up to `max_message_bytes` are taken.
    pub fn client(max_message_bytes: usize) -> Self {
        Self::new(false, max_message_bytes)
    }

    /// Decodes what a server receives. Messages of up to `max_message_bytes` are taken.
    pub fn server(max_message_bytes: usize) -> Self {
        Self::new(true, max_message_bytes)
    }

    fn new(from_client: bool, max_message_bytes: usize) -> Self {
        Self {
            from_client,
            max_message_bytes,
            header: [0; MAX_HEADER_BYTES],
            filled: 0,
            payload: None,
            message: None,
            message_bytes: 0,
            passes_oversized: false,
            is_oversized: false,
            utf8: Utf8::default(),
            control: ControlPayload::default(),
            ended: false,
        }
    }

    /// Changes the limit for frames whose header has not arrived yet.
    pub fn set_max_message_bytes(&mut self, limit: usize) {
        self.max_message_bytes = limit;
    }

    /// Whether the pieces of a text message that is larger than the limit are passed on as [`DecodeEvent::Oversized`], from
    /// the frame on that exceeds it, instead of ending the connection.
    pub fn set_oversized(&mut self, passes: bool) {
        self.passes_oversized = passes;
    }

    /// The payload of the last ping or pong.
    pub fn control_payload(&self) -> &[u8] {
        self.control.as_slice()
    }

    /// Bytes that are missing of the payload that is arriving.
    pub fn remaining(&self) -> u64 {
        self.payload.as_ref().map_or(0, |payload| payload.remaining)
    }

    /// Decodes from the front of `input` up to the next event. To be called until there is none.
    ///
    /// # Errors
    /// The peer broke a rule. What follows is ignored.
    pub fn decode(&mut self, input: &mut [u8]) -> Result<DecodeStep, ProtocolError> {
        let decoded = self.decode_frames(input);
        self.ended |= decoded.is_err();
        decoded
    }

    fn decode_frames(&mut self, input: &mut [u8]) -> Result<DecodeStep, ProtocolError> {
        let mut used = 0;
        while !self.ended {
            if self.payload.is_none() {
                let (length, header) = self.take_header(&input[used..])?;
                used += length;
                let Some(header) = header else { break };
                self.begin(header)?;
            }
            let Some(payload) = &self.payload else { break };
            let available = input.len() - used;
            let length = usize::try_from(payload.remaining).unwrap_or(usize::MAX).min(available);
            if length == 0 && payload.remaining > 0 {
                break;
            }
            let range = used..used + length;
            used = range.end;
            if let Some(event) = self.on_payload(&mut input[range.clone()], range)? {
                return Ok(DecodeStep { used, event: Some(event) });
            }
        }
        Ok(DecodeStep { used: input.len(), event: None })
    }

    /// Takes a header from `input`, or the part of it that is there; how many bytes it took.
    fn take_header(&mut self, input: &[u8]) -> Result<(usize, Option<FrameHeader>), ProtocolError> {
        if self.filled == 0
            && let Some((header, length)) = FrameHeader::decode(input)?
        {
            return Ok((length, Some(header)));
        }
        let before = self.filled;
        let taken = input.len().min(MAX_HEADER_BYTES - before);
        self.header[before..before + taken].copy_from_slice(&input[..taken]);
        match FrameHeader::decode(&self.header[..before + taken])? {
            Some((header, length)) => {
                self.filled = 0;
                Ok((length - before, Some(header)))
            }
            None => {
                self.filled = before + taken;
                Ok((taken, None))
            }
        }
    }

    fn begin(&mut self, header: FrameHeader) -> Result<(), ProtocolError> {
        let FrameHeader { fin, opcode, mask, length } = header;
        match (self.from_client, mask) {
            (true, None) => return Err(ProtocolError::NotMasked),
            (false, Some(_)) => return Err(ProtocolError::Masked),
            _ => {}
        }
        let begun = match opcode {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            Opcode::Continuation => None,
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                self.control.clear();
                self.payload = Some(Payload { opcode, fin, mask: mask.map(Mask::new), remaining: length });
                return Ok(());
            }
        };
        match (begun, self.message) {
            (Some(_), Some(_)) => return Err(ProtocolError::ExpectedContinuation),
            (None, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Some(kind), None) => {
                (self.message, self.message_bytes, self.is_oversized) = (Some(kind), 0, false);
            }
            (None, Some(_)) => {}
        }
        self.message_bytes = self.message_bytes.saturating_add(length);
        if self.message_bytes > self.max_message_bytes as u64 {
            if !(self.passes_oversized && self.message == Some(Kind::Text)) {
                return Err(ProtocolError::TooLarge { limit: self.max_message_bytes });
            }
            self.is_oversized = true;
        }
        self.payload = Some(Payload { opcode, fin, mask: mask.map(Mask::new), remaining: length });
        Ok(())
    }

    /// `data`, which lies at `range` of the input, is the next part of the payload.
    fn on_payload(
        &mut self,
        data: &mut [u8],
        range: Range<usize>,
    ) -> Result<Option<DecodeEvent>, ProtocolError> {
        let Some(payload) = &mut self.payload else { return Ok(None) };
        if let Some(mask) = &mut payload.mask {
            mask.apply(data);
        }
        payload.remaining -= data.len() as u64;
        let (opcode, done) = (payload.opcode, payload.remaining == 0);
        let end = done && payload.fin;
        if done {
            self.payload = None;
        }
        if opcode.is_control() {
            self.control.extend(data);
            return if done { self.on_control(opcode) } else { Ok(None) };
        }
        let Some(kind) = self.message else { return Ok(None) };
        if kind == Kind::Text {
            self.utf8.check(data)?;
        }
        if end {
            self.message = None;
            if kind == Kind::Text {
                self.utf8.finish()?;
            }
        }
        Ok(Some(match self.is_oversized {
            true => DecodeEvent::Oversized { range, end },
            false => DecodeEvent::Data { kind, range, end },
        }))
    }

    fn on_control(&mut self, opcode: Opcode) -> Result<Option<DecodeEvent>, ProtocolError> {
        Ok(match opcode {
            Opcode::Ping => Some(DecodeEvent::Ping),
            Opcode::Pong => Some(DecodeEvent::Pong),
            Opcode::Close => {
                self.ended = true;
                Some(DecodeEvent::Close(CloseFrame::decode(self.control.as_slice())?))
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => None,
        })
    }

    pub(crate) fn take_control_payload(&mut self) -> ControlPayload {
        mem::take(&mut self.control)
    }
}
