//! Recorded Yamux bytes as frames, read by other code than the one under test.

/// Flag bits, as on the wire.
pub const SYN: u16 = 1;
/// See [`SYN`].
pub const ACK: u16 = 2;
/// See [`SYN`].
pub const FIN: u16 = 4;
/// See [`SYN`].
pub const RST: u16 = 8;

/// Frame types, as on the wire.
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const WINDOW_UPDATE: u8 = 1;
/// See [`DATA`].
pub const PING: u8 = 2;
/// See [`DATA`].
pub const GO_AWAY: u8 = 3;

/// One frame; its payload, if any, is left out.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// See [`DATA`].
    pub kind: u8,
    /// See [`SYN`].
    pub flags: u16,
    /// The stream, 0 for none.
    pub id: u32,
    /// Payload bytes, or what the type makes of it.
    pub length: u32,
}

/// All whole frames in `bytes`, in their order.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut all = Vec::new();
    while let Some((&[_, kind, f0, f1, i0, i1, i2, i3, l0, l1, l2, l3], rest)) =
        bytes.split_first_chunk::<12>()
    {
        let frame = Frame {
            kind,
            flags: u16::from_be_bytes([f0, f1]),
            id: u32::from_be_bytes([i0, i1, i2, i3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        };
        all.push(frame);
        let payload = if kind == DATA { frame.length as usize } else { 0 };
        bytes = rest.get(payload..).unwrap_or_default();
    }
    all
}

/// How many frames carry `flag`.
pub fn flagged(frames: &[Frame], flag: u16) -> usize {
    frames.iter().filter(|frame| frame.kind <= WINDOW_UPDATE && frame.flags & flag != 0).count()
}
