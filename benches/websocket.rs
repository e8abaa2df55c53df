//! Messages over a WebSocket in memory, there and back, by our framing and by `tungstenite`.
//!
//! What a socket would carry is copied once between the two ends, as the system does.

use std::io::{self, Read, Write};

use bytes::Bytes;
use hvym_websocket::{Input, Received, WebSocket};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message};

const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Sends `messages` binary messages of `size` bytes from a client to a server and back, one after the other.
pub fn ours(size: usize, messages: usize) {
    let mut client = WebSocket::client([7; 32], MAX_MESSAGE_BYTES);
    let mut server = WebSocket::server(MAX_MESSAGE_BYTES);
    let mut buffer = Vec::new();
    for _ in 0..messages {
        client.send_binary(Bytes::from(vec![7; size]));
        let data = transfer(&mut client, &mut server, &mut buffer);
        server.send_binary(data);
        let data = transfer(&mut server, &mut client, &mut buffer);
        assert_eq!((data.len(), data.first()), (size, Some(&7)));
    }
}

/// Carries what `from` has to write to `to`, one read at a time, until a message is whole.
fn transfer(from: &mut WebSocket, to: &mut WebSocket, buffer: &mut Vec<u8>) -> Bytes {
    loop {
        let capacity = to.read_bytes();
        let mut space = std::mem::take(buffer);
        if space.capacity() != capacity {
            space = Vec::with_capacity(capacity);
        }
        for slice in from.slices() {
            let room = capacity - space.len();
            space.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        from.advance(space.len());
        let mut input = Input::new(space);
        let received = to.read(&mut input).expect("honest frames");
        *buffer = input.into_buffer();
        match received {
            Some(Received::Binary(data)) => return data,
            None => {}
            other => panic!("{other:?}"),
        }
    }
}

/// One end's view of a pipe in memory.
#[derive(Default)]
struct Pipe {
    incoming: Vec<u8>,
    taken: usize,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(self.incoming.len() - self.taken);
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buf[..n].copy_from_slice(&self.incoming[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same with `tungstenite`, whose buffers are as large.
pub fn theirs(size: usize, messages: usize) {
    let config = WebSocketConfig::default().read_buffer_size(64 * 1024);
    let end = |role| tungstenite::WebSocket::from_raw_socket(Pipe::default(), role, Some(config));
    let (mut client, mut server) = (end(Role::Client), end(Role::Server));
    for _ in 0..messages {
        client.send(Message::Binary(Bytes::from(vec![7; size]))).expect("there is room");
        let data = hand_over(&mut client, &mut server);
        server.send(Message::Binary(data)).expect("there is room");
        let data = hand_over(&mut server, &mut client);
        assert_eq!((data.len(), data.first()), (size, Some(&7)));
    }
}

fn hand_over(from: &mut tungstenite::WebSocket<Pipe>, to: &mut tungstenite::WebSocket<Pipe>) -> Bytes {
    let pipe = to.get_mut();
    pipe.incoming.clear();
    pipe.taken = 0;
    std::mem::swap(&mut pipe.incoming, &mut from.get_mut().outgoing);
    match to.read() {
        Ok(Message::Binary(data)) => data,
        Ok(other) => panic!("{other:?}"),
        Err(Error::Io(error)) => panic!("not whole: {error}"),
        Err(error) => panic!("{error}"),
    }
}
