//! Frame headers (RFC 6455 section 5.2).

use crate::control::MAX_CONTROL_BYTES;
use crate::error::ProtocolError;

/// The longest header: two bytes, a length of eight, a key of four.
pub const MAX_HEADER_BYTES: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// Length codes that say that the length follows in two or eight bytes.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// The opcodes without the reserved ones.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of section 11.8")]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn decode(code: u8) -> Result<Self, ProtocolError> {
        Ok(match code {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            code => return Err(ProtocolError::ReservedOpcode(code)),
        })
    }

    fn code(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }

    /// Whether it is a control frame, which may come within a fragmented message.
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The header of one frame.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Whether it is the last frame of its message.
    pub fin: bool,
    /// What the payload is.
    pub opcode: Opcode,
    /// The masking key; `None` for a frame of a server.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload, less than 2^63.
    pub length: u64,
}

impl FrameHeader {
    /// The header at the beginning of `bytes` and how long it is; `None` if it is not complete.
    ///
    /// # Errors
    /// What is wrong with the bytes that are there.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, ref rest @ ..] = bytes else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = Opcode::decode(first & 0x0f)?;
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        let &[second, ref rest @ ..] = rest else { return Ok(None) };
        let Some((length, rest)) = decode_length(second & !MASKED, rest)? else { return Ok(None) };
        if opcode.is_control() && length > MAX_CONTROL_BYTES as u64 {
            return Err(ProtocolError::LongControl(length));
        }
        let (mask, rest) = if second & MASKED == 0 {
            (None, rest)
        } else {
            let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (Some(*key), rest)
        };
        Ok(Some((FrameHeader { fin, opcode, mask, length }, bytes.len() - rest.len())))
    }

    /// The header as bytes, and how many of them count.
    ///
    /// # Panics
    /// If the length is 2^63 or more.
    pub fn encode(&self) -> ([u8; MAX_HEADER_BYTES], usize) {
        assert!(self.length >> 63 == 0, "a payload has less than 2^63 bytes");
        let mut bytes = [0; MAX_HEADER_BYTES];
        bytes[0] = self.opcode.code() | if self.fin { FIN } else { 0 };
        let mut end = match self.length {
            0..=125 => {
                bytes[1] = self.length as u8;
                2
            }
            126..=0xffff => {
                bytes[1] = LENGTH_16;
                bytes[2..4].copy_from_slice(&(self.length as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = LENGTH_64;
                bytes[2..10].copy_from_slice(&self.length.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.mask {
            bytes[1] |= MASKED;
            bytes[end..end + 4].copy_from_slice(&key);
            end += 4;
        }
        (bytes, end)
    }
}

/// The payload length, and what follows it.
fn decode_length(code: u8, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (length, rest, least) = match code {
        LENGTH_16 => {
            let Some((raw, rest)) = bytes.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*raw)), rest, 126)
        }
        LENGTH_64 => {
            let Some((raw, rest)) = bytes.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*raw), rest, 0x1_0000)
        }
        length => (u64::from(length), bytes, 0),
    };
    if length < least || length >> 63 != 0 {
        return Err(ProtocolError::Length);
    }
    Ok(Some((length, rest)))
}
