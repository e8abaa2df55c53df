//! Fuzz targets of the WebSocket framing: by itself, and beside `tungstenite`.
//!
//! The first byte of an input chooses the end that receives and how; what follows is what its peer sends.

use std::io::{self, Cursor, Read, Write};

use bytes::Bytes;
use hvym_websocket::{BinaryDelivery, Input, MAX_CONTROL_BYTES, ProtocolError, Received, WebSocket};
use hvym_yamux_testing::corpus::Seed;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message};

/// The largest message of both targets.
const LIMIT: usize = 1000;

/// What an end received.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Heard {
    Text(Bytes),
    Binary(Bytes),
    Close(u16, String),
}

struct Reading {
    heard: Vec<Heard>,
    error: Option<ProtocolError>,
}

fn end(is_client: bool) -> WebSocket {
    if is_client { WebSocket::client([7; 32], LIMIT) } else { WebSocket::server(LIMIT) }
}

/// What an end makes of `pieces`, each of which is one read. Its peer reads nothing.
fn receive<'a>(is_client: bool, delivery: BinaryDelivery, pieces: impl Iterator<Item = &'a [u8]>) -> Reading {
    let mut websocket = end(is_client);
    websocket.set_binary_delivery(delivery);
    let mut heard = Vec::new();
    for piece in pieces {
        assert!(websocket.read_bytes() > 0, "a read asks for something");
        let mut input = Input::new(piece.to_vec());
        loop {
            // Two pongs and a close with their headers, whatever comes in.
            assert!(websocket.queued_bytes() <= 3 * (MAX_CONTROL_BYTES + 6), "answers pile up");
            match websocket.read(&mut input) {
                Ok(Some(Received::Text(text))) => {
                    assert!(std::str::from_utf8(&text).is_ok(), "a text is UTF-8");
                    heard.push(Heard::Text(text));
                }
                Ok(Some(Received::Binary(data))) => heard.push(Heard::Binary(data)),
                Ok(Some(Received::Oversized(_))) => panic!("what is too large is refused here"),
                Ok(Some(Received::Close(close))) => {
                    assert!(websocket.is_closed(), "a close is answered");
                    heard.push(Heard::Close(close.code, close.reason));
                }
                Ok(None) => break,
                Err(error) => return Reading { heard, error: Some(error) },
            }
        }
        assert!(input.is_empty(), "all input is decoded");
    }
    let sizes = heard.iter().map(|heard| match heard {
        Heard::Text(data) | Heard::Binary(data) => data.len(),
        Heard::Close(_, reason) => reason.len(),
    });
    assert!(sizes.max().unwrap_or(0) <= LIMIT, "a message is larger than the limit");
    Reading { heard, error: None }
}

/// Neighbouring pieces of binary messages joined.
fn joined(heard: Vec<Heard>) -> Vec<Heard> {
    let mut all: Vec<Heard> = Vec::new();
    for one in heard {
        match (all.last_mut(), one) {
            (Some(Heard::Binary(last)), Heard::Binary(data)) => *last = [&last[..], &data].concat().into(),
            (_, one) => all.push(one),
        }
    }
    all
}

/// Any bytes mean the same however they are cut, and make nothing pile up.
///
/// # Panics
/// When a rule is broken.
pub fn frames(data: &[u8]) {
    let [choice, cut, wire @ ..] = data else { return };
    let (is_client, cut) = (choice & 1 == 1, usize::from(*cut) + 1);
    for delivery in [BinaryDelivery::Messages, BinaryDelivery::Pieces] {
        let whole = receive(is_client, delivery, [wire].into_iter());
        let (whole, error) = (joined(whole.heard), whole.error);
        for size in [1, cut] {
            let pieces = receive(is_client, delivery, wire.chunks(size));
            assert_eq!((joined(pieces.heard), pieces.error), (whole.clone(), error), "cut into {size}");
        }
    }
}

/// A connection that brings `input` and then ends, and takes everything.
struct Replay(Cursor<Vec<u8>>);

impl Read for Replay {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Replay {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `tungstenite` hears at the same end; whether it found an error.
fn heard_by_tungstenite(is_client: bool, wire: &[u8]) -> (Vec<Heard>, bool) {
    let config = WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
    let role = if is_client { Role::Client } else { Role::Server };
    let replay = Replay(Cursor::new(wire.to_vec()));
    let mut socket = tungstenite::WebSocket::from_raw_socket(replay, role, Some(config));
    let mut heard = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => heard.push(Heard::Text(text.into())),
            Ok(Message::Binary(data)) => heard.push(Heard::Binary(data)),
            Ok(Message::Close(frame)) => {
                let (code, reason) = frame
                    .map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                heard.push(Heard::Close(code, reason));
                return (heard, false);
            }
            Ok(_) => {}
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return (heard, false);
            }
            Err(_) => return (heard, true),
        }
    }
}

/// `tungstenite` knows no 1014, which the registry of close codes has, and tells of a wrong code in its place.
fn as_tungstenite_says(heard: Heard) -> Heard {
    match heard {
        Heard::Close(1014, _) => Heard::Close(1002, "Protocol violation".to_owned()),
        heard => heard,
    }
}

/// What we hear, `tungstenite` hears too, and what it refuses, we refuse; what we send, it hears.
///
/// # Panics
/// When a rule is broken.
pub fn beside_tungstenite(data: &[u8]) {
    let Some((choice, wire)) = data.split_first() else { return };
    let is_client = choice & 1 == 1;
    let ours = receive(is_client, BinaryDelivery::Messages, [wire].into_iter());
    let (theirs, has_failed) = heard_by_tungstenite(is_client, wire);
    match ours.error {
        None => {
            let heard: Vec<Heard> = ours.heard.into_iter().map(as_tungstenite_says).collect();
            assert_eq!((heard, false), (theirs, has_failed), "both take it");
        }
        // It is less strict, and looks at a frame when it is complete.
        Some(error) => assert!(theirs.starts_with(&ours.heard), "{error}: {:?}, {theirs:?}", ours.heard),
    }
    let mut sender = end(is_client);
    let payload = Bytes::copy_from_slice(&wire[..wire.len().min(LIMIT)]);
    let mut expected = vec![Heard::Binary(payload.clone())];
    sender.send_binary(payload.clone());
    if std::str::from_utf8(&payload).is_ok() {
        sender.send_text(payload.clone());
        expected.push(Heard::Text(payload));
    }
    sender.close(4000 + u16::from(*choice), "why");
    expected.push(Heard::Close(4000 + u16::from(*choice), "why".to_owned()));
    let sent: Vec<u8> = sender.slices().flatten().copied().collect();
    assert_eq!(heard_by_tungstenite(!is_client, &sent), (expected, false), "it hears what we send");
}

/// Conversations that both targets begin with.
pub fn seeds() -> Vec<Seed> {
    let masked = |first: u8, payload: &[u8]| {
        let key = [9u8, 8, 7, 6];
        let masked = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        let head = match payload.len() {
            n if n < 126 => vec![first, 0x80 | n as u8],
            n => [&[first, 0x80 | 126][..], &(n as u16).to_be_bytes()].concat(),
        };
        [head, key.to_vec(), masked.collect()].concat()
    };
    let plain = |first: u8, payload: &[u8]| [&[first, payload.len() as u8][..], payload].concat();
    let to_server = [
        [masked(0x81, "héllo".as_bytes()), masked(0x82, &[0; 200]), masked(0x88, &[3, 232, b'b'])].concat(),
        [masked(0x01, b"frag"), masked(0x89, b"ping"), masked(0x00, b""), masked(0x80, b"ment")].concat(),
        [masked(0x81, b""), masked(0x8a, b""), masked(0x82, &[7; 1000]), masked(0x82, &[7; 1001])].concat(),
        [masked(0x01, &[0xce]), masked(0x80, &[0xba, 0xe1])].concat(),
        [masked(0x88, &[0x03]), masked(0x88, &[0x03, 0xed])].concat(),
        masked(0x88, "\u{3}\u{f0}é".as_bytes()),
        vec![0x82, 0xfe, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0, 0],
        vec![0xc1, 0x80, 0, 0, 0, 0],
        vec![0x83, 0x80, 0, 0, 0, 0],
        vec![0x09, 0x80, 0, 0, 0, 0],
        vec![0x81, 0x01, b'x'],
        vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
    ];
    let to_client = [
        [plain(0x81, b"text"), plain(0x02, &[1, 2]), plain(0x89, b""), plain(0x80, &[3]), plain(0x88, b"")]
            .concat(),
        [plain(0x80, b"x"), plain(0x81, b"y")].concat(),
        masked(0x81, b"masked"),
    ];
    let to_server = to_server.into_iter().map(|wire| (0u8, wire));
    let all = to_server.chain(to_client.into_iter().map(|wire| (1u8, wire)));
    all.zip(0..)
        .flat_map(|((choice, wire), n)| {
            let beside = [vec![choice], wire.clone()].concat();
            let alone = [vec![choice, 4], wire].concat();
            [
                ("f17_websocket", format!("conversation_{n}"), alone),
                ("f18_websocket_peers", format!("conversation_{n}"), beside),
            ]
        })
        .collect()
}
