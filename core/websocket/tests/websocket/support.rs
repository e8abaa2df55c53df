//! Frames by hand, and what a connection makes of them. It shares no code with the crate.

use hvym_websocket::{BinaryDelivery, DecodeEvent, Decoder, Input, ProtocolError, Received, WebSocket};

/// First bytes of frames: FIN and opcode.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
/// The same without FIN.
pub(crate) const TEXT_BEGINS: u8 = 0x01;
pub(crate) const BINARY_BEGINS: u8 = 0x02;
pub(crate) const GOES_ON: u8 = 0x00;
pub(crate) const ENDS: u8 = 0x80;

/// Which end a connection is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Client,
    Server,
}

/// The largest message of the tests.
pub(crate) const LIMIT: usize = 16 * 1024 * 1024;
pub(crate) const KEY: [u8; 4] = [0x11, 0x00, 0xfe, 0x7b];

/// A frame to `role`: from a client with a mask, from a server without.
pub(crate) fn frame_to(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let mask_bit = if role == Role::Server { 0x80 } else { 0 };
    match payload.len() {
        n if n < 126 => frame.push(mask_bit | n as u8),
        n if n < 65536 => {
            frame.push(mask_bit | 126);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(mask_bit | 127);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    if role == Role::Server {
        frame.extend(KEY);
        frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        frame.extend(payload);
    }
    frame
}

/// A frame from a client.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_to(Role::Server, first, payload)
}

/// What came out of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    /// The beginning of a text that was too large.
    Oversized(Vec<u8>),
    /// It answered a ping.
    Pong(Vec<u8>),
    /// The peer closed.
    Closed(u16, String),
    /// It closes, or answers a close.
    Closes(Vec<u8>),
    Error(ProtocolError),
}

pub(crate) fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

pub(crate) fn connection(role: Role) -> WebSocket {
    match role {
        Role::Client => WebSocket::client([3; 32], LIMIT),
        Role::Server => WebSocket::server(LIMIT),
    }
}

/// Everything that `connection` has to write, as its peer decodes it.
pub(crate) fn written(role: Role, connection: &mut WebSocket) -> Vec<Seen> {
    let mut decoder = match role {
        Role::Client => Decoder::server(LIMIT),
        Role::Server => Decoder::client(LIMIT),
    };
    let (mut seen, mut wire) = (Vec::new(), Vec::new());
    // A pong may wait behind what is written.
    while connection.queued_bytes() > 0 {
        let taken: Vec<u8> = connection.slices().flatten().copied().collect();
        assert_eq!(taken.len(), connection.queued_bytes());
        connection.advance(taken.len());
        wire.extend(taken);
    }
    let mut at = 0;
    loop {
        let decoded = decoder.decode(&mut wire[at..]).expect("its own frames are right");
        let here = at;
        at += decoded.used;
        match decoded.event {
            Some(DecodeEvent::Data { kind, range, end }) => {
                assert!(end, "the test's messages are written at once");
                let data = wire[here + range.start..here + range.end].to_vec();
                seen.push(match kind {
                    hvym_websocket::Kind::Text => Seen::Text(String::from_utf8(data).expect("UTF-8")),
                    hvym_websocket::Kind::Binary => Seen::Binary(data),
                });
            }
            Some(DecodeEvent::Pong) => seen.push(Seen::Pong(decoder.control_payload().to_vec())),
            Some(DecodeEvent::Close(_)) => seen.push(Seen::Closes(decoder.control_payload().to_vec())),
            Some(DecodeEvent::Ping) => panic!("it never pings"),
            Some(DecodeEvent::Oversized { .. }) => panic!("what it writes is small"),
            None => return seen,
        }
    }
}

/// What the end that is `role` makes of `pieces`, each of which is one read.
pub(crate) fn receive<'a>(
    role: Role,
    delivery: BinaryDelivery,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Seen> {
    let mut connection = connection(role);
    connection.set_binary_delivery(delivery);
    let mut seen = Vec::new();
    for piece in pieces {
        let mut input = Input::new(piece.to_vec());
        loop {
            match connection.read(&mut input) {
                Ok(Some(Received::Text(data))) => {
                    seen.push(Seen::Text(String::from_utf8(data.to_vec()).expect("a text is UTF-8")));
                }
                Ok(Some(Received::Binary(data))) => seen.push(Seen::Binary(data.to_vec())),
                Ok(Some(Received::Oversized(head))) => seen.push(Seen::Oversized(head.to_vec())),
                Ok(Some(Received::Close(close))) => seen.push(Seen::Closed(close.code, close.reason)),
                Ok(None) => break,
                Err(error) => {
                    seen.push(Seen::Error(error));
                    return seen;
                }
            }
            // In the order of things, and so that no pong is replaced by a newer one.
            seen.extend(written(role, &mut connection));
        }
        assert!(input.is_empty(), "everything is decoded");
        seen.extend(written(role, &mut connection));
    }
    seen
}

/// The same of a server, for `frames` in one read, in a read for each frame, and in a read for each byte.
pub(crate) fn serve(frames: &[Vec<u8>]) -> Vec<Seen> {
    let all = frames.concat();
    let at_once = receive(Role::Server, BinaryDelivery::Messages, [&all[..]]);
    let by_frame = receive(Role::Server, BinaryDelivery::Messages, frames.iter().map(|frame| &frame[..]));
    let by_byte = receive(Role::Server, BinaryDelivery::Messages, all.chunks(1));
    // Of several pings in one read only the newest is answered.
    let without_pongs = |seen: &[Seen]| -> Vec<Seen> {
        seen.iter().filter(|seen| !matches!(seen, Seen::Pong(_))).cloned().collect()
    };
    assert_eq!(without_pongs(&at_once), without_pongs(&by_frame));
    assert_eq!(by_frame, by_byte);
    by_frame
}
