//! Services: small HTTP/1.1 servers, some with the faults of real ones, and one that returns what it gets.
//!
//! A target is `/TAG/BYTES`. The answer names the tag, and its body repeats it, so that whoever gets another's answer sees it.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hvym_http1::{Event, RequestHead, RequestReader};
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::Instant;

/// The name of the HTTP service of each agent.
pub(crate) const WEB: &str = "web";
/// The name of its TCP service.
pub(crate) const TCP: &str = "tcp";

/// The tag of an answer that nobody asked for.
const UNSOLICITED: &str = "unasked";

/// How a service behaves.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum ServiceKind {
    Honest,
    /// It logs in the connection instead of the request, as NTLM does.
    ConnectionLogin,
    /// It does not read bodies: their bytes are its next request.
    IgnoresBodies,
    /// It sends a body after the head of an answer to `HEAD`.
    HeadWithBody,
    /// It sends answers that nobody asked for, with others.
    Unsolicited,
}

impl ServiceKind {
    pub(crate) const ALL: [ServiceKind; 5] = [
        ServiceKind::Honest,
        ServiceKind::ConnectionLogin,
        ServiceKind::IgnoresBodies,
        ServiceKind::HeadWithBody,
        ServiceKind::Unsolicited,
    ];
}

/// `count` bytes at `at` of the body for `tag`, which repeats it.
pub(crate) fn body(tag: &str, at: u64, count: usize) -> Vec<u8> {
    let skipped = (at % tag.len() as u64) as usize;
    let mut bytes = tag.repeat((skipped + count).div_ceil(tag.len())).into_bytes();
    bytes.truncate(skipped + count);
    bytes.drain(..skipped);
    bytes
}

/// An answer that is being sent.
struct Answer {
    head: Bytes,
    tag: String,
    at: u64,
    size: u64,
    is_chunked: bool,
    is_upgrade: bool,
}

/// One connection to a service.
pub(crate) struct Serving {
    kind: ServiceKind,
    reader: RequestReader,
    input: BytesMut,
    user: String,
    /// Answers, and when each begins.
    answers: VecDeque<(Instant, Answer)>,
    /// The last request, until it has been read.
    asked: Option<RequestHead>,
    has_ended: bool,
    /// What it does with a peer that it does not understand.
    is_broken: bool,
    /// What is to be returned, once it does nothing else.
    echo: Option<VecDeque<Bytes>>,
}

/// Pieces that may wait to be returned.
const MAX_ECHO: usize = 16;
/// Bytes of a body that are made at once.
const BLOCK: u64 = 16 * 1024;

impl Serving {
    pub(crate) fn new(kind: ServiceKind) -> Self {
        Self {
            kind,
            reader: RequestReader::new(),
            input: BytesMut::new(),
            user: "-".to_owned(),
            answers: VecDeque::new(),
            asked: None,
            has_ended: false,
            is_broken: false,
            echo: None,
        }
    }

    /// A connection to the service that returns what it gets.
    pub(crate) fn tcp() -> Self {
        Self { echo: Some(VecDeque::new()), ..Self::new(ServiceKind::Honest) }
    }

    /// Whether it takes more of a request: one at a time.
    pub(crate) fn wants_data(&self) -> bool {
        let has_room = self.echo.as_ref().is_none_or(|echo| echo.len() < MAX_ECHO);
        self.answers.is_empty() && !self.is_broken && !self.has_ended && has_room
    }

    pub(crate) fn handle_data(&mut self, data: &Bytes, rng: &mut Rng, now: Instant) {
        if let Some(echo) = &mut self.echo {
            return echo.push_back(data.clone());
        }
        self.input.extend_from_slice(data);
        self.read(rng, now);
    }

    pub(crate) fn handle_end(&mut self) {
        self.has_ended = true;
    }

    fn read(&mut self, rng: &mut Rng, now: Instant) {
        let mut input = self.input.split().freeze();
        while self.answers.is_empty() {
            match self.reader.read(&mut input) {
                Ok(Some(Event::Head(head))) if self.kind == ServiceKind::IgnoresBodies => {
                    self.reader = RequestReader::new();
                    self.answer(&head, rng, now);
                }
                Ok(Some(Event::Head(head))) => self.asked = Some(head),
                Ok(Some(Event::Body(_))) => {}
                Ok(Some(Event::End)) => {
                    if let Some(head) = self.asked.take() {
                        self.answer(&head, rng, now);
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    self.is_broken = true;
                    break;
                }
            }
        }
        self.input.extend_from_slice(&input);
    }

    fn answer(&mut self, request: &RequestHead, rng: &mut Rng, now: Instant) {
        if let Some(login) = request.headers.first("authorization")
            && self.kind == ServiceKind::ConnectionLogin
        {
            self.user = String::from_utf8_lossy(login).trim_start_matches("NTLM ").to_owned();
        }
        if request.headers.first("upgrade").is_some() {
            let head = Bytes::from_static(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            );
            let answer =
                Answer { head, tag: "none".to_owned(), at: 0, size: 0, is_chunked: false, is_upgrade: true };
            return self.answers.push_back((now, answer));
        }
        let mut parts = request.target.trim_start_matches('/').split('/');
        let (tag, size) = (parts.next().unwrap_or("none"), parts.next().and_then(|size| size.parse().ok()));
        let size: u64 = size.unwrap_or(0);
        let begins = now + Duration::from_millis(rng.next_u64() % 200);
        let is_chunked = tag.len() % 2 == 0 && request.method != "HEAD";
        let sent = if request.method == "HEAD" && self.kind != ServiceKind::HeadWithBody { 0 } else { size };
        self.push(tag, size, sent, is_chunked, begins);
        if self.kind == ServiceKind::Unsolicited && rng.next_u64().is_multiple_of(4) {
            self.push_unsolicited(begins);
        }
    }

    fn push(&mut self, tag: &str, size: u64, sent: u64, is_chunked: bool, begins: Instant) {
        let mut head = format!("HTTP/1.1 200 OK\r\nX-Tag: {tag}\r\nX-User: {}\r\n", self.user);
        let _infallible = if is_chunked {
            write!(head, "Transfer-Encoding: chunked\r\n\r\n")
        } else {
            write!(head, "Content-Length: {size}\r\n\r\n")
        };
        let tag = if tag.is_empty() { "none" } else { tag };
        let tag = tag.to_owned();
        let answer = Answer { head: head.into(), tag, at: 0, size: sent, is_chunked, is_upgrade: false };
        self.answers.push_back((begins, answer));
    }

    /// An answer that nobody asked for.
    fn push_unsolicited(&mut self, begins: Instant) {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
        let tag = UNSOLICITED.to_owned();
        let head = Bytes::from_static(head);
        let answer = Answer { head, tag, at: 0, size: 10, is_chunked: false, is_upgrade: false };
        self.answers.push_back((begins, answer));
    }

    /// When there is something to send.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.answers.front().map(|(at, _)| *at)
    }

    /// What it sends next.
    pub(crate) fn output(&mut self, rng: &mut Rng, now: Instant) -> Option<Bytes> {
        if let Some(echo) = &mut self.echo {
            return echo.pop_front();
        }
        let (begins, answer) = self.answers.front_mut()?;
        if *begins > now {
            return None;
        }
        if answer.is_upgrade {
            let rest = self.input.split().freeze();
            self.echo = Some(VecDeque::from_iter(Some(rest).filter(|rest| !rest.is_empty())));
            return self.answers.pop_front().map(|(_, answer)| answer.head);
        }
        if !answer.head.is_empty() {
            return Some(std::mem::take(&mut answer.head));
        }
        let count = (answer.size - answer.at).min(BLOCK);
        let mut out = Vec::new();
        if count > 0 {
            if answer.is_chunked {
                out.extend(format!("{count:x}\r\n").into_bytes());
            }
            out.extend(body(&answer.tag, answer.at, count as usize));
            if answer.is_chunked {
                out.extend(b"\r\n");
            }
            answer.at += count;
        }
        if answer.at == answer.size {
            if answer.is_chunked {
                out.extend(b"0\r\n\r\n");
            }
            self.answers.pop_front();
            if self.answers.front().is_some_and(|(_, answer)| answer.tag == UNSOLICITED) {
                // An agent reads it behind the answer, and passes it to nobody: what is asked next goes over another connection.
                self.answers.clear();
                self.user = "-".to_owned();
            }
            if self.answers.is_empty() {
                self.read(rng, now);
            }
        }
        Some(out.into())
    }

    /// Whether it ends its half: nothing more will be asked, and everything is answered.
    pub(crate) fn is_finished(&self) -> bool {
        let has_returned = self.echo.as_ref().is_none_or(VecDeque::is_empty);
        self.answers.is_empty() && has_returned && (self.has_ended || self.is_broken)
    }
}

/// What was not taken, and is sent first.
#[derive(Default)]
pub(crate) struct Unsent(Bytes);

impl Unsent {
    pub(crate) fn get(&mut self) -> &mut Bytes {
        &mut self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.0.has_remaining()
    }
}
