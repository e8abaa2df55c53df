//! The frames on the wire, read without the code under test.

/// A frame's header: `version u8 | type u8 | flags u16 | stream id u32 | length u32`, big endian.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// 0 in every Yamux.
    pub version: u8,
    /// [`DATA`], [`GRANT`], [`PING`] or [`GO_AWAY`].
    pub kind: u8,
    /// [`SYN`], [`ACK`], [`FIN`] and [`RST`].
    pub flags: u16,
    /// 0 is the session.
    pub id: u32,
    /// Payload, delta, value or code.
    pub length: u32,
}

/// A frame with payload.
pub const DATA: u8 = 0;
/// A window update.
pub const GRANT: u8 = 1;
/// A ping or its answer.
pub const PING: u8 = 2;
/// The end of a session.
pub const GO_AWAY: u8 = 3;
/// Opens.
pub const SYN: u16 = 1;
/// Acknowledges.
pub const ACK: u16 = 2;
/// Ends one half.
pub const FIN: u16 = 4;
/// Tears down.
pub const RST: u16 = 8;
/// The window of every stream at its start.
pub const WINDOW: u64 = 262_144;

impl Frame {
    /// A frame of version 0.
    pub const fn new(kind: u8, flags: u16, id: u32, length: u32) -> Self {
        Frame { version: 0, kind, flags, id, length }
    }

    /// Its twelve bytes.
    pub fn bytes(self) -> [u8; 12] {
        let mut raw = [0; 12];
        raw[0] = self.version;
        raw[1] = self.kind;
        raw[2..4].copy_from_slice(&self.flags.to_be_bytes());
        raw[4..8].copy_from_slice(&self.id.to_be_bytes());
        raw[8..12].copy_from_slice(&self.length.to_be_bytes());
        raw
    }

    /// The header and a payload of zeros, whole.
    pub fn with_payload(self) -> Vec<u8> {
        let mut raw = self.bytes().to_vec();
        raw.resize(12 + self.length as usize, 0);
        raw
    }

    /// Whether it carries this flag.
    pub fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    fn parse(raw: [u8; 12]) -> Self {
        let word = |at: usize| u32::from_be_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        Frame {
            version: raw[0],
            kind: raw[1],
            flags: u16::from_be_bytes([raw[2], raw[3]]),
            id: word(4),
            length: word(8),
        }
    }
}

/// What a [`Lens`] sees.
#[derive(Debug)]
pub enum Piece<'a> {
    /// A header, complete.
    Header(Frame),
    /// Some of the payload of this stream.
    Payload(u32, &'a [u8]),
}

/// Reads frames from bytes that are cut anywhere.
#[derive(Clone, Debug, Default)]
pub struct Lens {
    raw: [u8; 12],
    have: usize,
    left: usize,
    of: u32,
}

impl Lens {
    /// Shows `each` every header that completes and every piece of payload, in order.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Piece<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= payload.len();
                bytes = rest;
                each(Piece::Payload(self.of, payload))?;
                continue;
            }
            let n = bytes.len().min(12 - self.have);
            self.raw[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            bytes = &bytes[n..];
            if self.have == 12 {
                self.have = 0;
                let frame = Frame::parse(self.raw);
                if frame.kind == DATA {
                    (self.left, self.of) = (frame.length as usize, frame.id);
                }
                each(Piece::Header(frame))?;
            }
        }
        Ok(())
    }

    /// The payload of stream `id` that its last header has announced and that is still to come, bytes.
    pub fn announced(&self, id: u32) -> usize {
        if self.of == id { self.left } else { 0 }
    }

    /// Whether the bytes so far end between two frames.
    pub fn is_whole(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

/// Every frame in `bytes`, which must be whole.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let (all, whole) = collect(bytes);
    assert!(whole, "the bytes end within a frame");
    all
}

/// Every frame in `bytes`, which may end anywhere: a recording of a peer that was cut off.
pub fn frames_so_far(bytes: &[u8]) -> Vec<Frame> {
    collect(bytes).0
}

fn collect(bytes: &[u8]) -> (Vec<Frame>, bool) {
    let mut all = Vec::new();
    let mut lens = Lens::default();
    lens.feed(bytes, |piece| {
        if let Piece::Header(frame) = piece {
            all.push(frame);
        }
        Ok(())
    })
    .expect("collecting never fails");
    (all, lens.is_whole())
}
