//! A visitor of one public name, who may be told to give up early.

use std::io;
use std::time::Duration;

use crate::http::{Conversation, Head};

/// Where a visitor goes.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The door, on this machine.
    pub port: u16,
    /// What goes into `Host`.
    pub host: String,
    /// What comes before each path.
    pub prefix: String,
    /// How long nothing may come.
    pub patience: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status and fields.
    pub head: Head,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body, for a person; of a page what it is about.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
        title.map_or(&*text, |(title, _)| title).chars().take(300).collect()
    }
}

impl Visitor {
    /// Sends a request; the answer is still to come.
    ///
    /// # Errors
    /// The door is closed.
    pub fn begin(&self, method: &str, path: &str, fields: &[&str], body: &[u8]) -> io::Result<Conversation> {
        let mut connection = Conversation::dial(self.port);
        // An option of the connection, whichever end of it is asked.
        connection.writer().set_read_timeout(Some(self.patience))?;
        let length = format!("Content-Length: {}", body.len());
        let length = if method == "GET" { &[][..] } else { &[length.as_str()] };
        let target = format!("{}{path}", self.prefix);
        let head = crate::tunnel::request(&self.host, method, &target, &[fields, length].concat());
        connection.send(head)?;
        connection.send(body)?;
        Ok(connection)
    }

    /// Sends a request, and waits for the whole answer.
    ///
    /// # Errors
    /// None came, or not all of it.
    pub fn ask(&self, method: &str, path: &str, fields: &[&str], body: &[u8]) -> io::Result<Reply> {
        let mut connection = self.begin(method, path, fields, body)?;
        let head = connection.head()?;
        let body = connection.body(&head)?;
        Ok(Reply { head, body })
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// None came, or not all of it.
    pub fn get(&self, path: &str) -> io::Result<Reply> {
        self.ask("GET", path, &[], &[])
    }

    /// Which service says hello, or what came instead.
    pub fn greeting(&self) -> String {
        match self.get("/hello") {
            Ok(reply) if reply.head.status() == 200 => reply.text(),
            Ok(reply) => format!("{}: {}", reply.head.first, reply.text()),
            Err(error) => format!("no answer: {error}"),
        }
    }
}

/// A body that is read as it comes, in whichever framing.
#[derive(Debug)]
pub struct Feed {
    connection: Conversation,
    is_chunked: bool,
    seen: Vec<u8>,
}

impl Feed {
    /// The body behind `head`.
    pub fn new(connection: Conversation, head: &Head) -> Self {
        let is_chunked = head.field("transfer-encoding").is_some();
        Feed { connection, is_chunked, seen: Vec::new() }
    }

    /// Reads until `words` have come.
    ///
    /// # Errors
    /// They do not.
    pub fn until(&mut self, words: &str) -> io::Result<()> {
        while !self.seen.windows(words.len()).any(|window| window == words.as_bytes()) {
            let more = if self.is_chunked { self.connection.chunk()? } else { self.connection.take(1)? };
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.seen.extend(more);
        }
        Ok(())
    }

    /// Reads to the end, and returns all that ever came.
    ///
    /// # Errors
    /// The end is none.
    pub fn rest(mut self) -> io::Result<Vec<u8>> {
        let more = if self.is_chunked { self.connection.chunks()?.0 } else { self.connection.rest()? };
        self.seen.extend(more);
        Ok(self.seen)
    }
}
