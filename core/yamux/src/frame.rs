//! The frame header, encoded and decoded (Yamux specification, "Framing").
//!
//! Twelve bytes, big endian: `version u8 | type u8 | flags u16 | stream id u32 | length u32`.

use crate::error::MuxError;

/// Bytes of a frame header.
pub(crate) const HEADER_BYTES: usize = 12;
/// The window that both directions of a stream start with, bytes (Yamux specification, "Flow Control").
pub(crate) const INITIAL_WINDOW: u32 = 256 * 1024;

/// The frame type (Yamux specification, "Type Field").
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum FrameType {
    Data,
    WindowUpdate,
    Ping,
    GoAway,
}

/// The flags of a frame (Yamux specification, "Flag Field"). Unknown bits are ignored, as every known peer does.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flags(u16);

impl Flags {
    pub(crate) const NONE: Flags = Flags(0);
    pub(crate) const SYN: Flags = Flags(1);
    pub(crate) const ACK: Flags = Flags(2);
    pub(crate) const FIN: Flags = Flags(4);
    pub(crate) const RST: Flags = Flags(8);
    const KNOWN: u16 = 15;

    pub(crate) const fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) const fn with(self, flag: Flags) -> Flags {
        Flags(self.0 | flag.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 & Self::KNOWN == 0
    }
}

/// A frame header. `length` is the payload size, window delta, ping value or error code, by `kind`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) kind: FrameType,
    pub(crate) flags: Flags,
    pub(crate) id: u32,
    pub(crate) length: u32,
}

impl Header {
    pub(crate) const fn new(kind: FrameType, flags: Flags, id: u32, length: u32) -> Self {
        Header { kind, flags, id, length }
    }

    /// Bytes of payload that follow the header.
    pub(crate) const fn payload_length(self) -> u32 {
        match self.kind {
            FrameType::Data => self.length,
            FrameType::WindowUpdate | FrameType::Ping | FrameType::GoAway => 0,
        }
    }

    /// A data frame without payload and flags, which changes no state.
    pub(crate) const fn is_noop(self) -> bool {
        matches!(self.kind, FrameType::Data) && self.length == 0 && self.flags.is_empty()
    }

    pub(crate) const fn encode(self) -> [u8; HEADER_BYTES] {
        let kind = match self.kind {
            FrameType::Data => 0,
            FrameType::WindowUpdate => 1,
            FrameType::Ping => 2,
            FrameType::GoAway => 3,
        };
        let [f0, f1] = self.flags.0.to_be_bytes();
        let [i0, i1, i2, i3] = self.id.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [0, kind, f0, f1, i0, i1, i2, i3, l0, l1, l2, l3]
    }

    pub(crate) const fn decode(raw: [u8; HEADER_BYTES]) -> Result<Header, MuxError> {
        let [version, kind, f0, f1, i0, i1, i2, i3, l0, l1, l2, l3] = raw;
        if version != 0 {
            return Err(MuxError::BadVersion(version));
        }
        let kind = match kind {
            0 => FrameType::Data,
            1 => FrameType::WindowUpdate,
            2 => FrameType::Ping,
            3 => FrameType::GoAway,
            // An unknown type may or may not have a payload, so it cannot be skipped.
            other => return Err(MuxError::UnknownType(other)),
        };
        Ok(Header {
            kind,
            flags: Flags(u16::from_be_bytes([f0, f1])),
            id: u32::from_be_bytes([i0, i1, i2, i3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        for kind in [FrameType::Data, FrameType::WindowUpdate, FrameType::Ping, FrameType::GoAway] {
            let header = Header::new(kind, Flags::SYN.with(Flags::FIN), 0xDEAD_BEEF, 0x0102_0304);
            assert_eq!(Header::decode(header.encode()), Ok(header));
        }
    }
}
