//! Visitors who speak HTTP/2 frame by frame (RFC 9113), so that they may do what no library would.

use std::io;
use std::net::TcpStream;

use crate::http::Conversation;

/// A kind of frame: bytes of a body.
pub const DATA: u8 = 0;
/// A kind of frame: a head.
pub const HEADERS: u8 = 1;
/// A kind of frame: the end of a stream before its time.
pub const RST_STREAM: u8 = 3;
/// A kind of frame: what a side grants.
pub const SETTINGS: u8 = 4;
/// A kind of frame: the end of a connection.
pub const GOAWAY: u8 = 7;

/// A flag: nothing follows on this stream.
pub const END_STREAM: u8 = 1;
/// A flag: the head is whole.
pub const END_HEADERS: u8 = 4;

/// One frame as it came.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What it is.
    pub kind: u8,
    /// Which stream it belongs to; zero is the connection.
    pub stream: u32,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// One connection of HTTP/2, by hand.
#[derive(Debug)]
pub struct Frames(Conversation);

impl Frames {
    /// To this port of this machine. `window` is what each stream may be sent.
    ///
    /// # Panics
    /// When nobody reads there.
    pub fn dial(port: u16, window: u32) -> Self {
        let mut frames = Frames(Conversation::dial(port));
        frames.0.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the relay reads");
        let initial_window = [&[0, 4][..], &window.to_be_bytes()].concat();
        frames.send(SETTINGS, 0, 0, &initial_window).expect("the relay reads");
        frames
    }

    /// A second end for writing.
    pub fn writer(&self) -> TcpStream {
        self.0.writer()
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// The other side is gone, or does not read.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.0.send(frame(kind, flags, stream, payload))
    }

    /// The next frame.
    ///
    /// # Errors
    /// The connection ended.
    pub fn frame(&mut self) -> io::Result<Frame> {
        let head = self.0.take(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok(Frame { kind: head[3], stream, payload: self.0.take(length)? })
    }

    /// The next frame of this kind; others are passed over.
    ///
    /// # Errors
    /// The connection ended before.
    pub fn wait_for(&mut self, kind: u8) -> io::Result<Frame> {
        loop {
            let frame = self.frame()?;
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }
}

/// A frame as it travels.
///
/// # Panics
/// When the payload is far too long.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a GET as HPACK without compression (RFC 7541); names must be lower case.
///
/// # Panics
/// When a text is longer than 126 bytes.
pub fn get(authority: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // Indexed: :method GET.
    head(0x82, authority, path, fields)
}

/// The same for a POST.
///
/// # Panics
/// When a text is longer than 126 bytes.
pub fn post(authority: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // Indexed: :method POST.
    head(0x83, authority, path, fields)
}

fn head(method: u8, authority: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // Indexed: :scheme http.
    let mut block = vec![method, 0x86];
    let literal = |block: &mut Vec<u8>, name: &str, value: &str| {
        block.push(0x00);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|n| *n < 127).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    };
    literal(&mut block, ":path", path);
    literal(&mut block, ":authority", authority);
    fields.iter().for_each(|(name, value)| literal(&mut block, name, value));
    block
}
