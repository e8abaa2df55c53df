//! The 12-byte header of Yamux: `version u8 | type u8 | flags u16 | stream id u32 | length u32`, big endian.

use super::error::MuxError;

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 12;
/// The window both sides of a stream start with, before any update (Yamux specification, "Flow Control").
pub(super) const INITIAL_WINDOW: u32 = 256 * 1024;

/// What a frame is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Data,
    WindowUpdate,
    Ping,
    GoAway,
}

/// The flag bits of a frame; unknown ones are ignored, as every known implementation does.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Flags(u16);

impl Flags {
    pub(super) const NONE: Flags = Flags(0);
    pub(super) const SYN: Flags = Flags(1);
    pub(super) const ACK: Flags = Flags(2);
    pub(super) const FIN: Flags = Flags(4);
    pub(super) const RST: Flags = Flags(8);
    const KNOWN: u16 = 15;

    pub(super) const fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub(super) const fn with(self, flag: Flags) -> Flags {
        Flags(self.0 | flag.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 & Self::KNOWN == 0
    }
}

/// One frame's header.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) flags: Flags,
    pub(super) id: u32,
    pub(super) length: u32,
}

impl Header {
    pub(super) const fn new(kind: Kind, flags: Flags, id: u32, length: u32) -> Self {
        Header { kind, flags, id, length }
    }

    /// Data without data or flags: it says nothing of any stream.
    pub(super) const fn is_nothing(self) -> bool {
        matches!(self.kind, Kind::Data) && self.length == 0 && self.flags.is_empty()
    }

    pub(super) const fn encode(self) -> [u8; HEADER_BYTES] {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::WindowUpdate => 1,
            Kind::Ping => 2,
            Kind::GoAway => 3,
        };
        let [f0, f1] = self.flags.0.to_be_bytes();
        let [i0, i1, i2, i3] = self.id.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [0, kind, f0, f1, i0, i1, i2, i3, l0, l1, l2, l3]
    }

    pub(super) const fn decode(raw: [u8; HEADER_BYTES]) -> Result<Header, MuxError> {
        let [version, kind, f0, f1, i0, i1, i2, i3, l0, l1, l2, l3] = raw;
        if version != 0 {
            return Err(MuxError::BadVersion(version));
        }
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::WindowUpdate,
            2 => Kind::Ping,
            3 => Kind::GoAway,
            // Nothing says whether an unknown type has a payload, so it cannot be skipped.
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
        for kind in [Kind::Data, Kind::WindowUpdate, Kind::Ping, Kind::GoAway] {
            let header = Header::new(kind, Flags::SYN.with(Flags::FIN), 0xDEAD_BEEF, 0x0102_0304);
            assert_eq!(Header::decode(header.encode()), Ok(header));
        }
    }
}
