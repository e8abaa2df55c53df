//! Visitors: honest ones, whose every answer is checked, and those that are slow, stalled, rude or hostile.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hvym_http1::{Event, ResponseHead, ResponseReader};
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::Instant;

use crate::line::{LineConfig, Pipe, PipeEnd, Received};
use crate::service::body_byte;

/// How a visitor behaves.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum VisitorKind {
    /// Asks, reads, waits, asks again.
    Honest,
    /// Reads this many bytes a second.
    Slow(u64),
    /// Asks for much and reads nothing.
    Stalled,
    /// Breaks off.
    Aborting,
    /// Logs in, and lets its body be taken for requests.
    Hostile,
    /// Sends what is no HTTP.
    Garbage,
    /// Sends its body a byte at a time.
    Dribbling,
}

/// A request under way.
struct Asked {
    tag: String,
    method: &'static str,
    size: u64,
    user: String,
    since: Instant,
    reader: ResponseReader,
    head: Option<ResponseHead>,
    got: u64,
}

/// What became of a request of an honest visitor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Answered,
    /// An error of the relay, with this status.
    Refused(u16),
    /// The connection ended before the answer.
    Cut,
}

/// A visitor and its connection.
pub(crate) struct Visitor {
    // Fields: who it is, its connection, and its request under way.
    pub(crate) kind: VisitorKind,
    pub(crate) number: usize,
    /// The agent and the service that it visits.
    pub(crate) target: usize,
    pub(crate) pipe: Option<Pipe>,
    rng: Rng,
    line: LineConfig,
    asked: Option<Asked>,
    unsent: Bytes,
    /// When it acts next by itself.
    pub(crate) acts_at: Option<Instant>,
    input: BytesMut,
    /// Requests so far.
    pub(crate) count: u64,
    outcomes: Vec<(Instant, Outcome)>,
}

/// An honest visitor waits so long between requests.
const THINKS_MS: u64 = 2000;
/// Bytes that an honest visitor asks for at most.
pub(crate) const HONEST_BYTES: u64 = 64 * 1024;

impl Visitor {
    pub(crate) fn new(
        kind: VisitorKind,
        number: usize,
        target: usize,
        line: LineConfig,
        mut rng: Rng,
    ) -> Self {
        let acts_at = Some(Instant::from_micros(rng.next_u64() % 3_000_000));
        Self {
            kind,
            number,
            target,
            pipe: None,
            rng,
            line,
            asked: None,
            unsent: Bytes::new(),
            acts_at,
            input: BytesMut::new(),
            count: 0,
            outcomes: Vec::new(),
        }
    }

    /// Its next turn comes at `at`.
    pub(crate) fn wake_at(&mut self, at: Instant) {
        self.acts_at = Some(at);
    }

    /// Stops: no further request is made.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.acts_at = None;
        if let Some(pipe) = &mut self.pipe {
            pipe.reset(PipeEnd::Visitor, now);
        }
        self.forget();
    }

    /// The relay has ended the connection, which a visitor that does not read would never learn.
    pub(crate) fn on_gone(&mut self, now: Instant) {
        if self.kind == VisitorKind::Stalled {
            self.forget();
            self.acts_at = Some(now + Duration::from_secs(1));
        }
    }

    fn forget(&mut self) {
        (self.pipe, self.asked, self.unsent) = (None, None, Bytes::new());
        self.input.clear();
    }

    /// Since when a request has been under way.
    pub(crate) fn asks_since(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.since)
    }

    /// What became of its requests since this was asked last.
    pub(crate) fn outcomes(&mut self) -> Vec<(Instant, Outcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// Does what it does at `now`. Whether it opened a connection.
    pub(crate) fn turn(&mut self, now: Instant) -> bool {
        let mut opened = false;
        if self.acts_at.is_some_and(|at| at <= now) {
            self.acts_at = None;
            opened = self.act(now);
        }
        self.write(now);
        self.read(now);
        opened
    }

    fn act(&mut self, now: Instant) -> bool {
        match self.kind {
            VisitorKind::Slow(_) if self.asked.is_some() => {
                self.acts_at = Some(now + Duration::from_millis(100));
                return false;
            }
            VisitorKind::Dribbling if self.asked.is_some() => {
                self.unsent = Bytes::from_static(b"x");
                self.acts_at = Some(now + Duration::from_secs(1));
                return false;
            }
            VisitorKind::Aborting if self.asked.is_some() => {
                self.abort(now);
                self.acts_at = Some(now + Duration::from_millis(self.rng.next_u64() % 500));
                return false;
            }
            _ if self.asked.is_some() => return false,
            _ => {}
        }
        let opened = self.pipe.is_none();
        if opened {
            self.pipe = Some(Pipe::new(self.line));
        }
        self.ask(now);
        opened
    }

    fn ask(&mut self, now: Instant) {
        self.count += 1;
        let tag = format!("v{}r{}", self.number, self.count);
        let random = self.rng.next_u64();
        let (method, size, fields, body): (_, _, _, Vec<u8>) = match self.kind {
            VisitorKind::Honest => match random % 8 {
                0 => ("POST", 100, String::new(), vec![b'p'; (random >> 8) as usize % 20_000]),
                1 => ("HEAD", 1000, String::new(), Vec::new()),
                _ => ("GET", (random >> 8) % HONEST_BYTES, String::new(), Vec::new()),
            },
            VisitorKind::Slow(_) => ("GET", 2_000_000, String::new(), Vec::new()),
            VisitorKind::Stalled => ("GET", 20_000_000, String::new(), Vec::new()),
            VisitorKind::Aborting => ("GET", random >> 8 & 0xf_ffff, String::new(), Vec::new()),
            VisitorKind::Hostile => match random % 3 {
                0 => ("GET", 10, format!("Authorization: NTLM {tag}\r\n"), Vec::new()),
                1 => ("HEAD", 10, String::new(), Vec::new()),
                _ => ("POST", 10, String::new(), b"GET /smuggled/10 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
            },
            VisitorKind::Garbage => ("GET", 0, format!("X: {random}\nContent-Length: 1\r\n"), Vec::new()),
            VisitorKind::Dribbling => ("POST", 10, "Content-Length: 100000\r\n".to_owned(), Vec::new()),
        };
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let host = format!("a{}.relay.example", self.target);
        let head = format!("{method} /{tag}/{size} HTTP/1.1\r\nHost: {host}\r\n{fields}{length}\r\n");
        self.unsent = [head.as_bytes(), &body].concat().into();
        let user = if fields.starts_with("Auth") { tag.clone() } else { "-".to_owned() };
        let reader = ResponseReader::new(method);
        self.asked = Some(Asked { tag, method, size, user, since: now, reader, head: None, got: 0 });
        self.acts_at = match self.kind {
            VisitorKind::Slow(_) | VisitorKind::Dribbling => Some(now + Duration::from_millis(100)),
            VisitorKind::Aborting => Some(now + Duration::from_millis(random >> 32 & 1023)),
            _ => None,
        };
    }

    fn abort(&mut self, now: Instant) {
        if let Some(pipe) = &mut self.pipe {
            pipe.reset(PipeEnd::Visitor, now);
        }
        self.asked = None;
        self.unsent = Bytes::new();
        self.input.clear();
        self.pipe = None;
    }

    fn write(&mut self, now: Instant) {
        if let Some(pipe) = &mut self.pipe
            && !self.unsent.is_empty()
        {
            let count = pipe.send(PipeEnd::Visitor, &self.unsent, now);
            let _sent = self.unsent.split_to(count);
        }
    }

    fn read(&mut self, now: Instant) {
        let most = match self.kind {
            VisitorKind::Stalled => return,
            VisitorKind::Slow(rate) => (rate / 10) as usize,
            _ => usize::MAX,
        };
        let mut left = most;
        while left > 0 {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.receive(PipeEnd::Visitor, left, now) {
                Received::Nothing => return,
                Received::Data(data) => {
                    left = left.saturating_sub(data.len());
                    self.input.extend_from_slice(&data);
                    self.understand(now);
                }
                ending @ (Received::End | Received::Reset) => {
                    self.on_ending(matches!(ending, Received::End), now);
                    return;
                }
            }
        }
    }

    fn on_ending(&mut self, is_orderly: bool, now: Instant) {
        if let Some(mut asked) = self.asked.take() {
            let is_whole = is_orderly && matches!(asked.reader.handle_end(), Ok(Some(Event::End)));
            if is_whole {
                self.answered(asked, now);
            } else {
                self.finish(Outcome::Cut, now);
            }
        }
        if let Some(pipe) = &mut self.pipe {
            pipe.reset(PipeEnd::Visitor, now);
        }
        self.forget();
        self.again(now);
    }

    fn understand(&mut self, now: Instant) {
        let mut input = self.input.split().freeze();
        while let Some(asked) = &mut self.asked {
            match asked.reader.read(&mut input) {
                Ok(Some(Event::Head(head))) => asked.head = Some(head),
                Ok(Some(Event::Body(data))) => {
                    let is_ours = self.kind != VisitorKind::Hostile
                        && asked.head.as_ref().is_some_and(|head| head.status == 200);
                    for byte in data.iter().filter(|_| is_ours) {
                        assert_eq!(
                            *byte,
                            body_byte(&asked.tag, asked.got),
                            "{}: a byte of another answer",
                            asked.tag
                        );
                        asked.got += 1;
                    }
                }
                Ok(Some(Event::End)) => {
                    if let Some(asked) = self.asked.take() {
                        self.answered(asked, now);
                        self.again(now);
                    }
                }
                Ok(None) => break,
                Err(_) if self.kind == VisitorKind::Hostile => return self.on_ending(false, now),
                Err(error) => panic!("{}: an answer that is none: {error}", asked.tag),
            }
        }
        let is_free = self.asked.is_some() || self.kind == VisitorKind::Hostile;
        assert!(is_free || input.is_empty(), "an answer that nobody asked for: {input:?}");
        self.input.extend_from_slice(&input);
    }

    fn answered(&mut self, asked: Asked, now: Instant) {
        let head = asked.head.expect("an answer has a head");
        // What it left on a connection of its own is its own business.
        if self.kind == VisitorKind::Hostile {
            return;
        }
        if head.status != 200 {
            return self.finish(Outcome::Refused(head.status), now);
        }
        let field = |name| head.headers.first(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let (tag, user) = (field("x-tag"), field("x-user"));
        assert_eq!(tag.as_deref(), Some(&*asked.tag), "the answer of another");
        // A connection that is logged in stays the visitor's own.
        let is_own = user.as_deref().is_some_and(|user| {
            user == "-" || user == asked.user || user.starts_with(&format!("v{}r", self.number))
        });
        assert!(is_own, "{} is served as {user:?}", asked.tag);
        let size = if asked.method == "HEAD" { 0 } else { asked.size };
        assert_eq!(asked.got, size, "{}: an incomplete answer looks complete", asked.tag);
        self.finish(Outcome::Answered, now);
    }

    fn finish(&mut self, outcome: Outcome, now: Instant) {
        if self.kind == VisitorKind::Honest {
            self.outcomes.push((now, outcome));
        }
    }

    fn again(&mut self, now: Instant) {
        if self.kind != VisitorKind::Stalled {
            self.acts_at = Some(now + Duration::from_millis(self.rng.next_u64() % THINKS_MS));
        }
    }
}
