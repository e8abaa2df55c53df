//! HTTP/1.1 by hand over one TCP connection, for visitors and local services alike.
//!
//! It corrects nothing and hides nothing: what a test writes is what travels, and what arrives is what it sees.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

use rustix::net::sockopt::set_socket_linger;

use crate::program::PATIENCE;

/// Fields in their order; names as they were written.
pub type Fields = Vec<(String, String)>;

/// The head of a request or response, as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The request line or status line.
    pub first: String,
    /// The fields.
    pub fields: Fields,
}

impl Head {
    /// The status code of a response.
    ///
    /// # Panics
    /// When it is none.
    pub fn status(&self) -> u16 {
        let code = self.first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        code.unwrap_or_else(|| panic!("no status line: {self:?}"))
    }

    /// The method of a request.
    pub fn method(&self) -> &str {
        self.first.split(' ').next().unwrap_or_default()
    }

    /// The target of a request.
    pub fn target(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    /// Every value of the field `name`, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of the field `name`.
    ///
    /// # Panics
    /// When there are several.
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "several {name}: {self:?}");
        all.first().copied()
    }
}

/// One TCP connection, seen from one of its ends. Nothing waits longer than [`PATIENCE`].
#[derive(Debug)]
pub struct Conversation {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Conversation {
    /// A connection to this port of this machine.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn dial(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody listens");
        Self::over(stream)
    }

    /// Over a connection that a test made itself.
    ///
    /// # Panics
    /// When it is gone already.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a fresh connection can be tuned");
        stream.set_read_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
        stream.set_write_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
        let writer = stream.try_clone().expect("a connection can be written from elsewhere");
        Conversation { reader: BufReader::with_capacity(256 * 1024, stream), writer }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// The other side is gone, or does not read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.writer.write_all(bytes.as_ref())
    }

    /// Says that nothing more will be written.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn finish(&mut self) -> io::Result<()> {
        self.writer.shutdown(Shutdown::Write)
    }

    /// Ends both halves at once, as a process does that crashes: the other side sees a reset.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn reset(self) {
        set_socket_linger(&self.writer, Some(std::time::Duration::ZERO)).expect("an option of every socket");
    }

    /// A second end for writing, for a test that reads meanwhile.
    ///
    /// # Panics
    /// When the system has no room for it.
    pub fn writer(&self) -> TcpStream {
        self.writer.try_clone().expect("a connection can be written from elsewhere")
    }

    /// The next head.
    ///
    /// # Errors
    /// The connection ended, or broke, before it was whole.
    pub fn head(&mut self) -> io::Result<Head> {
        let first = self.line()?;
        Ok(Head { first, fields: self.fields()? })
    }

    fn fields(&mut self) -> io::Result<Fields> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// The connection ended, or broke, before it was whole.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let whole = line.strip_suffix('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(whole.trim_end_matches('\r').to_owned())
    }

    /// The whole body that `head` announces, in whichever framing.
    ///
    /// # Errors
    /// The connection ended, or broke, before it was whole.
    pub fn body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        if head.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.chunks().map(|(body, _)| body);
        }
        match head.field("content-length") {
            Some(length) => self.take(length.parse().map_err(|_| io::ErrorKind::InvalidData)?),
            None if head.first.starts_with("HTTP/") => self.rest(),
            None => Ok(Vec::new()),
        }
    }

    /// All chunks of a body in one, and the trailers after them.
    ///
    /// # Errors
    /// The connection ended, or broke, before the last chunk.
    pub fn chunks(&mut self) -> io::Result<(Vec<u8>, Fields)> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok((body, self.fields()?));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The next chunk of a body; the last is empty, and trailers come after it.
    ///
    /// # Errors
    /// The connection ended, or broke, before it was whole.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let chunk = self.take(size)?;
        if size > 0 && !self.line()?.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(chunk)
    }

    /// Exactly this many bytes.
    ///
    /// # Errors
    /// The connection ended, or broke, before.
    pub fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Exactly as many bytes as there is room for.
    ///
    /// # Errors
    /// The connection ended, or broke, before.
    pub fn fill(&mut self, room: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(room)
    }

    /// Everything until the other side ends.
    ///
    /// # Errors
    /// The connection broke.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A local service whose every byte the test decides. It lives until the test process ends.
#[derive(Copy, Clone, Debug)]
pub struct Origin {
    /// Where it listens, on this machine.
    pub port: u16,
}

impl Origin {
    /// Serves each connection on a thread of its own. A connection that breaks is the test's to notice elsewhere.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(serve: impl Fn(Conversation) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let serve = std::sync::Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serve = std::sync::Arc::clone(&serve);
                std::thread::spawn(move || drop(serve(Conversation::over(stream))));
            }
        });
        Origin { port }
    }

    /// Answers every request with what `answer` makes of its head and body.
    pub fn answering(answer: impl Fn(&Head, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |mut connection| {
            loop {
                let head = connection.head()?;
                let body = connection.body(&head)?;
                connection.send(answer(&head, body))?;
            }
        })
    }

    /// Sends back what comes, until it ends.
    pub fn echo() -> Self {
        Self::start(|connection| {
            let (mut from, mut to) = (connection.writer(), connection.writer());
            io::copy(&mut from, &mut to)?;
            to.shutdown(Shutdown::Write)
        })
    }

    /// Answers every request with 200 and these bytes.
    pub fn saying(bytes: &'static [u8]) -> Self {
        Self::answering(|_, _| ok(bytes))
    }
}

/// A plain answer with this body.
pub fn ok(body: &[u8]) -> Vec<u8> {
    answer("200 OK", &[], body)
}

/// An answer with this status, these fields and this body.
pub fn answer(status: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for (name, value) in fields {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A port of this machine where nobody listens.
///
/// # Panics
/// When there is no free port.
pub fn nobody() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
