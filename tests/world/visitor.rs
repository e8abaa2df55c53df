//! A visitor and its connection: what an honest one gets is checked to the last byte.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hvym_http1::{Event, ResponseHead, ResponseReader};
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::Instant;

use crate::line::{Pipe, PipeEnd, Received};
use crate::plan::VisitorPlan;
use crate::service::body;
use crate::talk::{Heard, Talk};
use crate::visitor_kind::VisitorKind;

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
    /// The connection ended before the answer to what had been asked then.
    Cut {
        since: Option<Instant>,
    },
}

/// What a visitor is about.
enum Business {
    Asked(Asked),
    Talk(Talk),
}

/// A visitor and its connection.
pub(crate) struct Visitor {
    // Fields: who it is, its connection, and its request under way.
    pub(crate) plan: VisitorPlan,
    pub(crate) pipe: Option<Pipe>,
    rng: Rng,
    business: Option<Business>,
    unsent: Bytes,
    /// When it acts next by itself.
    pub(crate) acts_at: Option<Instant>,
    input: BytesMut,
    /// Requests so far.
    pub(crate) count: u64,
    outcomes: Vec<(Instant, Outcome)>,
    /// When anything came last.
    moved: Instant,
    /// When it began to act.
    came: Instant,
}

/// An honest visitor waits so long between requests.
const THINKS_MS: u64 = 2000;
/// Bytes that an honest visitor asks for at most.
pub(crate) const HONEST_BYTES: u64 = 64 * 1024;
/// What is taken for the head in the bytes of a recorded message.
const HEAD_BYTES: u64 = 300;
/// Bytes of a large download, at least and at most.
const BULK_BYTES: (u64, u64) = (400_000, 1_000_000);

impl Visitor {
    pub(crate) fn new(plan: VisitorPlan) -> Self {
        Self {
            rng: Rng::new(plan.seed),
            plan,
            pipe: None,
            business: None,
            unsent: Bytes::new(),
            acts_at: None,
            input: BytesMut::new(),
            count: 0,
            outcomes: Vec::new(),
            moved: Instant::ZERO,
            came: Instant::ZERO,
        }
    }

    /// It comes at `at`.
    pub(crate) fn come_at(&mut self, at: Instant) {
        (self.came, self.acts_at) = (at, Some(at));
    }

    /// Its next turn comes at `at`.
    pub(crate) fn wake_at(&mut self, at: Instant) {
        self.acts_at = Some(at);
    }

    /// Stops: no further request is made.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.acts_at = None;
        self.hang_up(now);
    }

    /// The relay has ended the connection, which a visitor that does not read would never learn.
    pub(crate) fn on_gone(&mut self, now: Instant) {
        if self.plan.kind == VisitorKind::Stalled && self.pipe.is_some() {
            self.hang_up(now);
            self.acts_at = Some(now + Duration::from_secs(1));
        }
    }

    /// The relay takes no connection of it now.
    pub(crate) fn refused(&mut self, now: Instant) {
        self.hang_up(now);
        self.finish(Outcome::Refused(0), now);
        self.acts_at = Some(now + Duration::from_secs(1));
    }

    fn hang_up(&mut self, now: Instant) {
        if let Some(pipe) = &mut self.pipe {
            pipe.reset(PipeEnd::Visitor, now);
        }
        (self.pipe, self.business, self.unsent) = (None, None, Bytes::new());
        self.input.clear();
    }

    /// Since when it waits for something: all of a small answer, or any more of a large one.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        match self.business.as_ref().filter(|_| self.plan.kind.is_honest())? {
            Business::Asked(asked) if self.plan.kind == VisitorKind::Honest => Some(asked.since),
            Business::Asked(asked) => Some(asked.since.max(self.moved)),
            Business::Talk(talk) => talk.since,
        }
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
        let in_ms = |ms| Some(now + Duration::from_millis(ms));
        match (self.plan.kind, &mut self.business) {
            (VisitorKind::Traced, _) if now >= self.came + self.plan.leaves => {
                self.hang_up(now);
                return false;
            }
            (VisitorKind::Traced, None) if self.count as usize == self.plan.exchanges.len() => {
                self.acts_at = Some(self.came + self.plan.leaves);
                return false;
            }
            (_, None) => {}
            (VisitorKind::Crawling(_) | VisitorKind::Reader(_), Some(_)) => {
                self.acts_at = in_ms(100);
                return false;
            }
            (VisitorKind::Dribbling, Some(_)) => {
                self.unsent = Bytes::from_static(b"x");
                self.acts_at = in_ms(1000);
                return false;
            }
            (VisitorKind::Aborting, Some(_)) => {
                self.hang_up(now);
                self.acts_at = in_ms(self.rng.next_u64() % 500);
                return false;
            }
            (VisitorKind::Flooding, Some(_)) => {
                self.hang_up(now);
                self.acts_at = Some(now);
                return false;
            }
            (VisitorKind::Chatting | VisitorKind::Tcp, Some(Business::Talk(talk))) => {
                self.unsent = talk.say(&mut self.rng, now);
                return false;
            }
            (_, Some(_)) => return false,
        }
        let opened = self.pipe.is_none();
        if opened {
            self.pipe = Some(Pipe::new(self.plan.line));
        }
        self.ask(now);
        opened
    }

    fn ask(&mut self, now: Instant) {
        self.count += 1;
        self.moved = now;
        let tag = format!("v{}r{}", self.plan.number, self.count);
        let random = self.rng.next_u64();
        let kind = self.plan.kind;
        let host = format!("a{}.relay.example", self.plan.target);
        if kind.talks() {
            let is_tcp = kind == VisitorKind::Tcp;
            if !is_tcp {
                let head = format!(
                    "GET /{tag} HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                );
                self.unsent = head.into();
            }
            self.business = Some(Business::Talk(Talk::new(tag, is_tcp, &mut self.rng, now)));
            self.acts_at = is_tcp.then_some(now);
            return;
        }
        let (method, size, fields, body) = self.request(random, &tag);
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{method} /{tag}/{size} HTTP/1.1\r\nHost: {host}\r\n{fields}{length}\r\n");
        self.unsent = [head.as_bytes(), &body].concat().into();
        let user = if fields.starts_with("Auth") { tag.clone() } else { "-".to_owned() };
        let reader = ResponseReader::new(method);
        let asked = Asked { tag, method, size, user, since: now, reader, head: None, got: 0 };
        self.business = Some(Business::Asked(asked));
        self.acts_at = match kind {
            VisitorKind::Crawling(_) | VisitorKind::Reader(_) | VisitorKind::Dribbling => {
                Some(now + Duration::from_millis(100))
            }
            VisitorKind::Aborting => Some(now + Duration::from_millis(random >> 32 & 1023)),
            // If it is not answered before.
            VisitorKind::Traced => Some(self.came + self.plan.leaves),
            // Long enough for the request to reach the service.
            VisitorKind::Flooding => Some(now + self.plan.line.delay * 2 + Duration::from_millis(20)),
            _ => None,
        };
    }

    /// Method, size, fields and body of the next request.
    fn request(&self, random: u64, tag: &str) -> (&'static str, u64, String, Vec<u8>) {
        let get = |size| ("GET", size, String::new(), Vec::new());
        match self.plan.kind {
            VisitorKind::Honest => match random % 8 {
                0 => ("POST", 100, String::new(), vec![b'p'; (random >> 8) as usize % 20_000]),
                1 => ("HEAD", 1000, String::new(), Vec::new()),
                _ => get((random >> 8) % HONEST_BYTES),
            },
            VisitorKind::Reader(rate) => get(rate * 40),
            VisitorKind::Bulk => get((self.plan.target_rate * 15).clamp(BULK_BYTES.0, BULK_BYTES.1)),
            VisitorKind::Crawling(_) => get(2_000_000),
            VisitorKind::Stalled => get(20_000_000),
            VisitorKind::Aborting => get(random >> 8 & 0xf_ffff),
            VisitorKind::Hostile => match random % 3 {
                0 => ("GET", 10, format!("Authorization: NTLM {tag}\r\n"), Vec::new()),
                1 => ("HEAD", 10, String::new(), Vec::new()),
                _ => ("POST", 10, String::new(), b"GET /smuggled/10 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
            },
            VisitorKind::Garbage => ("GET", 0, format!("X: {random}\nContent-Length: 1\r\n"), Vec::new()),
            VisitorKind::Dribbling => ("POST", 10, "Content-Length: 100000\r\n".to_owned(), Vec::new()),
            VisitorKind::Flooding | VisitorKind::Chatting | VisitorKind::Tcp | VisitorKind::Silent => {
                get(1000)
            }
            VisitorKind::Traced => {
                let one = self.plan.exchanges[self.count as usize - 1];
                let body = one.request.saturating_sub(HEAD_BYTES);
                let size = one.response.saturating_sub(HEAD_BYTES);
                if body == 0 { get(size) } else { ("POST", size, String::new(), vec![b'p'; body as usize]) }
            }
        }
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
        let mut left = match self.plan.kind {
            VisitorKind::Stalled => return,
            VisitorKind::Crawling(rate) | VisitorKind::Reader(rate) => (rate / 10) as usize,
            _ => usize::MAX,
        };
        while left > 0 {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.receive(PipeEnd::Visitor, left, now) {
                Received::Nothing => return,
                Received::Data(data) => {
                    left = left.saturating_sub(data.len());
                    self.moved = now;
                    self.input.extend_from_slice(&data);
                    if matches!(self.business, Some(Business::Talk(_))) {
                        self.hear(now);
                    } else {
                        self.understand(now);
                    }
                }
                ending @ (Received::End | Received::Reset) => {
                    self.on_ending(matches!(ending, Received::End), now);
                    return;
                }
            }
        }
    }

    fn on_ending(&mut self, is_orderly: bool, now: Instant) {
        match self.business.take() {
            Some(Business::Asked(mut asked)) => {
                let is_whole = is_orderly && matches!(asked.reader.handle_end(), Ok(Some(Event::End)));
                if is_whole {
                    self.answered(asked, now);
                } else {
                    self.finish(Outcome::Cut { since: Some(asked.since) }, now);
                }
            }
            Some(Business::Talk(talk)) if !(is_orderly && talk.is_over()) => {
                self.finish(Outcome::Cut { since: talk.since }, now);
            }
            Some(Business::Talk(_)) | None => {}
        }
        self.hang_up(now);
        self.again(now);
    }

    fn hear(&mut self, now: Instant) {
        let Some(Business::Talk(talk)) = &mut self.business else { return };
        let was_open = talk.is_open();
        match talk.hear(&mut self.input) {
            Heard::Part => {}
            Heard::Refused(status) => {
                self.finish(Outcome::Refused(status), now);
                self.hang_up(now);
                self.again(now);
            }
            Heard::All => {
                if talk.is_over()
                    && let Some(pipe) = &mut self.pipe
                {
                    pipe.finish(PipeEnd::Visitor, now);
                }
                self.acts_at = Some(now + Talk::pause(&mut self.rng));
                if was_open {
                    self.finish(Outcome::Answered, now);
                }
            }
        }
    }

    fn understand(&mut self, now: Instant) {
        let mut input = self.input.split().freeze();
        let kind = self.plan.kind;
        while let Some(Business::Asked(asked)) = &mut self.business {
            match asked.reader.read(&mut input) {
                Ok(Some(Event::Head(head))) => {
                    let tag = head.headers.first("x-tag").map(String::from_utf8_lossy);
                    let own = format!("v{}r", self.plan.number);
                    let is_own = tag.is_none_or(|tag| tag.starts_with(&own));
                    assert!(is_own || kind == VisitorKind::Hostile, "{}: the answer of another", asked.tag);
                    asked.head = Some(head);
                }
                Ok(Some(Event::Body(data))) => {
                    let is_ours = asked.head.as_ref().is_some_and(|head| {
                        // Out of step, it is known by its head.
                        head.status == 200 && head.headers.first("x-tag") == Some(asked.tag.as_bytes())
                    });
                    if is_ours && kind != VisitorKind::Hostile {
                        let expected = body(&asked.tag, asked.got, data.len());
                        assert!(data[..] == expected[..], "{}: bytes of another answer", asked.tag);
                        asked.got += data.len() as u64;
                    }
                }
                Ok(Some(Event::End)) => {
                    if let Some(Business::Asked(asked)) = self.business.take() {
                        self.answered(asked, now);
                        self.again(now);
                    }
                }
                Ok(None) => break,
                Err(_) if kind == VisitorKind::Hostile => return self.on_ending(false, now),
                Err(error) => panic!("{}: an answer that is none: {error}", asked.tag),
            }
        }
        let is_free = self.business.is_some() || kind == VisitorKind::Hostile;
        assert!(is_free || input.is_empty(), "an answer that nobody asked for: {input:?}");
        self.input.extend_from_slice(&input);
    }

    fn answered(&mut self, asked: Asked, now: Instant) {
        let head = asked.head.expect("an answer has a head");
        // What it left on a connection of its own is its own business.
        if self.plan.kind == VisitorKind::Hostile {
            return;
        }
        if head.status != 200 {
            return self.finish(Outcome::Refused(head.status), now);
        }
        let own = format!("v{}r", self.plan.number);
        let field = |name| head.headers.first(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let (tag, user) = (field("x-tag"), field("x-user"));
        assert_eq!(tag.as_deref(), Some(&*asked.tag), "the answer of another");
        // A connection that is logged in stays the visitor's own.
        let is_own =
            user.as_deref().is_some_and(|user| user == "-" || user == asked.user || user.starts_with(&own));
        assert!(is_own, "{} is served as {user:?}", asked.tag);
        let size = if asked.method == "HEAD" { 0 } else { asked.size };
        assert_eq!(asked.got, size, "{}: an incomplete answer looks complete", asked.tag);
        self.finish(Outcome::Answered, now);
    }

    fn finish(&mut self, outcome: Outcome, now: Instant) {
        if self.plan.kind.is_honest() {
            self.outcomes.push((now, outcome));
        }
    }

    fn again(&mut self, now: Instant) {
        let pause = match self.plan.kind {
            VisitorKind::Stalled => return,
            VisitorKind::Traced => {
                let next = self.plan.exchanges.get(self.count as usize);
                let at = self.came + next.map_or(self.plan.leaves, |next| next.at);
                self.acts_at = Some(at.max(now));
                return;
            }
            // What it downloads takes long to simulate.
            VisitorKind::Bulk => Duration::from_secs(30),
            _ => Duration::from_millis(self.rng.next_u64() % THINKS_MS),
        };
        self.acts_at = Some(now + pause);
    }
}
