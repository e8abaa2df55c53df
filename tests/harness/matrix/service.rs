//! The local service of every cell: each of its answers is known byte for byte, and it keeps what was sent to it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::apps::pattern;
use crate::door::Door;
use crate::http::{Conversation, Head, Origin, answer};

/// What `/gzip` says, before it is compressed.
pub const PLAIN: &[u8] = b"what is compressed here stays compressed\n";
/// [`PLAIN`] a hundred times, compressed. `/gzip` says it so to those who take that, `/gzip-always` to all, as a file
/// that lies there so.
pub const COMPRESSED: &[u8] = b"\
    \x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xca\xb1\t\0\x20\x0c\0\xc1\xde)\xb2\x9ah@\x0bQ\x92\x80\xb8\xbd\xad+\x08\
    \xdf\x1e\xb7[\x0e\xe9.e\x8ee\xea\xaeU\x9a\x9a\x8aG>\xaf\xa6M$\x12\x89D\"\x91H$\x12\x89D\"\xf1\xe7x\x01\xb7\
    \x12-r\x04\x10\0\0";
/// The fields of `/cookies`; one has a comma of its own.
pub const COOKIES: [&str; 2] = ["a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT; HttpOnly"];
/// The size of a large body, bytes: more than one message may be toward some of the programs.
pub const LARGE: usize = 3 * 1024 * 1024;

/// Every byte there is, and more that is no text.
pub fn binary() -> Vec<u8> {
    (0..=u8::MAX).chain(pattern(5, 10_000)).collect()
}

/// A text of [`LARGE`] bytes that no two places of look alike.
pub fn large() -> Vec<u8> {
    let mut text = data_encoding::HEXLOWER.encode(&pattern(6, LARGE / 2)).into_bytes();
    // A line of a megabyte is a test of something else.
    text.iter_mut().skip(99).step_by(100).for_each(|byte| *byte = b'\n');
    text
}

/// A service; one that is no longer needed waits for the end of its process.
#[derive(Debug)]
pub struct Service {
    /// Where it listens, on this machine.
    pub port: u16,
    inside: Arc<Inside>,
    events: Sender<String>,
}

#[derive(Debug)]
struct Inside {
    name: String,
    kept: Mutex<Vec<u8>>,
    begun: Door,
    goes_on: Door,
    /// What `/events` says next.
    events: Mutex<Receiver<String>>,
}

impl Service {
    /// One that calls itself `name` at `/hello`.
    pub fn start(name: &str) -> Self {
        let (events, coming) = channel();
        let inside = Arc::new(Inside {
            name: name.to_owned(),
            kept: Mutex::default(),
            begun: Door::default(),
            goes_on: Door::default(),
            events: Mutex::new(coming),
        });
        let own = Arc::clone(&inside);
        let origin = Origin::start(move |connection| inside.serve(connection));
        Service { port: origin.port, inside: own, events }
    }

    /// The body that was last sent to `/keep`.
    pub fn kept(&self) -> Vec<u8> {
        std::mem::take(&mut self.inside.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens when somebody asks for `/slow`.
    pub fn slow_begun(&self) -> &Door {
        &self.inside.begun
    }

    /// Lets `/slow` answer.
    pub fn slow_goes_on(&self) {
        self.inside.goes_on.open();
    }

    /// One event more at `/events`; an empty one ends the answer.
    pub fn publish(&self, event: &str) {
        // Its service lives as long as the test.
        let _unheard = self.events.send(event.to_owned());
    }
}

impl Inside {
    fn serve(&self, mut connection: Conversation) -> io::Result<()> {
        loop {
            let head = connection.head()?;
            let body = connection.body(&head)?;
            let path = head.target().split('?').next().unwrap_or_default();
            match path {
                "/slow" => {
                    self.begun.open();
                    self.goes_on.pass();
                    connection.send(text("slow"))?;
                }
                "/events" => return self.tell(connection),
                // Until the other side has had enough.
                "/never" => return connection.rest().map(drop),
                _ => connection.send(self.answer(path, &head, body))?,
            }
        }
    }

    fn answer(&self, path: &str, head: &Head, body: Vec<u8>) -> Vec<u8> {
        match (head.method(), path) {
            ("GET", "/hello") => text(&format!("hello from {}", self.name)),
            ("POST", "/json") => answer("200 OK", &[("Content-Type", "application/json")], &body),
            ("POST", "/keep") => {
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = body;
                text("kept")
            }
            ("GET", "/binary") => {
                answer("200 OK", &[("Content-Type", "application/octet-stream")], &binary())
            }
            ("GET", "/large") => answer("200 OK", &[("Content-Type", "text/plain")], &large()),
            ("GET", "/gzip") if !head.all("accept-encoding").iter().any(|coding| coding.contains("gzip")) => {
                answer("200 OK", &[("Content-Type", "text/plain")], &PLAIN.repeat(100))
            }
            ("GET", "/gzip" | "/gzip-always") => {
                let fields = [("Content-Type", "text/plain"), ("Content-Encoding", "gzip")];
                answer("200 OK", &fields, COMPRESSED)
            }
            ("GET", "/cookies") => {
                let fields = COOKIES.map(|cookie| ("Set-Cookie", cookie));
                answer("200 OK", &[&[("Content-Type", "text/plain")], &fields[..]].concat(), b"cookies")
            }
            _ => answer("404 Not Found", &[("Content-Type", "text/plain")], b"no such thing"),
        }
    }

    fn tell(&self, mut connection: Conversation) -> io::Result<()> {
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events.iter().take_while(|event| !event.is_empty()) {
            connection.send(format!("data: {event}\n\n"))?;
        }
        Ok(())
    }
}

fn text(body: &str) -> Vec<u8> {
    answer("200 OK", &[("Content-Type", "text/plain")], body.as_bytes())
}
